package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"parley/internal/voice"
)

const (
	base       = "/workspace/v3"
	cookieName = "WORKSPACE_SESSIONID"
)

// Prefixes of the paths that [Service.Handler] answers.
const (
	PathWorkspace = "/workspace/v3/"
	PathAuth      = "/auth/v3/"
)

// Handler answers all that lies below [PathWorkspace] and [PathAuth].
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	route := func(pattern string, h handler) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := h(&exchange{r, w}); err != nil {
				s.log.Error("answer a desktop", "path", pattern, "err", err)
			}
		})
	}
	route("POST /auth/v3/oauth/token", s.tokenOf)
	route("GET /auth/v3/oauth/authorize", s.authorize)
	route("GET /auth/v3/userinfo", s.userInfo)

	route("POST "+base+"/initialize-workspace", s.initialize)
	route("POST "+base+"/login", s.initialize)
	route("POST "+base+"/logout", s.within(s.logout))
	route("GET "+base+"/current-session", s.within(s.currentSession))
	route("GET "+base+"/userinfo", s.within(s.currentSession))
	route("GET "+base+"/auth-keep-alive", s.within(func(c *exchange, _ *session, _ voice.Principal) error { return done(c, nil) }))
	route("GET "+base+"/configuration", s.within(s.configuration))
	route("GET "+base+"/configuration/places/{place}/dns", s.within(s.placeDNs))
	for _, path := range []string{"/activate-channels", "/voice/activate"} {
		route("POST "+base+path, s.within(s.activateREST))
	}
	route("POST "+base+"/voice/deactivate", s.within(s.deactivateREST))
	route("GET "+base+"/voice/calls", s.within(s.listCalls))
	route("POST "+base+"/voice/calls/{id}/complete", s.within(s.complete))
	for name, v := range verbs {
		path := "/voice/" + name
		if v.onCall {
			path = "/voice/calls/{id}/" + name
		}
		route("POST "+base+path, s.within(s.verb(name, v)))
	}
	for _, name := range agentVerbs {
		route("POST "+base+"/voice/"+name, s.within(s.agentVerb))
	}
	push := s.within(func(c *exchange, x *session, _ voice.Principal) error { return s.notifications(c, x) })
	route("POST "+base+"/notifications", push)
	route("POST "+base+"/notifications/", push)
	nothing := func(c *exchange) error {
		return s.refusal(c, voice.Errorf(voice.ErrNotFound, "there is no such resource here"))
	}
	route(PathWorkspace, nothing)
	route(PathAuth, nothing)
	return mux
}

// within runs a handler for who has a session. What changes something must come from the desktop's own page, where a
// browser tells: the cookie alone would let any page of the same site in.
func (s *Service) within(h func(*exchange, *session, voice.Principal) error) handler {
	return func(c *exchange) error {
		if c.Method != http.MethodGet && !c.sameOrigin() {
			return s.refusal(c, voice.Errorf(voice.ErrForbidden, "the request comes from a page of another origin"))
		}
		x, p, err := s.find(c.Context(), c.session())
		if err == nil {
			err = s.mayGoOn(c.Context(), x, p)
		}
		if err != nil {
			return s.refusal(c, err)
		}
		return h(c, x, p)
	}
}

var errRole = voice.Errorf(voice.ErrForbidden, "your roles do not allow this")

// mayEnter tells whether a principal may have a session: agents, and who may see the whole tenant.
func mayEnter(p voice.Principal, tenant string) bool {
	return p.MayRead(tenant) || p.Tenant == tenant && p.Has(voice.RoleAgent)
}

// mayGoOn checks again what was checked when the session began and took its device: roles are taken away, and places given
// to others, while it lasts. A device that is not the agent's any more is taken away.
func (s *Service) mayGoOn(ctx context.Context, x *session, p voice.Principal) error {
	x.mu.Lock()
	dn, turn, checked := x.dn, x.turn, x.checked
	x.mu.Unlock()
	now := s.o.Now()
	switch {
	case !mayEnter(p, x.tenant):
		s.dropDevice(x, turn)
		return errRole
	case p.MayRead(x.tenant) || dn == "" || now.Sub(checked) < deviceFresh:
		return nil
	}
	own, err := s.owns(ctx, p, dn)
	if err != nil {
		return err
	}
	if !own {
		s.log.Info("a desktop's device is not at its person's place any more", "tenant", x.tenant, "user", p.User, "dn", dn)
		s.dropDevice(x, turn)
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.turn == turn {
		x.checked = now
	}
	return nil
}

// owns tells whether a device is one of a person's place, by the configuration as it is now.
func (s *Service) owns(ctx context.Context, p voice.Principal, dn string) (bool, error) {
	person, err := s.person(ctx, p)
	if err == nil && person.Place != "" {
		var place voice.Place
		err = s.read(ctx, voice.KindPlace, p.Tenant, person.Place, &place)
		if err == nil {
			return slices.Contains(place.DNs, dn), nil
		}
	}
	if errors.Is(err, voice.ErrNotFound) { // the person or the place is gone
		err = nil
	}
	return false, err
}

// initialize opens a session for who has a code, a token, or a name and a password, and gives the cookie.
func (s *Service) initialize(c *exchange) error {
	if !c.sameOrigin() {
		return s.refusal(c, voice.Errorf(voice.ErrForbidden, "the request comes from a page of another origin"))
	}
	token := ""
	if code := c.query("code"); code != "" {
		g, ok := s.codes.take(code, c.query("redirect_uri"), s.o.Now())
		if !ok {
			return s.refusal(c, voice.Errorf(voice.ErrUnauthorized, "the code is not valid, was used, or belongs to another redirect_uri"))
		}
		token = g.token
	} else {
		var err error
		if token, _, err = s.credentials(c); err != nil {
			return s.refusal(c, err)
		}
	}
	p, err := s.o.Verify(c.Context(), token)
	if err == nil && !mayEnter(p, p.Tenant) {
		err = errRole
	}
	if err != nil {
		return s.refusal(c, err)
	}
	person, err := s.person(c.Context(), p)
	if err != nil {
		return s.refusal(c, err)
	}
	x, err := s.open(p.Tenant, token, person)
	if err != nil {
		return s.refusal(c, err)
	}
	s.cookie(c, x.key)
	return c.reply(http.StatusOK, answer{Status: status{Code: codeAccepted}}) // the channel tells when it is done
}

// cookie gives the session's cookie; "" takes it back. Behind a proxy that ends TLS the browser's side is secure too.
func (s *Service) cookie(c *exchange, key string) {
	ck := &http.Cookie{
		Name: cookieName, Value: key, Path: base, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: s.o.Config.Secure || c.overTLS(),
	}
	if key == "" {
		ck.MaxAge = -1
	}
	http.SetCookie(c.w, ck)
}

// logout ends the session. The token stays good: it is the user's, who may have other desktops.
func (s *Service) logout(c *exchange, x *session, _ voice.Principal) error {
	s.end(x)
	s.cookie(c, "")
	return done(c, nil)
}

func (x *session) userLocked() map[string]any {
	u := map[string]any{
		"userName": x.person.Username, "firstName": x.person.FirstName, "lastName": x.person.LastName,
		"employeeId": first(x.person.AgentID, x.person.Username), "agentLogin": x.person.AgentID, "defaultPlace": x.person.Place,
		"tenant": x.tenant,
	}
	return u
}

func emptyConfiguration() map[string]any {
	return map[string]any{"actionCodes": []any{}, "businessAttributes": []any{}, "transactions": []any{}}
}

func (s *Service) readyMessageLocked(x *session) any {
	return map[string]any{
		"messageType": "WorkspaceInitializationComplete", "state": "Complete",
		"data": map[string]any{"user": x.userLocked(), "configuration": emptyConfiguration()},
	}
}

func (s *Service) currentSession(c *exchange, x *session, _ voice.Principal) error {
	now := s.o.Now()
	x.mu.Lock()
	user := x.userLocked()
	if x.dn != "" {
		user["activeSession"] = map[string]any{
			"autoCompleteCall": x.autoComplete, "currentPlace": x.place, "dn": x.dnViewLocked(now), "calls": x.callViewsLocked(now),
			"media": []any{},
		}
	}
	x.mu.Unlock()
	return done(c, map[string]any{"user": user})
}

func (s *Service) configuration(c *exchange, _ *session, _ voice.Principal) error {
	return done(c, emptyConfiguration())
}

// read reads a resource of the configuration into out.
func (s *Service) read(ctx context.Context, kind voice.Kind, tenant, key string, out any) error {
	r, err := s.o.Read(ctx, kind, tenant, key)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(r.Body, out); err != nil {
		return fmt.Errorf("%s %s of %s: %w", kind, key, tenant, err)
	}
	return nil
}

// ownPlace is the name of the place of who asks. That of an agent is read anew, since it decides what he may take.
func (s *Service) ownPlace(ctx context.Context, x *session, p voice.Principal) (string, error) {
	if p.MayRead(x.tenant) {
		return x.person.Place, nil
	}
	person, err := s.person(ctx, p)
	return person.Place, err
}

// placeOf reads the place of that name, or one's own for "". An agent may read no other.
func (s *Service) placeOf(ctx context.Context, x *session, p voice.Principal, name string) (voice.Place, error) {
	var place voice.Place
	own, err := s.ownPlace(ctx, x, p)
	if err != nil {
		return place, err
	}
	name = first(name, own)
	if name == "" || len(name) > maxText || name != own && !p.MayRead(x.tenant) {
		return place, voice.TErrorf(voice.TErrNotRegistered, "place %.64q is not yours", name)
	}
	err = s.read(ctx, voice.KindPlace, x.tenant, name, &place)
	if errors.Is(err, voice.ErrNotFound) {
		return place, voice.TErrorf(voice.TErrDNNotConfigured, "there is no place %.64q", name)
	}
	return place, err
}

func (s *Service) placeDNs(c *exchange, x *session, p voice.Principal) error {
	place, err := s.placeOf(c.Context(), x, p, c.PathValue("place"))
	if err != nil {
		return s.refusal(c, err)
	}
	devices := make([]map[string]string, 0, len(place.DNs))
	for _, dn := range place.DNs {
		devices = append(devices, map[string]string{"number": dn})
	}
	return done(c, map[string]any{"devices": devices})
}

// activation is the body of activate-channels.
type activation struct {
	OperationID string `json:"operationId"`
	Data        struct {
		AgentID      string `json:"agentId"`
		DN           string `json:"dn"`
		Place        string `json:"placeName"`
		Queue        string `json:"queueName"`
		WorkMode     string `json:"agentWorkMode"`
		Dynamic      string `json:"dynamicPhoneNumber"`
		AutoComplete *bool  `json:"autoCompleteCall"`
	} `json:"data"`
}

func (s *Service) activateREST(c *exchange, x *session, p voice.Principal) error {
	var in activation
	err := parse(c.bytes(), &in)
	if err == nil {
		err = s.activateDevice(c.Context(), x, p, &in)
	}
	if err != nil {
		return s.refusalOf(c, in.OperationID, err)
	}
	return c.reply(http.StatusOK, answer{OperationID: in.OperationID})
}

// activateDevice takes the device that is asked for: an agent his own, that is one of his place; others any of the tenant.
func (s *Service) activateDevice(ctx context.Context, x *session, p voice.Principal, in *activation) error {
	a := &in.Data
	switch {
	case a.Queue != "" || a.WorkMode != "":
		return voice.TErrorf(voice.TErrUnsupported, "agents cannot log in to queues yet; leave out queueName and agentWorkMode")
	case a.Dynamic != "":
		return voice.TErrorf(voice.TErrUnsupported, "dynamicPhoneNumber is not supported; give dn or placeName")
	case a.AgentID != "" && a.AgentID != x.person.AgentID && a.AgentID != x.person.Username:
		return voice.TErrorf(voice.TErrInvalidValue, "agentId %.64q is not yours", a.AgentID)
	case len(a.DN) > maxText:
		return voice.TErrorf(voice.TErrInvalidValue, "dn is longer than %d bytes", maxText)
	}
	dn, placeName := a.DN, first(a.Place, x.person.Place)
	if dn == "" || !p.MayRead(x.tenant) {
		place, err := s.placeOf(ctx, x, p, a.Place)
		if err != nil {
			return err
		}
		placeName = place.Name
		if dn, err = s.deviceAt(x.tenant, place, dn); err != nil {
			return err
		}
	}
	if kind, ok := s.o.DN(x.tenant, dn); !ok || kind != voice.DNExtension {
		return voice.TErrorf(voice.TErrDNNotConfigured, "%.64q is no extension of %s", dn, x.tenant)
	}
	return s.activate(ctx, x, dn, placeName, a.AutoComplete == nil || *a.AutoComplete)
}

// deviceAt is the first extension of a place, or dn if it is one.
func (s *Service) deviceAt(tenant string, place voice.Place, dn string) (string, error) {
	for _, d := range place.DNs {
		if kind, ok := s.o.DN(tenant, d); ok && kind == voice.DNExtension && (dn == "" || d == dn) {
			return d, nil
		}
	}
	if dn != "" {
		return "", voice.TErrorf(voice.TErrNotRegistered, "%.64q is not at your place %q", dn, place.Name)
	}
	return "", voice.TErrorf(voice.TErrDNNotConfigured, "place %q has no extension", place.Name)
}

func (s *Service) deactivateREST(c *exchange, x *session, _ voice.Principal) error {
	s.deactivate(x)
	return done(c, nil)
}

func (s *Service) listCalls(c *exchange, x *session, _ voice.Principal) error {
	x.mu.Lock()
	calls := x.callViewsLocked(s.o.Now())
	x.mu.Unlock()
	return done(c, map[string]any{"calls": calls})
}

// complete puts a released call away, where they are not put away by themselves.
func (s *Service) complete(c *exchange, x *session, _ voice.Principal) error {
	var in parameters
	if err := parse(c.bytes(), &in); err != nil {
		return s.refusal(c, err)
	}
	if err := s.completeCall(x, c.PathValue("id")); err != nil {
		return s.refusalOf(c, in.OperationID, err)
	}
	return c.reply(http.StatusOK, answer{OperationID: in.OperationID})
}

func (s *Service) completeCall(x *session, id string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	k := x.calls[id]
	switch {
	case k == nil:
		return errNoCall(id)
	case k.state != stateReleased:
		return voice.TErrorf(voice.TErrWrongState, "the call is %s; only a released one can be completed", k.state)
	}
	now := s.o.Now()
	k.state, k.since = stateCompleted, now
	s.pushLocked(x)(channelVoice, x.callMessageLocked(k, aboutState, now))
	x.forgetLocked(id)
	return nil
}

func errNoCall(id string) error {
	return voice.TErrorf(voice.TErrInvalidConnID, "your device has no call %.64q", id)
}

// agentVerb refuses what needs agent state.
func (s *Service) agentVerb(c *exchange, _ *session, _ voice.Principal) error {
	return s.refusal(c, voice.TErrorf(voice.TErrUnsupported, "agent state is not kept yet; the device can be used without"))
}

// verb answers one verb: the request is made, asked, and its outcome told, in the answer and, when it was refused, by an
// EventError too, since there are desktops that look nowhere else.
func (s *Service) verb(name string, v verb) func(*exchange, *session, voice.Principal) error {
	return func(c *exchange, x *session, p voice.Principal) error {
		s.metrics.requests.WithLabelValues(name).Inc()
		var in parameters
		if err := parse(c.bytes(), &in); err != nil {
			return s.refusal(c, err)
		}
		if len(in.OperationID) > maxText {
			return s.refusal(c, voice.TErrorf(voice.TErrBadParameter, "operationId is longer than %d bytes", maxText))
		}
		r, err := v.request(&in.Data)
		if err == nil {
			err = s.address(x, p, v, r, c.PathValue("id"), in.Data.CallUUID)
		}
		if err == nil {
			err = s.ask(c.Context(), x, r, in.OperationID)
		}
		if err != nil {
			return s.refusalOf(c, in.OperationID, err)
		}
		return c.reply(http.StatusOK, answer{Status: status{Code: codeAccepted}, OperationID: in.OperationID})
	}
}

// address says for which device and call of the session a request is.
func (s *Service) address(x *session, p voice.Principal, v verb, r *voice.Request, id, uuid string) error {
	if v.supervisor && !p.MayRead(x.tenant) {
		return voice.TErrorf(voice.TErrNotRegistered, "only supervisors may do this")
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dn == "" {
		return voice.TErrorf(voice.TErrNotRegistered, "the session has no device; begin with activate-channels")
	}
	r.Tenant, r.User, r.ThisDN, r.ReferenceID = x.tenant, p.User, x.dn, s.refs.Add(1)
	if v.onCall {
		if x.calls[id] == nil && !x.loading {
			return errNoCall(id)
		}
		r.ConnID = id
	}
	if uuid != "" {
		for _, k := range x.calls {
			if k.uuid == uuid {
				r.ConnID = k.id
				return nil
			}
		}
		return voice.TErrorf(voice.TErrInvalidConnID, "your device has no call with UUID %.64q", uuid)
	}
	return nil
}

func (s *Service) ask(ctx context.Context, x *session, r *voice.Request, operation string) error {
	if err := x.begin(r.ReferenceID, operation); err != nil {
		return err
	}
	defer x.end()
	a, err := s.o.Ask(ctx, r)
	switch {
	case err != nil:
		err = tErrorOf(err)
	case a == nil:
		err = fmt.Errorf("%s was answered with nothing", r.Name)
	case a.Error != nil:
		err = a.Error
	}
	var te *voice.TError
	if errors.As(err, &te) {
		x.mu.Lock()
		s.pushLocked(x)(channelVoice, x.errorMessageLocked(r.ReferenceID, r.ConnID, int(te.Code), te.Message))
		x.mu.Unlock()
	}
	return err
}
