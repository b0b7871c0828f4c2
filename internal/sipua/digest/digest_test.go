package digest

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.UnixMilli(1_800_000_000_000)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var (
	secret = bytes.Repeat([]byte{7}, 32)
	scope  = Scope{Realm: "demo.local", Source: netip.MustParseAddr("127.0.0.1")}
)

func newAuthority(t testing.TB, c *clock, change func(*Options)) *Authority {
	t.Helper()
	o := Options{Secret: secret, Lifetime: 5 * time.Minute, Now: c.Now}
	if change != nil {
		change(&o)
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// answer is what a phone with that password makes of a nonce.
func answer(alg Algorithm, nonce, nc, cnonce, password string) *Credentials {
	c := &Credentials{Username: "1001", Realm: scope.Realm, Nonce: nonce, URI: "sip:demo.local", CNonce: cnonce, NC: nc, QOP: "auth", Algorithm: alg}
	if err := c.setCount(nc); err != nil {
		panic(err)
	}
	var s scratch
	s.matches(c, "REGISTER", HA1(alg, "1001", scope.Realm, password))
	c.Response = string(s.want[:2*len(HA1(alg, "", "", ""))])
	return c
}

func request(cseq uint32) *Request {
	return &Request{Method: "REGISTER", URI: "sip:demo.local", CallID: "a@b", CSeq: cseq, Scope: scope}
}

// TestResponseVectors uses the worked examples of RFC 2617 §3.5 and RFC 7616 §3.9.1.
func TestResponseVectors(t *testing.T) {
	tests := []struct {
		name     string
		value    string
		password string
	}{
		{"RFC 2617", `Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"`, "Circle Of Life"},
		{"RFC 7616 MD5", `Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=MD5, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="8ca523f5e9506fed4657c9700eebdbec", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`, "Circle of Life"},
		{"RFC 7616 SHA-256", `Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`, "Circle of Life"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c Credentials
			if err := Parse(tt.value, &c); err != nil {
				t.Fatal(err)
			}
			var s scratch
			if !s.matches(&c, "GET", HA1(c.Algorithm, c.Username, c.Realm, tt.password)) {
				t.Errorf("matches = false, computed %s, want %s", s.want, c.Response)
			}
			if s.matches(&c, "GET", HA1(c.Algorithm, c.Username, c.Realm, "circle of life")) {
				t.Error("matches = true with the wrong password")
			}
		})
	}
}

func TestParse(t *testing.T) {
	const base = `username="u", realm="r", nonce="n", uri="sip:x", response="0"`
	tests := []struct {
		name, value string
		want        error
	}{
		{"RFC 2069 style", "Digest " + base, nil},
		{"qop", "Digest " + base + `, qop=auth, nc=00000001, cnonce="c"`, nil},
		{"quoted qop", "Digest " + base + `, qop="auth", nc=00000001, cnonce="c"`, nil},
		{"unknown parameter", "Digest " + base + `, colour="blue, or green"`, nil},
		{"folded line", "Digest " + strings.ReplaceAll(base, ", ", ",\r\n "), nil},
		{"empty elements", "Digest ,, " + base + " , ,", nil},
		{"scheme in capitals", "DIGEST " + base, nil},
		{"another scheme", "Basic dTpw", ErrNotDigest},
		{"empty", "", ErrNotDigest},
		{"scheme alone", "Digest", ErrNotDigest},
		{"nothing behind scheme", "Digest ", ErrMalformed},
		{"no username", `Digest realm="r", nonce="n", uri="x", response="0"`, ErrMalformed},
		{"username twice", "Digest " + base + `, username="v"`, ErrMalformed},
		{"no cnonce with qop", "Digest " + base + `, qop=auth, nc=00000001`, ErrMalformed},
		{"no nc with qop", "Digest " + base + `, qop=auth, cnonce="c"`, ErrMalformed},
		{"nc of zero", "Digest " + base + `, qop=auth, nc=00000000, cnonce="c"`, ErrMalformed},
		{"nc not hex", "Digest " + base + `, qop=auth, nc=0000000g, cnonce="c"`, ErrMalformed},
		{"nc of nine digits", "Digest " + base + `, qop=auth, nc=000000001, cnonce="c"`, ErrMalformed},
		{"auth-int", "Digest " + base + `, qop=auth-int, nc=00000001, cnonce="c"`, ErrMalformed},
		{"open quote", `Digest username="u`, ErrMalformed},
		{"control byte", "Digest " + base + ", x=\"a\x00b\"", ErrMalformed},
		{"no comma", `Digest username="u" realm="r"`, ErrMalformed},
		{"too long", "Digest " + base + `, x="` + strings.Repeat("a", MaxValue) + `"`, ErrTooLong},
		{"long field", `Digest username="` + strings.Repeat("a", maxField+1) + `", realm="r"`, ErrTooLong},
		{"many parameters", "Digest " + base + strings.Repeat(", x=y", maxParams), ErrTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c Credentials
			if err := Parse(tt.value, &c); !errors.Is(err, tt.want) {
				t.Errorf("Parse(%q) = %v, want %v", tt.value, err, tt.want)
			}
		})
	}
}

func TestParseUnescapes(t *testing.T) {
	var c Credentials
	if err := Parse(`Digest username="a\"b\\", realm="r\ s", nonce="n", uri="sip:x", response="0", algorithm=sha-256`, &c); err != nil {
		t.Fatal(err)
	}
	if c.Username != `a"b\` || c.Realm != "r s" || c.Algorithm != SHA256 {
		t.Errorf("Parse gave username %q, realm %q, algorithm %v", c.Username, c.Realm, c.Algorithm)
	}
}

func TestChallenge(t *testing.T) {
	var n Nonce
	copy(n[:], strings.Repeat("n", len(n)))
	got := string(AppendChallenge(nil, `a"b`, SHA256, n, true))
	want := `Digest realm="a\"b", nonce="` + string(n[:]) + `", algorithm=SHA-256, stale=true, qop="auth"`
	if got != want {
		t.Errorf("AppendChallenge = %s\nwant %s", got, want)
	}
}

func TestVerify(t *testing.T) {
	const password = "s3cret"
	for _, alg := range []Algorithm{MD5, SHA256} {
		ha1 := HA1(alg, "1001", scope.Realm, password)
		tests := []struct {
			name   string
			change func(c *Credentials, r *Request)
			known  bool
			want   Verdict
		}{
			{"right", nil, true, OK},
			{"response in capitals", func(c *Credentials, _ *Request) { c.Response = strings.ToUpper(c.Response) }, true, OK},
			{"uri with parameter", func(_ *Credentials, r *Request) { r.URI = "sip:DEMO.local:5060;transport=tcp" }, true, OK},
			{"unknown user", nil, false, Denied},
			{"wrong response", func(c *Credentials, _ *Request) { c.Response = strings.Repeat("0", len(c.Response)) }, true, Denied},
			{"short response", func(c *Credentials, _ *Request) { c.Response = c.Response[1:] }, true, Denied},
			{"other method", func(_ *Credentials, r *Request) { r.Method = "INVITE" }, true, Denied},
			{"other Request-URI", func(_ *Credentials, r *Request) { r.URI = "sip:other.local" }, true, OK},
			{"other source", func(_ *Credentials, r *Request) { r.Scope.Source = netip.MustParseAddr("127.0.0.2") }, true, Stale},
			{"other realm", func(_ *Credentials, r *Request) { r.Scope.Realm = "else" }, true, Stale},
			{"no qop", func(c *Credentials, _ *Request) { c.QOP = "" }, true, Unsupported},
			{"unknown algorithm", func(c *Credentials, _ *Request) { c.Algorithm = AlgorithmUnknown }, true, Unsupported},
			{"made-up nonce", func(c *Credentials, _ *Request) { c.Nonce = strings.Repeat("A", nonceText) }, true, Stale},
			{"made-up nonce, unknown user", func(c *Credentials, _ *Request) { c.Nonce = "x" }, false, Stale},
		}
		for _, tt := range tests {
			t.Run(alg.String()+" "+tt.name, func(t *testing.T) {
				a := newAuthority(t, newClock(), nil)
				n := a.Nonce(scope)
				c, r := answer(alg, string(n[:]), "00000001", "cn", password), request(1)
				if tt.change != nil {
					tt.change(c, r)
				}
				if got := a.Verify(c, r, ha1, tt.known); got != tt.want {
					t.Errorf("Verify = %v, want %v", got, tt.want)
				}
			})
		}
	}
}

func TestMatchURI(t *testing.T) {
	ha1 := HA1(MD5, "1001", scope.Realm, "pw")
	for uri, want := range map[string]Verdict{
		"sip:demo.local": OK, "sip:DEMO.local:5060;transport=tcp": OK,
		"sip:other.local": Denied, "sip:demo.local:5070": Denied,
	} {
		a := newAuthority(t, newClock(), func(o *Options) { o.MatchURI = true })
		n := a.Nonce(scope)
		c, r := answer(MD5, string(n[:]), "00000001", "cn", "pw"), request(1)
		r.URI = uri
		if got := a.Verify(c, r, ha1, true); got != want {
			t.Errorf("credentials for %s in a request to %s: %v, want %v", c.URI, uri, got, want)
		}
	}
}

func TestNonceLife(t *testing.T) {
	ha1 := HA1(MD5, "1001", scope.Realm, "pw")
	tests := []struct {
		name string
		wait time.Duration
		want Verdict
	}{
		{"at once", 0, OK},
		{"at the end", 5 * time.Minute, OK},
		{"too late", 5*time.Minute + time.Millisecond, Stale},
		{"from a clock a little ahead", -30 * time.Second, OK},
		{"from a clock far ahead", -2 * time.Minute, Stale},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			maker, judge := newClock(), newClock()
			judge.Add(-time.Hour) // the judge started long before
			b := newAuthority(t, judge, nil)
			judge.Add(time.Hour + tt.wait)
			a := newAuthority(t, maker, nil) // another node with the same secret
			n := a.Nonce(scope)
			if got := b.Verify(answer(MD5, string(n[:]), "00000001", "cn", "pw"), request(1), ha1, true); got != tt.want {
				t.Errorf("Verify on another node after %v = %v, want %v", tt.wait, got, tt.want)
			}
		})
	}
}

func TestOtherSecret(t *testing.T) {
	c := newClock()
	a := newAuthority(t, c, nil)
	b := newAuthority(t, c, func(o *Options) { o.Secret = bytes.Repeat([]byte{8}, 32) })
	n := a.Nonce(scope)
	if got := b.Verify(answer(MD5, string(n[:]), "00000001", "cn", "pw"), request(1), HA1(MD5, "1001", scope.Realm, "pw"), true); got != Stale {
		t.Errorf("Verify of a nonce under another secret = %v, want stale", got)
	}
}

func TestNonceCounts(t *testing.T) {
	a := newAuthority(t, newClock(), nil)
	ha1 := HA1(MD5, "1001", scope.Realm, "pw")
	n := a.Nonce(scope)
	steps := []struct {
		nc   uint32
		cseq uint32
		want Verdict
	}{
		{1, 1, OK},
		{1, 1, Retransmission},
		{1, 2, Replayed}, // same credentials, another request
		{3, 3, OK},
		{1, 1, Replayed}, // a retransmission only of the last one
		{2, 2, OK},       // out of order, first time
		{2, 2, Replayed},
		{3, 3, Retransmission},
		{100, 4, OK},
		{99, 5, OK},
		{36, 6, Replayed}, // out of the window
		{37, 7, OK},
		{0xffffffff, 8, OK},
		{0xfffffffe, 9, OK},
		{101, 10, Replayed},
	}
	for i, s := range steps {
		c := answer(MD5, string(n[:]), fmt.Sprintf("%08x", s.nc), "cn", "pw")
		if got := a.Verify(c, request(s.cseq), ha1, true); got != s.want {
			t.Errorf("step %d: Verify(nc %d, CSeq %d) = %v, want %v", i, s.nc, s.cseq, got, s.want)
		}
	}
	// A wrong password must not use up a count.
	n = a.Nonce(scope)
	if got := a.Verify(answer(MD5, string(n[:]), "00000001", "cn", "guess"), request(1), ha1, true); got != Denied {
		t.Errorf("guess = %v, want denied", got)
	}
	if got := a.Verify(answer(MD5, string(n[:]), "00000001", "cn", "pw"), request(1), ha1, true); got != OK {
		t.Errorf("right after a guess = %v, want ok", got)
	}
}

func TestLegacy(t *testing.T) {
	a := newAuthority(t, newClock(), func(o *Options) { o.Legacy = true })
	ha1 := HA1(MD5, "1001", scope.Realm, "pw")
	n := a.Nonce(scope)
	c := &Credentials{Username: "1001", Realm: scope.Realm, Nonce: string(n[:]), URI: "sip:demo.local", Algorithm: MD5}
	var s scratch
	s.matches(c, "REGISTER", ha1)
	c.Response = string(s.want[:32])
	for i, want := range []Verdict{OK, Retransmission} {
		if got := a.Verify(c, request(1), ha1, true); got != want {
			t.Errorf("use %d = %v, want %v", i, got, want)
		}
	}
	if got := a.Verify(c, request(2), ha1, true); got != Replayed {
		t.Errorf("second request with the nonce = %v, want replayed", got)
	}
}

// TestForgetting shows that a full table makes nonces stale rather than usable twice.
func TestForgetting(t *testing.T) {
	cl := newClock()
	a := newAuthority(t, cl, func(o *Options) { o.Remember = 64 })
	ha1 := HA1(MD5, "1001", scope.Realm, "pw")
	first := a.Nonce(scope)
	use := func(n Nonce) Verdict {
		return a.Verify(answer(MD5, string(n[:]), "00000001", "cn", "pw"), request(1), ha1, true)
	}
	if got := use(first); got != OK {
		t.Fatalf("first use = %v, want ok", got)
	}
	for range 200 {
		cl.Add(time.Millisecond)
		if got := use(a.Nonce(scope)); got != OK {
			t.Fatalf("fresh nonce = %v, want ok", got)
		}
	}
	if got := use(first); got != Stale {
		t.Errorf("forgotten nonce = %v, want stale", got)
	}
	entries := 0
	for i := range a.guard.shards {
		entries += len(a.guard.shards[i].index)
		if len(a.guard.shards[i].index) != len(a.guard.shards[i].ring) {
			t.Errorf("shard %d: %d in the index, %d in the ring", i, len(a.guard.shards[i].index), len(a.guard.shards[i].ring))
		}
	}
	if entries > 64 {
		t.Errorf("%d entries, want 64 at the most", entries)
	}
}

// TestRestart shows that what was used before a restart cannot be used again after it.
func TestRestart(t *testing.T) {
	cl := newClock()
	a := newAuthority(t, cl, nil)
	n := a.Nonce(scope)
	cl.Add(time.Second)
	b := newAuthority(t, cl, nil)
	if got := b.Verify(answer(MD5, string(n[:]), "00000001", "cn", "pw"), request(1), HA1(MD5, "1001", scope.Realm, "pw"), true); got != Stale {
		t.Errorf("nonce from before the restart = %v, want stale", got)
	}
}

func TestConcurrentUseLetsOneIn(t *testing.T) {
	a := newAuthority(t, newClock(), nil)
	ha1 := HA1(MD5, "1001", scope.Realm, "pw")
	n := a.Nonce(scope)
	var wg sync.WaitGroup
	verdicts := make([]Verdict, 32)
	for i := range verdicts {
		wg.Go(func() {
			verdicts[i] = a.Verify(answer(MD5, string(n[:]), "00000001", "cn", "pw"), request(uint32(i)), ha1, true)
		})
	}
	wg.Wait()
	in := 0
	for _, v := range verdicts {
		if v == OK {
			in++
		}
	}
	if in != 1 {
		t.Errorf("%d requests were let in with one nonce-count, want 1", in)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"short secret": {Secret: make([]byte, 15), Lifetime: time.Minute},
		"no lifetime":  {Secret: secret},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("New with %s: no error", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`Digest username="1001", realm="demo.local", nonce="n", uri="sip:demo.local", response="0", cnonce="c", nc=00000001, qop=auth, algorithm=MD5`)
	f.Add(`Digest username="a\"b",realm=r,nonce=n,uri=sip:x,response=0,x="\\"`)
	f.Add("Digest \r\n ,=,\"")
	a, err := New(Options{Secret: secret, Lifetime: time.Minute})
	if err != nil {
		f.Fatal(err)
	}
	ha1 := HA1(MD5, "1001", scope.Realm, "pw")
	f.Fuzz(func(t *testing.T, value string) {
		var c Credentials
		if err := Parse(value, &c); err != nil {
			return
		}
		if c.Username == "" || c.Nonce == "" || len(value) > MaxValue || c.QOP != "" && (c.Count == 0 || c.CNonce == "") {
			t.Errorf("Parse(%q) accepted %+v", value, c)
		}
		if strings.ContainsAny(c.Nonce+c.CNonce+c.Response+c.URI, "\r\n\x00") {
			t.Errorf("Parse(%q) let a control byte through: %+v", value, c)
		}
		if v := a.Verify(&c, request(1), ha1, true); v == OK || v == Retransmission {
			t.Errorf("Verify(%q) = %v", value, v)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	value := `Digest username="1001",realm="demo.local",cnonce="6b8b4567",nc=00000001,qop=auth,uri="sip:127.0.0.1:15099",nonce="` + strings.Repeat("n", 32) + `",response="08dec152ef1e578df438a8989f82c035",algorithm=MD5`
	var c Credentials
	b.ReportAllocs()
	for b.Loop() {
		if err := Parse(value, &c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChallenge(b *testing.B) {
	a := newAuthority(b, newClock(), func(o *Options) { o.Now = nil })
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		n := a.Nonce(scope)
		buf = AppendChallenge(buf[:0], scope.Realm, MD5, n, false)
		buf = AppendChallenge(buf, scope.Realm, SHA256, n, false)
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []Algorithm{MD5, SHA256} {
		ha1 := HA1(alg, "1001", scope.Realm, "pw")
		for _, known := range []bool{true, false} {
			b.Run(fmt.Sprintf("%v/known=%v", alg, known), func(b *testing.B) {
				a := newAuthority(b, newClock(), func(o *Options) { o.Now = nil })
				n := a.Nonce(scope)
				c, r := answer(alg, string(n[:]), "00000001", "cn123456", "wrong"), request(1)
				b.ReportAllocs()
				for b.Loop() {
					if a.Verify(c, r, ha1, known) != Denied {
						b.Fatal("let in")
					}
				}
			})
		}
	}
}

// BenchmarkVerifyFresh is the way a registration goes: each nonce is used once, so the replay table turns over.
func BenchmarkVerifyFresh(b *testing.B) {
	a := newAuthority(b, newClock(), func(o *Options) { o.Now = nil; o.Remember = 16 << 10 })
	ha1 := HA1(MD5, "1001", scope.Realm, "pw")
	r := request(1)
	var s scratch
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		n := a.Nonce(scope)
		c := &Credentials{Username: "1001", Realm: scope.Realm, Nonce: string(n[:]), URI: "sip:demo.local", CNonce: "cn", NC: "00000001", Count: 1, QOP: "auth", Algorithm: MD5}
		s.matches(c, "REGISTER", ha1)
		c.Response = string(s.want[:32])
		b.StartTimer()
		if v := a.Verify(c, r, ha1, true); v != OK {
			b.Fatal(v)
		}
	}
}
