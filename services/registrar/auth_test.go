package registrar

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/sipua/digest"
	"parley/internal/voice"
)

func TestAlgorithms(t *testing.T) {
	n, _ := newNode(t, nil)
	for _, alg := range []digest.Algorithm{digest.MD5, digest.SHA256} {
		p := n.phone("1001")
		p.alg = alg
		if resp := p.register("600", a1); resp.Status != 200 {
			t.Errorf("%v: status %d, want 200", alg, resp.Status)
		}
	}
	p := n.phone("1001")
	p.change = func(r *contract.RegisterRequest) { r.UserAgent = "baresip v1.0.0 (x86_64/linux)" }
	if got := headers(p.send(p.request("600", a1)), "WWW-Authenticate"); len(got) != 1 || !strings.Contains(got[0], "algorithm=MD5,") {
		t.Errorf("an agent that knows only MD5 is offered %q", got)
	}
	if resp := p.register("600", a1); resp.Status != 200 {
		t.Errorf("an agent that knows only MD5: status %d, want 200", resp.Status)
	}
}

func TestOfferOfOne(t *testing.T) {
	n, _ := newNode(t, func(c *Config) { c.Digest.Offer = []string{"sha-256"} })
	p := n.phone("1001")
	p.alg = digest.SHA256
	r := p.request("600", a1)
	challenge := p.send(r)
	if got := headers(challenge, "WWW-Authenticate"); len(got) != 1 || !strings.Contains(got[0], "SHA-256") {
		t.Fatalf("challenges: %q", got)
	}
	weak := *r
	weak.Authorization = []string{authorization(digest.MD5, headers(challenge, "WWW-Authenticate")[0], p.user, p.password, r.RequestURI, 1)}
	if resp := p.send(&weak); resp.Status != 401 {
		t.Errorf("MD5 where it is not offered: status %d, want 401", resp.Status)
	}
	if resp := p.register("600", a1); resp.Status != 200 {
		t.Errorf("SHA-256: status %d, want 200", resp.Status)
	}
}

// nonceText takes the nonces out of an answer, so that answers can be compared byte by byte.
var nonceText = regexp.MustCompile(`nonce="[^"]*"`)

func text(r *contract.RegisterResponse) string {
	return nonceText.ReplaceAllString(fmt.Sprintf("%+v", r), `nonce="…"`)
}

// TestStrangersGetOneAnswer shows that nobody learns from an answer whether a number exists.
func TestStrangersGetOneAnswer(t *testing.T) {
	n, p := newNode(t, func(c *Config) { c.Bans.Failures = 0 })
	p.tell(p.config.putDN("demo", voice.DN{Number: "9000", Type: voice.DNRoutingPoint}))
	p.tell(p.config.putDN("demo", voice.DN{Number: "1050", Type: voice.DNExtension, Password: "-"}))
	p.tell(p.config.putDN("demo", voice.DN{Number: "1051", Type: voice.DNExtension, Options: map[string]map[string]string{"TServer": {"contact": "sip:10.0.0.9:5060"}}}))
	eventually(t, "directory follows", func() bool { _, ok := n.dir.DN("demo", "1051"); return ok })

	type stranger struct {
		name               string
		to, user, password string
	}
	cases := []stranger{
		{"wrong password", "1001", "1001", "guess"},
		{"unknown number", "7777", "7777", password},
		{"other number's account", "1001", "1002", password},
		{"unknown user", "1001", "7777", password},
		{"number of another type", "9000", "9000", password},
		{"number without password", "1050", "1050", password},
		{"number with a fixed contact", "1051", "1051", password},
		{"strange bytes", "1001\x00'--", "1001", password},
	}
	var first, second string
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := n.phone(c.user)
			p.t, p.password = t, c.password
			p.change = func(r *contract.RegisterRequest) { r.ToUser, r.CallID = c.to, "x" }
			r := p.request("600", a1)
			challenge := p.send(r)
			final := p.send(p.answer(r, challenge))
			if challenge.Status != 401 || final.Status != 401 {
				t.Errorf("status %d, then %d; want 401 twice", challenge.Status, final.Status)
			}
			if first == "" {
				first, second = text(challenge), text(final)
			}
			if text(challenge) != first || text(final) != second {
				t.Errorf("another answer:\n%s\n%s\nwant\n%s\n%s", text(challenge), text(final), first, second)
			}
			if b := n.bindings("demo", c.to); len(b) > 0 {
				t.Errorf("registered: %+v", b)
			}
		})
	}
	if first != second {
		t.Errorf("the answer to wrong credentials differs from the challenge:\n%s\n%s", second, first)
	}
}

func TestTenants(t *testing.T) {
	n, _ := newNode(t, nil)
	p := n.phone("1001")
	p.host = "acme.example"
	if resp := p.register("600", a1); resp.Status != 200 {
		t.Fatalf("acme: status %d", resp.Status)
	}
	if len(n.bindings("acme", "1001")) != 1 || len(n.bindings("demo", "1001")) != 0 {
		t.Error("the registration is not in its tenant alone")
	}
	p = n.phone("1001")
	p.host = "127.0.0.1" // no tenant's: the default one
	if resp := p.register("600", a1); resp.Status != 200 || len(n.bindings("demo", "1001")) != 1 {
		t.Errorf("by address: status %d, %d bindings in the default tenant", resp.Status, len(n.bindings("demo", "1001")))
	}
	if len(n.bindings("nobody", "1001")) != 0 {
		t.Error("a tenant that does not exist has registrations")
	}
	if _, ok := n.index.known("nobody"); ok {
		t.Error("asking for a tenant has made it")
	}
}

// TestToOfAnotherTenant: the same number with the same password, but the address-of-record is in another's domain.
func TestToOfAnotherTenant(t *testing.T) {
	n, _ := newNode(t, nil)
	for to, want := range map[string]int{"ACME.example.": 401, "demo.local": 200, "10.1.2.3": 200, "pbx.example": 200} {
		p := n.phone("1001")
		p.change = func(r *contract.RegisterRequest) { r.ToHost, r.CallID = to, "to-"+to }
		if resp := p.register("600", a1); resp.Status != want {
			t.Errorf("To host %s: status %d, want %d", to, resp.Status, want)
		}
	}
}

func TestStaleNonce(t *testing.T) {
	n, p := newNode(t, nil)
	ph := n.phone("1001")
	r := ph.request("600", a1)
	challenge := ph.send(r)
	p.clock.Add(6 * time.Minute)
	resp := ph.send(ph.answer(r, challenge))
	if resp.Status != 401 || !strings.Contains(headers(resp, "WWW-Authenticate")[0], "stale=true") {
		t.Fatalf("old nonce: %+v, want 401 with stale=true", resp)
	}
	if resp = ph.send(ph.answer(r, resp)); resp.Status != 200 {
		t.Errorf("after stale=true: status %d, want 200", resp.Status)
	}
	if n.failures.used.Load() != 0 {
		t.Error("a stale nonce counts as a failure")
	}
	// Credentials read off the wire are no use from elsewhere.
	r = ph.request("600", a1)
	stolen := ph.answer(r, ph.send(r))
	stolen.Source = netip.MustParseAddrPort("127.0.0.66:5060")
	if resp := ph.send(stolen); resp.Status != 401 {
		t.Errorf("credentials from another address: status %d, want 401", resp.Status)
	}
}

func TestNonceOnAnotherNode(t *testing.T) {
	p := newPlatform(t, t.TempDir())
	one, two := p.node("n1", nil), p.node("n2", nil)
	ph := one.phone("1001")
	r := ph.request("600", a1)
	next := ph.answer(r, ph.send(r))
	ph.n = two
	if resp := ph.send(next); resp.Status != 200 {
		t.Errorf("challenge of one node answered at another: %d, want 200", resp.Status)
	}
	eventually(t, "the first node knows", func() bool { return len(one.bindings("demo", "1001")) == 1 })
}

func TestSeveralCredentials(t *testing.T) {
	n, _ := newNode(t, nil)
	p := n.phone("1001")
	r := p.request("600", a1)
	next := p.answer(r, p.send(r))
	next.Authorization = append([]string{`Digest username="x", realm="other", nonce="n", uri="sip:x", response="0"`, "Basic eHk6eg==", "Digest ,,,=="}, next.Authorization...)
	if resp := p.send(next); resp.Status != 200 {
		t.Errorf("credentials for us behind others: status %d, want 200", resp.Status)
	}
}

func TestBanLife(t *testing.T) {
	p := newPlatform(t, t.TempDir())
	limit := func(c *Config) { c.Bans.Failures = 5; c.Bans.Account = 0 }
	one, two := p.node("n1", limit), p.node("n2", limit)
	source := netip.MustParseAddr("127.0.0.9")
	bad := one.phone("1001")
	bad.source, bad.password = "127.0.0.9:5060", "guess"

	for i := range 4 {
		if resp := bad.register("600", a1); resp.Status != 401 {
			t.Fatalf("guess %d: %+v", i, resp)
		}
	}
	good := one.phone("1002") // a success from the same address forgets the failures
	good.source = bad.source
	if resp := good.register("600", a1); resp.Status != 200 {
		t.Fatalf("right password: %d", resp.Status)
	}
	for i := range 5 {
		if resp := bad.register("600", a1); resp.Status != 401 {
			t.Fatalf("guess %d after a success: %+v", i, resp)
		}
	}
	if resp := good.register("600", a1); !resp.Drop {
		t.Errorf("banned source gets %+v", resp)
	}
	if resp := one.phone("1002").register("600", a1); resp.Status != 200 {
		t.Errorf("another source: %d, want 200", resp.Status)
	}
	good.n = two
	eventually(t, "the other node drops too", func() bool { return good.send(good.request("600", a1)).Drop })
	for _, n := range []*node{one, two} {
		eventually(t, "listed", func() bool {
			resp, _ := n.Bans(t.Context(), struct{}{})
			return len(resp.Bans) == 1 && n.BanCount() == 1
		})
		resp, _ := n.Bans(t.Context(), struct{}{})
		if b := resp.Bans[0]; b.Source != source || b.By != "registrar" || b.Failures < 5 || b.Until.Sub(b.Since) != 15*time.Minute {
			t.Errorf("%s lists %+v", n.Service.node, b)
		}
	}
	if _, err := two.LiftBan(t.Context(), contract.LiftBanRequest{Source: source, User: "op"}); err != nil {
		t.Fatal(err)
	}
	good.n = one
	eventually(t, "served again", func() bool { return good.register("600", a1).Status == 200 })

	// A ban ends by itself.
	if _, err := one.AddBan(t.Context(), contract.Ban{Source: source, By: "op", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	if resp := good.register("600", a1); !resp.Drop {
		t.Errorf("banned by hand: %+v", resp)
	}
	p.clock.Add(15*time.Minute + time.Second)
	if resp := good.register("600", a1); resp.Status != 200 {
		t.Errorf("after its time: %+v", resp)
	}
}

func TestBansByHand(t *testing.T) {
	n, p := newNode(t, nil)
	now := p.clock.Now()
	for name, b := range map[string]contract.Ban{
		"no source":    {},
		"in the past":  {Source: netip.MustParseAddr("127.0.0.8"), Until: now.Add(-time.Second)},
		"for ever":     {Source: netip.MustParseAddr("127.0.0.8"), Until: now.AddDate(2, 0, 0)},
		"long reasons": {Source: netip.MustParseAddr("127.0.0.8"), Reason: strings.Repeat("a", maxReason+1)},
	} {
		if _, err := n.AddBan(t.Context(), b); voice.CodeOf(err) != "invalid" {
			t.Errorf("%s: AddBan = %v, want invalid", name, err)
		}
	}
	if _, err := n.LiftBan(t.Context(), contract.LiftBanRequest{Source: netip.MustParseAddr("127.0.0.8")}); voice.CodeOf(err) != "not_found" {
		t.Errorf("LiftBan of nothing = %v, want not found", err)
	}
	b, err := n.AddBan(t.Context(), contract.Ban{Source: netip.MustParseAddr("2001:db8::1:2:3:4"), By: "op"})
	if err != nil || b.Source != netip.MustParseAddr("2001:db8::") {
		t.Fatalf("AddBan of IPv6 = %+v, %v", b, err)
	}
	ph := n.phone("1001")
	ph.source = "[2001:db8::9]:5060"
	if resp := ph.send(ph.request("600", a1)); !resp.Drop {
		t.Errorf("same /64: %+v, want dropped", resp)
	}
	ph.source = "[2001:db8:0:1::9]:5060"
	if resp := ph.send(ph.request("600", a1)); resp.Status != 401 {
		t.Errorf("next /64: %+v, want 401", resp)
	}
}

func TestAbuseReports(t *testing.T) {
	n, _ := newNode(t, func(c *Config) { c.Bans.Exempt = []string{"127.0.0.32/29"} })
	for _, r := range []contract.AbuseReport{
		{Source: netip.MustParseAddr("127.0.0.20"), Reason: "garbage", Weight: 19},
		{Source: netip.MustParseAddr("127.0.0.21"), Reason: "flood", Weight: 20},
		{Source: netip.MustParseAddr("127.0.0.33"), Reason: "flood", Weight: 1000},
		{Source: netip.MustParseAddr("127.0.0.22"), Reason: "nothing", Weight: -5},
		{Reason: "no source", Weight: 100},
	} {
		if _, err := n.ReportAbuse(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	got := n.bans.list(time.Now())
	if len(got) != 1 || got[0].Source != netip.MustParseAddr("127.0.0.21") || got[0].Reason != "flood" {
		t.Errorf("bans: %+v, want 127.0.0.21 alone", got)
	}
}

// TestGuessingFromManySources: the more a number is tried, the fewer tries each new source has; its phone gets in.
func TestGuessingFromManySources(t *testing.T) {
	n, _ := newNode(t, func(c *Config) { c.Bans.Failures = 10; c.Bans.Account = 10 })
	tries := func(source string) int {
		p := n.phone("1001")
		p.source, p.password = source, "guess"
		for i := 0; ; i++ {
			if resp := p.register("600", a1); resp.Drop {
				return i
			}
		}
	}
	var got []int
	for i := range 12 {
		got = append(got, tries(fmt.Sprintf("127.0.1.%d:5060", i)))
	}
	if got[0] < 9 || !slices.IsSortedFunc(got, func(a, b int) int { return b - a }) || got[11] > 2 {
		t.Errorf("tries of each source: %v; want 9 or 10 at first, falling to 1 or 2", got)
	}
	p := n.phone("1001")
	p.source = "127.0.2.1:5060"
	if resp := p.register("600", a1); resp.Status != 200 {
		t.Errorf("the phone that knows its password: %d, want 200", resp.Status)
	}
	if n.guessed.count(n.accountOf("demo", "1001"), n.nowMS()) == 0 {
		t.Error("the guesses are forgotten by a success from elsewhere")
	}
}

func TestBansAreBounded(t *testing.T) {
	n, _ := newNode(t, func(c *Config) { c.Bans.Max = 50; c.Bans.Sources = 64 })
	for i := range 1000 {
		r := contract.AbuseReport{Source: netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)}), Reason: "flood", Weight: 100}
		if _, err := n.ReportAbuse(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if got := n.BanCount(); got != 50 {
		t.Errorf("%d bans, want 50", got)
	}
	if got := len(n.failures.slots); got > 64 {
		t.Errorf("%d failing sources remembered, want 64 at the most", got)
	}
}
