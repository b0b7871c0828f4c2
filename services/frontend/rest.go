package frontend

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/httpapi"
	"parley/internal/voice"
)

// The shapes of the REST interface.
type (
	requestInput struct {
		Tenant  string `path:"tenant" maxLength:"128" doc:"Name of the tenant"`
		RawBody []byte // read by hand: an unknown member is told with its name, and treatments have names or numbers
	}
	requestOutput struct {
		Status int
		Body   Answer
	}
	callsInput struct {
		Tenant string `path:"tenant" maxLength:"128" doc:"Name of the tenant"`
		DN     string `query:"dn" maxLength:"64" doc:"Calls with this DN as a party"`
		Thread string `query:"thread" maxLength:"64" doc:"Calls of this CallThreadID"`
		Node   string `query:"node" maxLength:"64" doc:"Calls of this SIP node"`
		Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Calls at the most"`
	}
	callsOutput struct {
		Body contract.FindCallsResponse
	}
	callInput struct {
		Tenant string `path:"tenant" maxLength:"128" doc:"Name of the tenant"`
		ID     string `path:"id" maxLength:"64" doc:"ConnID or CallUUID"`
	}
	callOutput struct{ Body voice.Call }
)

// Answer is what became of a request: EventACK, or EventError with its code and a sentence.
type Answer struct {
	ID           voice.EventName       `json:"id" enum:"EventACK,EventError,EventRegistered,EventUnregistered"`
	ReferenceID  int64                 `json:"ReferenceID,omitempty"`
	ErrorCode    voice.TErrorCode      `json:"ErrorCode,omitempty" doc:"Of EventError"`
	ErrorMessage string                `json:"ErrorMessage,omitempty" doc:"Of EventError: a sentence that says why"`
	ThisDN       string                `json:"ThisDN,omitempty" doc:"Of EventRegistered and EventUnregistered"`
	ConnID       string                `json:"ConnID,omitempty" doc:"Of the call that the request made"`
	CallUUID     string                `json:"CallUUID,omitempty"`
	Call         *voice.Call           `json:"call,omitempty" doc:"Of RequestQueryCall"`
	Address      *contract.AddressInfo `json:"address,omitempty" doc:"Of RequestQueryAddress"`
}

// eventACK says that a request was accepted; the events that it causes tell the rest.
const eventACK voice.EventName = "EventACK"

func newAnswer(a *contract.RequestAnswer) Answer {
	out := Answer{ID: eventACK, ReferenceID: a.ReferenceID, ConnID: a.ConnID, CallUUID: a.CallUUID, Call: a.Call, Address: a.Address}
	if a.Error != nil {
		out.ID, out.ErrorCode, out.ErrorMessage = voice.EventError, a.Error.Code, a.Error.Message
	}
	return out
}

// status is the HTTP status of an answer.
func (a Answer) status() int {
	switch a.ErrorCode {
	case 0:
		return http.StatusOK
	case voice.TErrNotRegistered:
		return http.StatusForbidden
	case voice.TErrInvalidConnID, voice.TErrDNNotConfigured, voice.TErrNoSuchDN:
		return http.StatusNotFound
	case voice.TErrAlreadyInState, voice.TErrWrongState, voice.TErrDestinationState:
		return http.StatusConflict
	case voice.TErrTooManyRequests:
		return http.StatusTooManyRequests
	case voice.TErrInternal:
		return http.StatusInternalServerError
	case voice.TErrNoSwitch, voice.TErrServiceUnavailable, voice.TErrResourceUnavailable:
		return http.StatusServiceUnavailable
	case voice.TErrTimeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusUnprocessableEntity
}

const base = "/api/v1/tenants/{tenant}"

// Routes adds the operations to a REST interface. Call it once, before Run.
func (s *Service) Routes(rest *httpapi.Server) {
	s.rest = rest
	api := rest.API()
	huma.Register(api, huma.Operation{
		OperationID: "request", Method: http.MethodPost, Path: base + "/requests", Tags: []string{"requests"},
		Summary: "Make a T-Library request",
		Description: "The answer says whether the request was accepted; what it causes is told by events, which carry its ReferenceID. A refused " +
			"request is answered with EventError, and a status that fits: 403 not your DN, 404 no such call or DN, 409 wrong state, 422 the rest.",
		RequestBody:      requestBody(api),
		SkipValidateBody: true,
	}, s.requestREST)
	huma.Register(api, huma.Operation{
		OperationID: "list-calls", Method: http.MethodGet, Path: base + "/calls", Tags: []string{"calls"},
		Summary: "Calls in progress on all nodes, the oldest first",
	}, s.callsREST)
	huma.Register(api, huma.Operation{
		OperationID: "get-call", Method: http.MethodGet, Path: base + "/calls/{id}", Tags: []string{"calls"},
		Summary: "A call in progress",
	}, s.callREST)
	events := huma.Operation{
		OperationID: "events", Method: http.MethodGet, Path: base + "/events", Tags: []string{"events"},
		Summary: "Follow events: server-sent events, or a WebSocket where the client asks for one",
		Description: "The id of an event is a place in all streams; with it in Last-Event-ID or after, a client gets what it missed and then what comes. " +
			"By WebSocket each message is an object: event with its position, answer to a request that the client sent, or position alone as a heartbeat.",
	}
	events.Responses = map[string]*huma.Response{"200": {
		Description: "OK", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
	huma.Register(api, events, s.eventsREST)
}

// requestBody describes the body, which huma does not read.
func requestBody(api huma.API) *huma.RequestBody {
	schema := api.OpenAPI().Components.Schemas
	ref := schema.Schema(reflect.TypeFor[voice.Request](), true, "Request")
	body := schema.SchemaFromRef(ref.Ref)
	delete(body.Properties, "tenant") // by the path
	delete(body.Properties, "user")   // by the token
	if name := body.Properties["request"]; name != nil {
		for n := range shapes {
			name.Enum = append(name.Enum, string(n))
		}
		slices.SortFunc(name.Enum, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	}
	body.Properties["TreatmentType"] = &huma.Schema{Description: "A name such as Music or a number", OneOf: []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeInteger}}}
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: ref}}}
}

func (s *Service) requestREST(ctx context.Context, in *requestInput) (*requestOutput, error) {
	r, err := readRequest(in.RawBody)
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	a, err := s.askAs(ctx, httpapi.PrincipalFrom(ctx), in.Tenant, r)
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	out := newAnswer(a)
	if out.ID == voice.EventError {
		s.hub.tell(in.Tenant, httpapi.PrincipalFrom(ctx).User, out)
	}
	return &requestOutput{Status: out.status(), Body: out}, nil
}

// readRequest reads a request as clients write it.
func readRequest(body []byte) (*voice.Request, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	r := new(voice.Request)
	if err := dec.Decode(r); err != nil {
		return nil, voice.Errorf(voice.ErrInvalid, "the request cannot be read: %v", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, voice.Errorf(voice.ErrInvalid, "there is something behind the request")
	}
	if r.Name != "" && !strings.HasPrefix(string(r.Name), "Request") {
		r.Name = "Request" + r.Name
	}
	return r, nil
}

// askAs makes a request for somebody, if he may.
func (s *Service) askAs(ctx context.Context, p voice.Principal, tenant string, r *voice.Request) (*contract.RequestAnswer, error) {
	sc, err := s.scopeOf(ctx, p, tenant)
	if err != nil {
		return nil, err
	}
	r.Tenant, r.User = tenant, p.User
	if e := sc.allowed(r); e != nil {
		a := &contract.RequestAnswer{ReferenceID: r.ReferenceID, Error: e}
		if _, ok := s.dir.Tenant(tenant); ok {
			s.metrics.requests.WithLabelValues(tenant).Inc()
			s.metrics.answered(tenant, a)
		}
		return a, nil
	}
	return s.Ask(ctx, r)
}

func (s *Service) callsREST(ctx context.Context, in *callsInput) (*callsOutput, error) {
	sc, err := s.scopeOf(ctx, httpapi.PrincipalFrom(ctx), in.Tenant)
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	req := contract.FindCallsRequest{Tenant: in.Tenant, DN: in.DN, ThreadID: in.Thread, Node: in.Node, Limit: in.Limit}
	if sc.whole {
		res, err := fabric.Call(ctx, s.f, contract.FindCalls, req)
		return calls(res, err)
	}
	dns := sc.dns
	if in.DN != "" {
		if !sc.covers(in.DN) {
			return nil, httpapi.Problem(voice.Errorf(voice.ErrForbidden, "%.64s is none of your DNs", in.DN))
		}
		dns = []string{in.DN}
	}
	var all contract.FindCallsResponse
	for _, dn := range dns {
		req.DN = dn
		res, err := fabric.Call(ctx, s.f, contract.FindCalls, req)
		if err != nil {
			return calls(res, err)
		}
		for _, c := range res.Calls {
			if !slices.ContainsFunc(all.Calls, func(have voice.Call) bool { return have.CallUUID == c.CallUUID }) {
				all.Calls = append(all.Calls, c)
			}
		}
	}
	slices.SortFunc(all.Calls, func(a, b voice.Call) int { return a.Start.Compare(b.Start) })
	all.Total = len(all.Calls)
	all.Calls = all.Calls[:min(len(all.Calls), in.Limit)]
	return calls(all, nil)
}

func calls(res contract.FindCallsResponse, err error) (*callsOutput, error) {
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	if res.Calls == nil {
		res.Calls = []voice.Call{}
	}
	return &callsOutput{res}, nil
}

func (s *Service) callREST(ctx context.Context, in *callInput) (*callOutput, error) {
	sc, err := s.scopeOf(ctx, httpapi.PrincipalFrom(ctx), in.Tenant)
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	for _, req := range []contract.FindCallsRequest{{ConnID: in.ID}, {CallUUID: in.ID}} {
		req.Tenant, req.Limit = in.Tenant, 1
		res, err := fabric.Call(ctx, s.f, contract.FindCalls, req)
		if err != nil {
			return nil, httpapi.Problem(err)
		}
		// A call of others is as unknown to an agent as one that is not there.
		for _, c := range res.Calls {
			if sc.whole || slices.ContainsFunc(c.Parties, func(p voice.Party) bool { return sc.covers(p.DN) }) {
				return &callOutput{c}, nil
			}
		}
	}
	return nil, httpapi.Problem(voice.Errorf(voice.ErrNotFound, "there is no call %.64q in progress", in.ID))
}
