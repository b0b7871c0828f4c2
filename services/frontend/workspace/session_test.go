package workspace

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

func TestSessionsNeedACookieAndAToken(t *testing.T) {
	r := start(t, nil)
	d := r.desk(t)
	if status, text, _ := d.do("GET", "/workspace/v3/current-session", ""); status != 401 || !strings.Contains(text, `"code":401`) {
		t.Errorf("without a session: %d %s", status, text)
	}
	if status, _, _ := d.do("POST", "/workspace/v3/initialize-workspace", "", "Authorization", "Bearer wrong"); status != 401 {
		t.Errorf("with a wrong token: %d", status)
	}
	status, _, header := d.do("POST", "/workspace/v3/initialize-workspace", "", "Authorization", "Bearer alice-token", "X-Forwarded-Proto", "https")
	cookie := header.Get("Set-Cookie")
	if status != 200 || !strings.HasPrefix(cookie, "WORKSPACE_SESSIONID=") {
		t.Fatalf("initialize-workspace = %d, cookie %q", status, cookie)
	}
	for _, part := range []string{"HttpOnly", "SameSite=Strict", "path=/workspace/v3", "secure"} {
		if !strings.Contains(strings.ToLower(cookie), strings.ToLower(part)) {
			t.Errorf("the cookie %q lacks %s", cookie, part)
		}
	}
	d.must("POST", "/workspace/v3/initialize-workspace", "", "Authorization", "Bearer alice-token")
	text := d.must("GET", "/workspace/v3/current-session", "")
	for _, want := range []string{`"userName":"alice"`, `"agentLogin":"A1"`, `"defaultPlace":"desk-1"`} {
		if !strings.Contains(text, want) {
			t.Errorf("current-session lacks %s: %s", want, text)
		}
	}
	if strings.Contains(text, "activeSession") || strings.Contains(text, "alice-token") {
		t.Errorf("current-session says too much: %s", text)
	}
	if text := d.must("GET", "/workspace/v3/configuration/places/desk-1/dns", ""); !strings.Contains(text, `"number":"2001"`) {
		t.Errorf("the place has %s", text)
	}
	for name, headers := range map[string][]string{
		"another site":   {"Sec-Fetch-Site", "cross-site"},
		"another origin": {"Origin", "https://evil.example"},
	} {
		if status, _, _ := d.do("POST", "/workspace/v3/voice/make-call", `{"data":{"destination":"1"}}`, headers...); status != 403 {
			t.Errorf("a request from %s: %d, want 403", name, status)
		}
	}
	r.mu.Lock()
	delete(r.people, "alice-token") // revoked, or she is disabled
	r.mu.Unlock()
	if status, _, _ := d.do("GET", "/workspace/v3/current-session", ""); status != 401 {
		t.Errorf("with a token that ended: %d, want 401", status)
	}
}

func TestLogoutEndsTheSession(t *testing.T) {
	r := start(t, nil)
	d := r.desk(t).enter("alice-token", "2001")
	d.must("POST", "/workspace/v3/logout", "")
	if status, _, _ := d.do("GET", "/workspace/v3/current-session", ""); status != 401 {
		t.Errorf("after logout: %d, want 401", status)
	}
	if n := r.countSessions(); n != 0 || len(r.byDN) != 0 || r.clients.Load() != 0 {
		t.Errorf("%d sessions, %d devices, %d clients are left", n, len(r.byDN), r.clients.Load())
	}
}

func TestSessionsAreLimited(t *testing.T) {
	r := start(t, func(c *Config) { c.MaxSessions = maxPersonSessions + 1 })
	first := r.desk(t).enter("alice-token", "2001")
	for range maxPersonSessions {
		r.desk(t).must("POST", "/workspace/v3/login", "", "Authorization", "Bearer alice-token")
	}
	if status, _, _ := first.do("GET", "/workspace/v3/current-session", ""); status != 401 {
		t.Errorf("the oldest of too many sessions of one person: %d, want 401", status)
	}
	r.desk(t).must("POST", "/workspace/v3/login", "", "Authorization", "Bearer boss-token")
	if status, text, _ := r.desk(t).do("POST", "/workspace/v3/login", "", "Authorization", "Bearer boss-token"); status != 429 {
		t.Errorf("one session too many: %d %s, want 429", status, text)
	}
}

func TestOAuth(t *testing.T) {
	r := start(t, nil)
	d := r.desk(t)
	form := func(values url.Values) (int, string) {
		status, text, _ := d.do("POST", "/auth/v3/oauth/token", values.Encode(), "Content-Type", "application/x-www-form-urlencoded")
		return status, text
	}
	status, text := form(url.Values{"grant_type": {"password"}, "username": {`acme\alice`}, "password": {"sesame"}})
	var body struct {
		Token   string `json:"access_token"`
		Expires int    `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil || status != 200 || body.Token != "alice-token" || body.Expires < 3000 {
		t.Errorf("a token for a password: %d %s", status, text)
	}
	if got := r.signedIn[0]; got.Tenant != "acme" || got.User != "alice" || !got.Source.IsLoopback() {
		t.Errorf("asked to sign in %q of %q from %v", got.User, got.Tenant, got.Source)
	}
	for kind, values := range map[string]url.Values{
		"invalid_grant":          {"grant_type": {"password"}, "username": {"alice"}, "password": {"wrong"}},
		"unsupported_grant_type": {"grant_type": {"client_credentials"}},
		"invalid_request":        {},
	} {
		if status, text := form(values); status != 400 || !strings.Contains(text, `"error":"`+kind+`"`) {
			t.Errorf("%v = %d %s, want %s", values, status, text, kind)
		}
	}

	const back = "https://desk.example/in?x=1"
	ask := "/auth/v3/oauth/authorize?response_type=code&state=s1&client_id=c&redirect_uri=" + url.QueryEscape(back)
	code := func() string {
		req, _ := http.NewRequest("GET", "/", nil)
		req.SetBasicAuth("alice", "sesame")
		status, text, header := d.do("GET", ask, "", "Authorization", req.Header.Get("Authorization"))
		to, err := url.Parse(header.Get("Location"))
		if err != nil || status != http.StatusFound || to.Host != "desk.example" || to.Query().Get("state") != "s1" || to.Query().Get("x") != "1" {
			t.Fatalf("authorize = %d %s, Location %q", status, text, header.Get("Location"))
		}
		return to.Query().Get("code")
	}
	enter := func(code, redirect string) int {
		status, _, _ := r.desk(t).do("POST", "/workspace/v3/initialize-workspace?code="+code+"&redirect_uri="+url.QueryEscape(redirect), "")
		return status
	}
	c := code()
	if got := enter(c, back); got != 200 {
		t.Errorf("a code leads to %d", got)
	}
	if got := enter(c, back); got != 401 {
		t.Errorf("a code used twice leads to %d", got)
	}
	if got := enter(code(), "https://evil.example/"); got != 401 {
		t.Errorf("a code with another redirect_uri leads to %d", got)
	}
	if status, text := form(url.Values{"grant_type": {"authorization_code"}, "code": {code()}, "redirect_uri": {back}}); status != 200 || !strings.Contains(text, "alice-token") {
		t.Errorf("a token for a code: %d %s", status, text)
	}
	if status, _, _ := d.do("GET", ask, ""); status != 400 {
		t.Errorf("authorize without credentials = %d", status)
	}
	if status, text, _ := d.do("GET", "/auth/v3/userinfo", "", "Authorization", "Bearer boss-token"); status != 200 || !strings.Contains(text, `"cmeUserName":"boss"`) {
		t.Errorf("userinfo = %d %s", status, text)
	}
}

func TestBayeuxRefusals(t *testing.T) {
	r := start(t, nil)
	d := r.desk(t).enter("alice-token", "2001")
	if reply := d.meta("subscribe", `,"subscription":["/workspace/v3/voice","/secrets"]`); reply.Successful || !strings.HasPrefix(reply.Error, "403:") {
		t.Errorf("subscribe to what is not there = %+v", reply)
	}
	text := d.must("POST", "/workspace/v3/notifications", `{"channel":"/workspace/v3/voice","id":"9","clientId":"`+d.id+`","data":{}}`)
	if !strings.Contains(text, `"successful":false`) || !strings.Contains(text, `"error":"403:`) {
		t.Errorf("publish = %s", text)
	}
	for name, body := range map[string]string{
		"nothing": ``, "no message": `7`, "no messages": `[]`, "two connects": `[{"channel":"/meta/connect"},{"channel":"/meta/connect"}]`,
		"too many": "[" + strings.Repeat(`{"channel":"x"},`, maxBatch) + `{"channel":"x"}]`,
	} {
		if status, _, _ := d.do("POST", "/workspace/v3/notifications", body); status != 400 {
			t.Errorf("%s: %d, want 400", name, status)
		}
	}
	if text := d.must("POST", "/workspace/v3/notifications", `[{"channel":"/meta/handshake","supportedConnectionTypes":["callback-polling"]}]`); !strings.Contains(text, `"error":"406:`) {
		t.Errorf("handshake without a common transport = %s", text)
	}
	other := r.desk(t).enter("boss-token", "2002")
	other.id = d.id
	if reply := other.meta("connect", ""); reply.Successful || reply.Advice.Reconnect != "handshake" {
		t.Errorf("a client of somebody else's session = %+v", reply)
	}
	if reply := d.meta("unsubscribe", `,"subscription":"/workspace/v3/voice"`); !reply.Successful {
		t.Errorf("unsubscribe = %+v", reply)
	}
	(&script{r: r}).event(voice.EventDialing, "C1", nil)
	if data, _ := d.poll("connect", `,"advice":{"timeout":0}`); len(data) > 0 {
		t.Errorf("after unsubscribe came %v", data)
	}
	if reply := d.meta("disconnect", ""); !reply.Successful {
		t.Errorf("disconnect = %+v", reply)
	}
	if reply := d.meta("connect", ""); !strings.HasPrefix(reply.Error, "402:") {
		t.Errorf("connect after disconnect = %+v", reply)
	}
}

func TestASlowClientIsDroppedAndBeginsAnew(t *testing.T) {
	r := start(t, nil)
	d := r.desk(t).enter("alice-token", "2001")
	quick := r.desk(t).enter("boss-token", "2001")
	s := &script{r: r}
	for i := range maxQueue {
		s.event(voice.EventDialing, fmt.Sprint("C", i%2), func(ev *voice.CallEvent) { ev.OtherDN = fmt.Sprint(i) })
		if i%64 == 0 {
			quick.until(func(map[string]any) bool { return true })
			quick.rest = nil
		}
	}
	if reply := d.meta("connect", ""); reply.Successful || reply.Advice == nil || reply.Advice.Reconnect != "handshake" {
		t.Fatalf("a client that let everything wait = %+v", reply)
	}
	if reply := quick.meta("connect", ""); !reply.Successful {
		t.Errorf("the one that did not = %+v", reply)
	}
	d.handshake()
	same(t, "anew", d.lines("StateChange C1 Dialing 255"), "Dn InitiatingCall", "StateChange C0 Dialing 254", "StateChange C1 Dialing 255")
}

func TestANewPollAnswersTheOneBefore(t *testing.T) {
	r := start(t, nil)
	d := r.desk(t).enter("alice-token", "2001")
	d.must("POST", "/workspace/v3/notifications/connect", `[{"channel":"/meta/connect","clientId":"`+d.id+`","advice":{"timeout":0}}]`)
	older := make(chan bayeuxReply, 1)
	go func() {
		_, reply := d.poll("connect", "")
		older <- reply
	}()
	r.waiting(t, d.id)
	newer := make(chan bayeuxReply, 1)
	go func() {
		_, reply := d.poll("connect", "")
		newer <- reply
	}()
	if reply := <-older; reply.Successful || !strings.HasPrefix(reply.Error, "409:") {
		t.Errorf("the older poll = %+v", reply)
	}
	r.Device(&voice.DeviceEvent{ID: voice.EventDNDOn, Tenant: "acme", ThisDN: "2001"})
	if reply := <-newer; !reply.Successful {
		t.Errorf("the newer poll = %+v", reply)
	}
}

func TestAPollOfAClientThatLeavesIsToldToStayAway(t *testing.T) {
	r := start(t, nil)
	for name, leave := range map[string]func(*desk){
		"disconnect": func(d *desk) { d.meta("disconnect", "") },
		"logout":     func(d *desk) { d.must("POST", "/workspace/v3/logout", "") },
	} {
		d := r.desk(t).enter("alice-token", "2001")
		d.rest = nil
		answered := make(chan bayeuxReply, 1)
		go func() {
			_, reply := d.poll("connect", "")
			answered <- reply
		}()
		r.waiting(t, d.id)
		leave(d)
		if reply := <-answered; reply.Advice == nil || reply.Advice.Reconnect != "none" {
			t.Errorf("%s: the poll = %+v", name, reply)
		}
	}
}

// waiting returns when a client's poll waits.
func (r *rig) waiting(t *testing.T, id string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, x := range r.all() {
			x.mu.Lock()
			c := x.clientLocked(id)
			waits := c != nil && c.poll != nil
			x.mu.Unlock()
			if waits {
				return
			}
		}
	}
	t.Fatal("no poll waits")
}

// Time is played here: the service has no sockets of its own.
func TestSilenceEndsClientsAndSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{
			Config: DefaultConfig(),
			Ask:    (&rig{}).ask, SignIn: (&rig{}).signIn, Verify: (&rig{people: map[string]voice.Principal{"t": alice}}).verify,
			Calls: func(_ context.Context, _ contract.FindCallsRequest) (r contract.FindCallsResponse, _ error) {
				return r, nil
			},
			Read: func(context.Context, voice.Kind, string, string) (r voice.Resource, _ error) { return r, nil },
			DN:   func(string, string) (voice.DNType, bool) { return voice.DNExtension, true },
		})
		if err != nil {
			t.Fatal(err)
		}
		go s.Run(t.Context()) //nolint:errcheck // returns nil
		x, err := s.open("acme", "t", voice.Person{Username: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.activate(t.Context(), x, "2001", "", true); err != nil {
			t.Fatal(err)
		}
		handshake := s.meta(x, &bayeuxMessage{Channel: "/meta/handshake", Types: []string{"long-polling"}})
		began := time.Now()
		if _, reply := s.connect(t.Context(), x, &bayeuxMessage{ClientID: handshake.ClientID}); !reply.Successful || time.Since(began) != s.o.Config.Poll {
			t.Errorf("a poll with nothing to tell = %+v after %v", reply, time.Since(began))
		}
		time.Sleep(clientSilence + 2*sweepEvery)
		if s.clients.Load() != 0 || s.countSessions() != 1 {
			t.Errorf("%d clients, %d sessions; the silent client should be gone, its session not", s.clients.Load(), s.countSessions())
		}
		time.Sleep(s.o.Config.Silence)
		if s.countSessions() != 0 || len(s.byDN) != 0 {
			t.Error("a session that nobody uses is still there")
		}
	})
}

func (x *session) forgetCheck() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.checked = time.Time{}
}

// A device is the agent's as long as it is at his place, and a session somebody's as long as he is an agent.
func TestWhatWasAllowedIsCheckedAgain(t *testing.T) {
	r := start(t, nil)
	d := r.desk(t).enter("alice-token", "2001")
	make := func() (int, string) {
		status, text, _ := d.do("POST", "/workspace/v3/voice/make-call", `{"data":{"destination":"2002"}}`)
		return status, text
	}
	if status, text := make(); status != 200 {
		t.Fatalf("a call from one's own device = %d %s", status, text)
	}
	r.mu.Lock()
	r.changed = map[string]string{"places/desk-1": `{"name":"desk-1","dns":["2002"]}`}
	r.mu.Unlock()
	for _, x := range r.all() {
		x.forgetCheck()
	}
	if status, text := make(); status == 200 || !strings.Contains(text, "no device") {
		t.Errorf("a call from a device that is somebody else's by now = %d %s", status, text)
	}
	if got := r.following("acme", "2001"); len(got) != 0 {
		t.Errorf("%d sessions still follow it", len(got))
	}
	d.must("POST", "/workspace/v3/activate-channels", `{"data":{"dn":"2002"}}`)
	r.mu.Lock()
	r.people["alice-token"] = voice.Principal{Tenant: "acme", User: "alice"}
	r.mu.Unlock()
	if status, text := make(); status != http.StatusForbidden {
		t.Errorf("a call of somebody who is no agent any more = %d %s", status, text)
	}
	if got := r.following("acme", "2002"); len(got) != 0 {
		t.Errorf("%d sessions still follow the device", len(got))
	}
	if status, _, _ := r.desk(t).do("POST", "/workspace/v3/initialize-workspace", "", "Authorization", "Bearer alice-token"); status != http.StatusForbidden {
		t.Errorf("a session for who is no agent = %d", status)
	}
}

// However many take a device for one session at once, it follows the one it has.
func TestActivationsAtOnce(t *testing.T) {
	r := start(t, nil)
	r.desk(t).enter("boss-token", "2001")
	x := r.all()[0]
	for range 200 {
		var wg sync.WaitGroup
		for _, dn := range []string{"2001", "2002", "2001", "2002"} {
			wg.Go(func() { _ = r.activate(t.Context(), x, dn, "", true) })
		}
		wg.Wait()
		x.mu.Lock()
		dn := x.dn
		x.mu.Unlock()
		for _, other := range []string{"2001", "2002"} {
			if got := len(r.following("acme", other)); got != 0 && other != dn || got != 1 && other == dn {
				t.Fatalf("the session has %s, and %d follow %s", dn, got, other)
			}
		}
	}
}
