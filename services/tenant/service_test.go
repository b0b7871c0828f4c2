package tenant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/httpapi/apitest"
	"parley/internal/obs"
	"parley/internal/passwd"
	"parley/internal/store"
	"parley/internal/voice"
	"parley/services/config"
)

func TestMain(m *testing.M) {
	// fasthttp keeps one clock for the header Date in a process, from the first response on.
	goleak.VerifyTestMain(m, apitest.Clock())
}

const password = "correct horse battery"

// testHash takes its time, so it is made once.
var testHash = sync.OnceValue(func() string { return passwd.Hash(password) })

var here = netip.MustParseAddr("192.0.2.10")

// rig is the service beside the real configuration service, on a real fabric.
type rig struct {
	*Service
	t   *testing.T
	f   *fabric.Fabric
	url string
	log *lockedBuffer
}

type lockedBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func start(t *testing.T, edit func(*Config)) *rig {
	t.Helper()
	f := fabrictest.New(t)
	startConfig(t, f)
	put(t, f, voice.SystemTenant, voice.KindTenant, "demo", voice.Tenant{Name: "demo", Domains: []string{"demo.local"}, Default: true})
	put(t, f, voice.SystemTenant, voice.KindTenant, "acme", voice.Tenant{Name: "acme", Domains: []string{"acme.example"}})
	put(t, f, "demo", voice.KindPerson, "alice", voice.Person{Username: "alice", PasswordHash: testHash(), Roles: []voice.Role{voice.RoleAgent, voice.RoleAdmin}})
	put(t, f, "demo", voice.KindPerson, "gone", voice.Person{Username: "gone", PasswordHash: testHash(), Disabled: true})
	return startOn(t, f, edit)
}

// startOn starts the service alone.
func startOn(t *testing.T, f *fabric.Fabric, edit func(*Config)) *rig {
	t.Helper()
	cfg := DefaultConfig()
	if edit != nil {
		edit(&cfg)
	}
	r := &rig{t: t, f: f, log: &lockedBuffer{}}
	var err error
	r.Service, err = New(Options{Fabric: f, Config: cfg, Registry: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(r.log, nil)), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + ln.Addr().String()
	run(t, r.Run)
	run(t, func(ctx context.Context) error { return r.Serve(ctx, ln) })
	until(t, "the service is ready", r.health.Ready)
	return r
}

// run runs fn until the test ends.
func run(t *testing.T, fn func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}

func startConfig(t *testing.T, f *fabric.Fabric) {
	t.Helper()
	st, err := store.Open(t.Context(), "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	health := obs.NewHealth()
	svc, err := config.New(config.Options{
		Fabric: f, Store: st, Registry: prometheus.NewRegistry(), Health: health, Log: slog.New(slog.DiscardHandler),
		Verify: func(context.Context, string) (voice.Principal, error) {
			return voice.Principal{}, voice.ErrUnauthorized
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, svc.Run)
	until(t, "the configuration is ready", health.Ready)
}

func put(t *testing.T, f *fabric.Fabric, tenant string, kind voice.Kind, key string, body any) {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fabric.Call(context.Background(), f, contract.ConfigPut, contract.ConfigPutRequest{Tenant: tenant, Kind: kind, Key: key, Version: -1, Body: raw, User: "test"})
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-tick.C
	}
}

func (r *rig) signInAs(tenant, user, pass string, from netip.Addr) (contract.Session, error) {
	return fabric.Call(context.Background(), r.f, contract.SignIn, contract.SignInRequest{Tenant: tenant, User: user, Password: pass, Source: from})
}

func (r *rig) session() contract.Session {
	r.t.Helper()
	s, err := r.signInAs("", "alice", password, here)
	if err != nil {
		r.t.Fatalf("sign-in: %v", err)
	}
	return s
}

func (r *rig) verifies(token string) (voice.Principal, error) {
	return fabric.Call(context.Background(), r.f, contract.VerifyToken, token)
}

func TestSignInGivesATokenThatVerifies(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	s := r.session()
	want := voice.Principal{Tenant: "demo", User: "alice", Roles: []voice.Role{voice.RoleAgent, voice.RoleAdmin}}
	p, err := r.verifies(s.Token)
	if err != nil || p.Tenant != want.Tenant || p.User != want.User || !slices.Equal(p.Roles, want.Roles) || s.Principal.User != "alice" {
		t.Errorf("verify = %+v, %v, want %+v", p, err, want)
	}
	if left := time.Until(s.Expires); left < 11*time.Hour || left > 12*time.Hour {
		t.Errorf("the token lives %v, want 12 h", left)
	}
	named, err := r.signInAs("demo", "alice", password, here)
	if err != nil || named.Token == s.Token {
		t.Errorf("a second sign-in, naming the tenant: %v; the same token: %v", err, named.Token == s.Token)
	}
}

func TestSignInRefusesAllStrangersAlike(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.Lockout.SourceFailures = 1000 })
	for name, c := range map[string][3]string{
		"wrong password":         {"", "alice", "wrong"},
		"unknown name":           {"", "nobody", password},
		"disabled":               {"", "gone", password},
		"unknown tenant":         {"nowhere", "alice", password},
		"somebody's else tenant": {"acme", "alice", password},
		"no password":            {"", "alice", ""},
		"no name":                {"", "", password},
		"impossible name":        {"", "a/b >*", password},
		"endless name":           {"", strings.Repeat("a", 4000), password},
		"endless password":       {"", "alice", strings.Repeat("a", 1<<20)},
		"the password and more":  {"", "alice", password + "\x00"},
	} {
		s, err := r.signInAs(c[0], c[1], c[2], here)
		if !errors.Is(err, voice.ErrUnauthorized) || err.Error() != errRefused.Error() || s.Token != "" {
			t.Errorf("%s: %+v, %v, want %q", name, s, err, errRefused)
		}
	}
	if got := testutil.ToFloat64(r.metrics.signIns.WithLabelValues(outcomeRefused)); got != 11 {
		t.Errorf("sign_ins_total{refused} = %v, want 11", got)
	}
	if log := r.log.String(); strings.Contains(log, password) || strings.Contains(log, "wrong") || len(log) > 1<<14 {
		t.Errorf("the log tells a password, or all of an endless name:\n%.2000s", log)
	}
}

// TestUnknownNamesTakeAsLong compares the work, not the clock: each refusal must have verified exactly one password.
func TestUnknownNamesTakeAsLong(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	work := func() uint64 {
		families, err := r.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "parley_tenant_password_check_seconds" {
				return f.GetMetric()[0].GetHistogram().GetSampleCount()
			}
		}
		t.Fatal("no histogram of password checks")
		return 0
	}
	for i, user := range []string{"alice", "nobody", "gone", "a/b"} {
		if _, err := r.signInAs("", user, "wrong", here); err == nil {
			t.Fatalf("%s signs in", user)
		}
		if got := work(); got != uint64(i+1) {
			t.Errorf("after %s: %d password checks, want %d", user, got, i+1)
		}
	}
}

func TestLockoutByNameThenBySource(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.Lockout.NameFailures, c.Lockout.SourceFailures = 3, 7 })
	clock := newClock(r)
	for _, name := range []string{"alice", "nobody"} { // the same for a name that does not exist
		for range 3 {
			if _, err := r.signInAs("", name, "wrong", here); !errors.Is(err, voice.ErrUnauthorized) {
				t.Fatalf("%s: %v, want ErrUnauthorized", name, err)
			}
		}
		_, err := r.signInAs("", name, password, netip.MustParseAddr("198.51.100.1"))
		if !errors.Is(err, voice.ErrOverloaded) || err.Error() != errLocked.Error() {
			t.Errorf("%s after three failures, right password, another source: %v, want %q", name, err, errLocked)
		}
	}
	if _, err := r.signInAs("", "somebody", "wrong", here); !errors.Is(err, voice.ErrUnauthorized) {
		t.Fatalf("seventh failure: %v", err)
	}
	if _, err := r.signInAs("", "another", "wrong", here); !errors.Is(err, voice.ErrOverloaded) {
		t.Errorf("an eighth name from a source with seven failures: %v, want ErrOverloaded", err)
	}
	clock.advance(r.cfg.Lockout.Duration)
	if _, err := r.signInAs("", "alice", password, here); err != nil {
		t.Errorf("after the lock: %v", err)
	}
}

// newClock replaces the service's clock before anybody uses it at the same time.
func newClock(r *rig) *clock {
	c := &clock{at: time.Now()}
	r.now = c.now
	return c
}

type clock struct {
	mu sync.Mutex // guards at
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestTooManySignInsAtOnceAreSentAway(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.Verifications, c.Waiting = 1, 2 })
	r.checks.slots <- struct{}{} // a verification that takes its time
	var wg sync.WaitGroup
	errs := make(chan error, 10)
	for i := range 10 {
		wg.Go(func() {
			_, err := r.signInAs("", "alice", password, netip.MustParseAddr(fmt.Sprintf("198.51.100.%d", i)))
			errs <- err
		})
	}
	until(t, "seven were sent away", func() bool { return len(errs) == 7 })
	<-r.checks.slots
	wg.Wait()
	close(errs)
	let, away := 0, 0
	for err := range errs {
		switch {
		case err == nil:
			let++
		case errors.Is(err, voice.ErrOverloaded):
			away++
		default:
			t.Errorf("sign-in: %v", err)
		}
	}
	if let != 3 || away != 7 {
		t.Errorf("%d signed in and %d were sent away, want 3 and 7", let, away)
	}
	if n, _ := r.guard.lockedNow(time.Now()); n != 0 {
		t.Error("being sent away counts as a failure of the name")
	}
}

func TestTokenEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*rig){
		"disabled": func(r *rig) {
			put(r.t, r.f, "demo", voice.KindPerson, "alice", voice.Person{Username: "alice", Disabled: true})
		},
		"password changed": func(r *rig) {
			put(r.t, r.f, "demo", voice.KindPerson, "alice", voice.Person{Username: "alice", Password: "another password"})
		},
		"deleted": func(r *rig) {
			_, err := fabric.Call(context.Background(), r.f, contract.ConfigDelete, contract.ConfigDeleteRequest{Tenant: "demo", Kind: voice.KindPerson, Key: "alice", Version: -1, User: "test"})
			if err != nil {
				r.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil)
			s := r.session()
			if _, err := r.verifies(s.Token); err != nil {
				t.Fatal(err)
			}
			end(r)
			until(t, "the token is refused", func() bool {
				_, err := r.verifies(s.Token)
				return errors.Is(err, voice.ErrUnauthorized)
			})
		})
	}
	t.Run("expired", func(t *testing.T) {
		r := start(t, nil)
		clock := newClock(r)
		s := r.session()
		clock.advance(12*time.Hour - 2*time.Second)
		if _, err := r.verifies(s.Token); err != nil {
			t.Errorf("two seconds before its end: %v", err)
		}
		clock.advance(2 * time.Second)
		if _, err := r.verifies(s.Token); !errors.Is(err, voice.ErrUnauthorized) {
			t.Errorf("at its end: %v, want ErrUnauthorized", err)
		}
	})
}

func TestRolesFollowThePerson(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	s := r.session()
	if _, err := r.verifies(s.Token); err != nil { // now remembered
		t.Fatal(err)
	}
	put(t, r.f, "demo", voice.KindPerson, "alice", voice.Person{Username: "alice", Roles: []voice.Role{voice.RoleSupervisor}})
	until(t, "the token has the new role", func() bool {
		p, err := r.verifies(s.Token)
		return err == nil && slices.Equal(p.Roles, []voice.Role{voice.RoleSupervisor})
	})
}

func TestNewPasswordCountsAtOnce(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	if _, err := r.verifies(r.session().Token); err != nil { // the old password is remembered
		t.Fatal(err)
	}
	for i := range 5 {
		next := fmt.Sprint("another password ", i)
		put(t, r.f, "demo", voice.KindPerson, "alice", voice.Person{Username: "alice", Password: next})
		s, err := r.signInAs("", "alice", next, here)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.verifies(s.Token); err != nil { // perhaps before the news of the change came
			t.Fatalf("the token of the new password: %v", err)
		}
	}
}

func TestRevokedOnEveryNodeAndAfterARestart(t *testing.T) {
	t.Parallel()
	server := fabrictest.Server(t, t.TempDir())
	f1, f2 := fabrictest.Connect(t, server, "n1"), fabrictest.Connect(t, server, "n2")
	startConfig(t, f1)
	put(t, f1, voice.SystemTenant, voice.KindTenant, "demo", voice.Tenant{Name: "demo", Domains: []string{"demo.local"}, Default: true})
	put(t, f1, "demo", voice.KindPerson, "alice", voice.Person{Username: "alice", PasswordHash: testHash()})
	one, two := startOn(t, f1, nil), startOn(t, f2, nil)
	s, kept := one.session(), one.session()
	if _, err := two.verifies(s.Token); err != nil {
		t.Fatalf("a token of one node on another: %v", err)
	}
	if _, err := fabric.Call(context.Background(), f1, contract.RevokeToken, s.Token); err != nil {
		t.Fatal(err)
	}
	if _, err := one.verifies(s.Token); !errors.Is(err, voice.ErrUnauthorized) {
		t.Errorf("right after the revocation: %v, want ErrUnauthorized", err)
	}
	until(t, "the other node has heard of it", func() bool {
		_, err := two.VerifyToken(context.Background(), s.Token)
		return errors.Is(err, voice.ErrUnauthorized)
	})
	three := startOn(t, fabrictest.Connect(t, server, "n3"), nil)
	if _, err := three.VerifyToken(context.Background(), s.Token); !errors.Is(err, voice.ErrUnauthorized) {
		t.Errorf("on a node that starts later: %v, want ErrUnauthorized", err)
	}
	if _, err := three.VerifyToken(context.Background(), kept.Token); err != nil {
		t.Errorf("another token of the same person: %v", err)
	}
	if _, err := fabric.Call(context.Background(), f1, contract.RevokeToken, s.Token); err != nil {
		t.Errorf("revoking twice: %v", err)
	}
	if _, err := fabric.Call(context.Background(), f1, contract.RevokeToken, "v1.x.y"); !errors.Is(err, voice.ErrUnauthorized) {
		t.Errorf("revoking nonsense: %v, want ErrUnauthorized", err)
	}
}

func TestIssueToken(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.MaxTokenTTL = 48 * time.Hour })
	issue := func(req contract.IssueTokenRequest) (contract.Session, error) {
		return fabric.Call(context.Background(), r.f, contract.IssueToken, req)
	}
	for ttl, want := range map[time.Duration]time.Duration{0: 24 * time.Hour, time.Hour: time.Hour, 1000 * time.Hour: 48 * time.Hour} {
		s, err := issue(contract.IssueTokenRequest{User: "alice", TTL: ttl, By: "test"})
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(s.Expires); left > want || left < want-time.Minute {
			t.Errorf("asked for %v: lives %v, want %v", ttl, left, want)
		}
		if _, err := r.verifies(s.Token); err != nil {
			t.Errorf("verify: %v", err)
		}
	}
	if _, err := issue(contract.IssueTokenRequest{User: "nobody"}); !errors.Is(err, voice.ErrNotFound) {
		t.Errorf("for nobody: %v, want ErrNotFound", err)
	}
	if _, err := issue(contract.IssueTokenRequest{User: "gone"}); !errors.Is(err, voice.ErrForbidden) {
		t.Errorf("for a disabled person: %v, want ErrForbidden", err)
	}
}

func TestREST(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	do := func(method, path, token, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	status, body := do("POST", "/api/v1/token", "", `{"user":"alice","password":"`+password+`","ttl":60}`)
	var got struct {
		Token, Tenant, User string
		Roles               []string
		Expires             time.Time
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 || got.User != "alice" || got.Tenant != "demo" || len(got.Roles) != 2 || time.Until(got.Expires) > time.Minute {
		t.Fatalf("POST token = %d %s", status, body)
	}
	for name, c := range map[string]struct {
		method, path, token, body string
		status                    int
	}{
		"who am I":        {"GET", "/api/v1/userinfo", got.Token, "", 200},
		"no token":        {"GET", "/api/v1/userinfo", "", "", 401},
		"nonsense token":  {"GET", "/api/v1/userinfo", "v1.a.b", "", 401},
		"wrong password":  {"POST", "/api/v1/token", "", `{"user":"alice","password":"a-secret-typo"}`, 401},
		"no password":     {"POST", "/api/v1/token", "", `{"user":"alice"}`, 422},
		"empty password":  {"POST", "/api/v1/token", "", `{"user":"alice","password":""}`, 422},
		"long password":   {"POST", "/api/v1/token", "", `{"user":"alice","password":"` + strings.Repeat("a-secret-typo", 200) + `"}`, 422},
		"unknown field":   {"POST", "/api/v1/token", "", `{"user":"alice","password":"a-secret-typo","role":"system"}`, 422},
		"no JSON":         {"POST", "/api/v1/token", "", `password=a-secret-typo`, 400},
		"endless":         {"POST", "/api/v1/token", "", `{"user":"` + strings.Repeat("a", 1<<16) + `"}`, 413},
		"sign out, no to": {"DELETE", "/api/v1/token", "", "", 401},
	} {
		status, body := do(c.method, c.path, c.token, c.body)
		if status != c.status || strings.Contains(body, "a-secret-typo") || status >= 400 && !strings.Contains(body, fmt.Sprintf(`"status":%d`, status)) {
			t.Errorf("%s: %d %.300s, want %d without an echo", name, status, body, c.status)
		}
	}
	if status, body := do("DELETE", "/api/v1/token", got.Token, ""); status != 204 {
		t.Errorf("DELETE token = %d %s, want 204", status, body)
	}
	if status, _ := do("GET", "/api/v1/userinfo", got.Token, ""); status != 401 {
		t.Errorf("userinfo after the sign-out = %d, want 401", status)
	}
	_, doc := do("GET", "/openapi.json", "", "")
	var openapi struct {
		Paths map[string]map[string]struct{ Security []map[string][]string }
	}
	if err := json.Unmarshal([]byte(doc), &openapi); err != nil {
		t.Fatal(err)
	}
	if s := openapi.Paths["/api/v1/token"]["post"].Security; s == nil || len(s) != 0 {
		t.Errorf("the document says of the sign-in: security %v, want the empty list", s)
	}
	if s := openapi.Paths["/api/v1/userinfo"]["get"].Security; len(s) != 1 {
		t.Errorf("the document says of userinfo: security %v, want a token", s)
	}
}

func TestWaitsForTheConfiguration(t *testing.T) {
	t.Parallel()
	f := fabrictest.New(t)
	svc, err := New(Options{Fabric: f, Config: DefaultConfig(), Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	run(t, svc.Run)
	until(t, "it says what it waits for", func() bool {
		_, checks := svc.health.Report()
		return slices.ContainsFunc(checks, func(c obs.Check) bool { return strings.Contains(c.Reason, "waiting for the configuration") })
	})
	startConfig(t, f)
	until(t, "it is ready", svc.health.Ready)
}

func TestNewChecksItsArguments(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{}); err == nil {
		t.Error("New without anything = nil")
	}
	f := fabrictest.New(t)
	if _, err := New(Options{Fabric: f, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "tenant.verifications") {
		t.Errorf("New with an empty configuration = %v, want the keys named", err)
	}
}

func BenchmarkVerifyToken(b *testing.B) {
	s := &Service{now: time.Now, revoked: &revoked{ids: map[string]struct{}{}}, signer: testSigner}
	s.people = newPeople(nil, s.signer.proof, s.now)
	s.people.known[personKey{"demo", "alice"}] = knownPerson{person{exists: true, proof: s.signer.proof("hash")}, time.Now().Add(time.Hour)}
	s.metrics = newMetrics(prometheus.NewRegistry(), newGuard(DefaultConfig().Lockout), s.revoked, s.now)
	token, err := s.signer.sign(claims{Tenant: "demo", User: "alice", ID: "x", Expires: time.Now().Add(time.Hour).Unix(), Proof: s.signer.proof("hash")})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.VerifyToken(context.Background(), token); err != nil {
			b.Fatal(err)
		}
	}
}
