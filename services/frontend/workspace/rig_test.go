package workspace

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/httpapi/apitest"
	"parley/internal/voice"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, apitest.Clock()) }

// rig is the interface over HTTP, with a scripted platform behind it.
type rig struct {
	*Service
	url string

	mu       sync.Mutex
	asked    []*voice.Request
	answer   func(*voice.Request) (*contract.RequestAnswer, error) // nil: accepted
	calls    []voice.Call                                          // in progress
	people   map[string]voice.Principal                            // by token
	signedIn []contract.SignInRequest
	changed  map[string]string // resources that are not as they were at first
}

var (
	alice = voice.Principal{Tenant: "acme", User: "alice", Roles: []voice.Role{voice.RoleAgent}}
	boss  = voice.Principal{Tenant: "acme", User: "boss", Roles: []voice.Role{voice.RoleSupervisor}}
)

func start(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	r := &rig{people: map[string]voice.Principal{"alice-token": alice, "boss-token": boss}}
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	s, err := New(Options{
		Config: cfg, Ask: r.ask, SignIn: r.signIn, Verify: r.verify,
		Calls: func(context.Context, contract.FindCallsRequest) (contract.FindCallsResponse, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return contract.FindCallsResponse{Calls: r.calls}, nil
		},
		Read: func(_ context.Context, kind voice.Kind, tenant, key string) (voice.Resource, error) {
			body, ok := map[string]string{
				"persons/alice":  `{"username":"alice","first_name":"Alice","agent_id":"A1","place":"desk-1"}`,
				"persons/boss":   `{"username":"boss","agent_id":"B1"}`,
				"places/desk-1":  `{"name":"desk-1","dns":["rp","2001"]}`,
				"places/desk-2":  `{"name":"desk-2","dns":["2002"]}`,
				"places/nothing": `{"name":"nothing","dns":["rp"]}`,
			}[string(kind)+"/"+key]
			r.mu.Lock()
			defer r.mu.Unlock()
			if other := r.changed[string(kind)+"/"+key]; other != "" {
				body = other
			}
			if !ok || tenant != "acme" {
				return voice.Resource{}, voice.ErrNotFound
			}
			return voice.Resource{Body: json.RawMessage(body)}, nil
		},
		DN: func(tenant, number string) (voice.DNType, bool) {
			kind, ok := map[string]voice.DNType{"2001": voice.DNExtension, "2002": voice.DNExtension, "rp": voice.DNRoutingPoint}[number]
			return kind, ok && tenant == "acme"
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Service = s
	srv := httpapi.New(httpapi.Options{Service: "test", Title: "test", Verify: r.verify})
	srv.Mount(PathWorkspace, s.Handler())
	srv.Mount(PathAuth, s.Handler())
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	r.url = apitest.Serve(t, srv)
	t.Cleanup(func() { cancel(); wg.Wait() })
	return r
}

func (r *rig) ask(_ context.Context, req *voice.Request) (*contract.RequestAnswer, error) {
	r.mu.Lock()
	r.asked = append(r.asked, req)
	answer := r.answer
	r.mu.Unlock()
	if answer != nil {
		return answer(req)
	}
	return &contract.RequestAnswer{ReferenceID: req.ReferenceID}, nil
}

func (r *rig) verify(_ context.Context, token string) (voice.Principal, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.people[token]
	if !ok {
		return p, voice.ErrUnauthorized
	}
	return p, nil
}

func (r *rig) signIn(_ context.Context, req contract.SignInRequest) (contract.Session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signedIn = append(r.signedIn, req)
	if req.User != "alice" || req.Password != "sesame" {
		return contract.Session{}, voice.ErrUnauthorized
	}
	return contract.Session{Token: "alice-token", Principal: alice, Expires: time.Now().Add(time.Hour)}, nil
}

func (r *rig) lastAsked(t *testing.T) *voice.Request {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.asked) == 0 {
		t.Fatal("nothing was asked")
	}
	return r.asked[len(r.asked)-1]
}

// desk is a desktop: a client with cookies.
type desk struct {
	t      *testing.T
	r      *rig
	client *http.Client
	id     string           // of its push client
	rest   []map[string]any // came with a message that was waited for, and was not looked at
}

func (r *rig) desk(t *testing.T) *desk {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &desk{t: t, r: r, client: &http.Client{Jar: jar, Transport: tr, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (d *desk) do(method, path, body string, headers ...string) (int, string, http.Header) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.r.url+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := d.client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

// must is a request that succeeds.
func (d *desk) must(method, path, body string, headers ...string) string {
	d.t.Helper()
	code, text, _ := d.do(method, path, body, headers...)
	if code != http.StatusOK {
		d.t.Fatalf("%s %s %s = %d %s", method, path, body, code, text)
	}
	return text
}

// enter opens a session, follows the channels and takes a device.
func (d *desk) enter(token, dn string) *desk {
	d.t.Helper()
	d.must("POST", "/workspace/v3/initialize-workspace", "", "Authorization", "Bearer "+token)
	d.handshake()
	d.must("POST", "/workspace/v3/activate-channels", `{"data":{"dn":"`+dn+`"}}`)
	d.until(func(m map[string]any) bool { return m["messageType"] == "DnStateChanged" })
	return d
}

func (d *desk) handshake() {
	d.t.Helper()
	var replies []bayeuxReply
	text := d.must("POST", "/workspace/v3/notifications/handshake", `[{"id":"1","channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["websocket","long-polling"]}]`)
	if err := json.Unmarshal([]byte(text), &replies); err != nil || len(replies) != 1 || !replies[0].Successful {
		d.t.Fatalf("handshake = %s", text)
	}
	d.id = replies[0].ClientID
	for _, ch := range []string{channelInit, channelVoice} {
		if r := d.meta("subscribe", `,"subscription":"`+ch+`"`); !r.Successful {
			d.t.Fatalf("subscribe %s = %+v", ch, r)
		}
	}
	d.until(func(m map[string]any) bool { return m["state"] == "Complete" })
}

func (d *desk) meta(kind, more string) bayeuxReply {
	d.t.Helper()
	_, reply := d.poll(kind, more)
	return reply
}

// poll sends one message and returns what came before its answer, and its answer.
func (d *desk) poll(kind, more string) (data []map[string]any, reply bayeuxReply) {
	d.t.Helper()
	text := d.must("POST", "/workspace/v3/notifications/"+kind, `[{"id":"7","channel":"/meta/`+kind+`","clientId":"`+d.id+`"`+more+`}]`)
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) == 0 {
		d.t.Fatalf("%s = %s", kind, text)
	}
	for _, raw := range list[:len(list)-1] {
		var m struct {
			Channel string
			Data    map[string]any
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		if err := dec.Decode(&m); err != nil {
			d.t.Fatal(err)
		}
		data = append(data, m.Data)
	}
	if err := json.Unmarshal(list[len(list)-1], &reply); err != nil {
		d.t.Fatal(err)
	}
	return data, reply
}

// until polls for a message that fits; it returns all up to it.
func (d *desk) until(fits func(map[string]any) bool) []map[string]any {
	d.t.Helper()
	var seen []map[string]any
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		data := d.rest
		d.rest = nil
		if len(data) == 0 {
			var reply bayeuxReply
			if data, reply = d.poll("connect", `,"connectionType":"long-polling"`); !reply.Successful {
				d.t.Fatalf("connect = %+v", reply)
			}
		}
		for i, m := range data {
			seen = append(seen, m)
			if fits(m) {
				d.rest = append(d.rest, data[i+1:]...)
				return seen
			}
		}
	}
	d.t.Fatalf("the message did not come; last seen: %v", seen)
	return nil
}
