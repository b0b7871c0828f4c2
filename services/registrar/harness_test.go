package registrar

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/httpapi/apitest"
	"parley/internal/obs"
	"parley/internal/sipua/digest"
	"parley/internal/voice"
)

// The one goroutine left is a clock that fasthttp starts once for the process and never stops.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, apitest.Clock())
}

const (
	patience = 15 * time.Second // for what happens on other goroutines
	password = "s3cret"
	realm    = "demo.local"
	local    = "127.0.0.1:5070"
)

// eventually polls until ok is true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		<-tick.C
	}
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += d
}

// configStore plays the config service: what it keeps, it serves by the real doors.
type configStore struct {
	mu  sync.Mutex
	seq int64
	res map[string]voice.Resource // by tenant/kind/key
	log []contract.ConfigChange
}

func newConfigStore() *configStore {
	c := &configStore{res: map[string]voice.Resource{}}
	c.put(voice.SystemTenant, voice.KindTenant, "demo", voice.Tenant{Name: "demo", Domains: []string{realm}, Realm: realm, Default: true})
	c.put(voice.SystemTenant, voice.KindTenant, "acme", voice.Tenant{Name: "acme", Domains: []string{"acme.example"}, Realm: "acme.example"})
	for i := range 10 {
		c.putDN("demo", voice.DN{Number: strconv.Itoa(1001 + i), Type: voice.DNExtension})
	}
	c.putDN("acme", voice.DN{Number: "1001", Type: voice.DNExtension})
	return c
}

func (c *configStore) put(tenant string, kind voice.Kind, key string, body any) voice.ConfigChanged {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := tenant + "/" + string(kind) + "/" + key
	version := c.res[k].Version + 1
	c.res[k] = voice.Resource{Tenant: tenant, Kind: kind, Key: key, Version: version, Body: text}
	return c.changedLocked(tenant, kind, key, version, voice.OpUpdate)
}

func (c *configStore) changedLocked(tenant string, kind voice.Kind, key string, version int64, op voice.ChangeOp) voice.ConfigChanged {
	c.seq++
	ch := voice.ConfigChanged{Tenant: tenant, Seq: c.seq, Kind: kind, Key: key, Version: version, Op: op}
	c.log = append(c.log, contract.ConfigChange{ConfigChanged: ch})
	return ch
}

// putDN stores a number with a password, unless it has digests already or is of a type without.
func (c *configStore) putDN(tenant string, dn voice.DN) voice.ConfigChanged {
	r := realm
	if tenant != "demo" {
		r = tenant + ".example"
	}
	if dn.Password != "-" {
		dn.Auth = &voice.SIPAuth{
			Username: dn.Number, Realm: r,
			MD5:    hex.EncodeToString(digest.HA1(digest.MD5, dn.Number, r, password)),
			SHA256: hex.EncodeToString(digest.HA1(digest.SHA256, dn.Number, r, password)),
		}
	}
	dn.Password = ""
	return c.put(tenant, voice.KindDN, dn.Number, dn)
}

func (c *configStore) delete(tenant string, kind voice.Kind, key string) voice.ConfigChanged {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.res, tenant+"/"+string(kind)+"/"+key)
	return c.changedLocked(tenant, kind, key, 0, voice.OpDelete)
}

// serve opens the doors of the config service on f.
func (c *configStore) serve(t testing.TB, f *fabric.Fabric) {
	t.Helper()
	ctx := context.Background()
	stop := func(stop func(), err error) {
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
	}
	stop(fabric.Handle(ctx, f, contract.ConfigGet, func(_ context.Context, k contract.ConfigKey) (voice.Resource, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		r, ok := c.res[k.Tenant+"/"+string(k.Kind)+"/"+k.Key]
		if !ok {
			return r, voice.ErrNotFound
		}
		return r, nil
	}))
	stop(fabric.Handle(ctx, f, contract.ConfigList, func(_ context.Context, q contract.ConfigListRequest) (contract.ConfigListResponse, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		var out contract.ConfigListResponse
		for _, r := range c.res {
			if r.Kind == q.Kind && (q.Tenant == "" || q.Tenant == r.Tenant) {
				out.Resources = append(out.Resources, r)
			}
		}
		return out, nil
	}))
	stop(fabric.Handle(ctx, f, contract.ConfigHistory, func(context.Context, contract.ConfigHistoryRequest) (contract.ConfigHistoryResponse, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.log) == 0 {
			return contract.ConfigHistoryResponse{}, nil
		}
		return contract.ConfigHistoryResponse{Changes: c.log[len(c.log)-1:]}, nil
	}))
	stop(fabric.Handle(ctx, f, contract.ClusterSecret, func(context.Context, string) ([]byte, error) {
		return []byte("0123456789abcdef0123456789abcdef"), nil
	}))
}

// platform is one fabric server with a config service on a node of its own.
type platform struct {
	t      testing.TB
	server fabric.InProcess
	config *configStore
	back   *fabric.Fabric
	clock  *clock

	dir  Directory // for the nodes made from now on, in place of their own
	mute bool      // the nodes made from now on publish nothing
}

func newPlatform(t testing.TB, dir string) *platform {
	t.Helper()
	server := fabrictest.Server(t, dir)
	p := &platform{t: t, server: server, config: newConfigStore(), clock: &clock{}}
	p.back = fabrictest.Connect(t, server, "back")
	p.config.serve(t, p.back)
	return p
}

// tell announces a change on CONFIG.
func (p *platform) tell(c voice.ConfigChanged) {
	p.t.Helper()
	_, err := p.back.PublishSync(p.t.Context(), fabric.Event{Subject: fabric.Subject("config", c.Tenant, string(c.Kind), c.Key), Payload: c})
	if err != nil {
		p.t.Fatal(err)
	}
}

// node is one registrar on a platform.
type node struct {
	*Service
	t      testing.TB
	fabric *fabric.Fabric
	reg    *prometheus.Registry
	health *obs.Health
	stop   func() // ends Run and waits; may be called again
}

func (p *platform) node(name string, change func(*Config)) *node {
	p.t.Helper()
	f := fabrictest.Connect(p.t, p.server, name)
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	own := contract.NewDirectory(f, nil)
	var dir Directory = own
	if p.dir != nil {
		dir = p.dir
	}
	n := &node{t: p.t, fabric: f, reg: prometheus.NewRegistry(), health: obs.NewHealth()}
	s, err := New(Options{Fabric: f, Directory: dir, Config: cfg, Registry: n.reg, Health: n.health, Now: p.clock.Now})
	if err != nil {
		p.t.Fatal(err)
	}
	n.Service = s
	if p.mute {
		s.fabric = &nowhere{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{own.Run, s.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				p.t.Errorf("Run = %v", err)
			}
		})
	}
	n.stop = func() { cancel(); wg.Wait() }
	p.t.Cleanup(n.stop)
	eventually(p.t, "registrar ready", func() bool { return n.health.Ready() && served(n.fabric) })
	return n
}

// served tells whether the last of a node's doors is open.
func served(f *fabric.Fabric) bool {
	_, err := fabric.CallNode(context.Background(), f, contract.LiftBan, f.Node(), contract.LiftBanRequest{})
	return voice.CodeOf(err) == voice.CodeOf(voice.ErrNotFound)
}

// newNode is one registrar on a platform of its own.
func newNode(t testing.TB, change func(*Config)) (*node, *platform) {
	t.Helper()
	p := newPlatform(t, t.TempDir())
	return p.node("n1", change), p
}

// events collects what is published on DEVICES.
type events struct {
	mu  sync.Mutex
	got []voice.DeviceEvent
}

func (p *platform) events() *events {
	p.t.Helper()
	e := &events{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		err := p.back.Subscribe(ctx, fabric.StreamDevices, fabric.Filter("device", fabric.Rest), fabric.From{}, func(m fabric.Message) {
			var d voice.DeviceEvent
			if err := json.Unmarshal(m.Data, &d); err != nil {
				p.t.Errorf("event %s: %v", m.Data, err)
			}
			if want := []string{"device", d.Tenant, d.ThisDN, string(d.ID)}; !slices.Equal(m.Subject, want) {
				p.t.Errorf("event on subject %v, want %v", m.Subject, want)
			}
			e.mu.Lock()
			e.got = append(e.got, d)
			e.mu.Unlock()
		})
		if err != nil {
			p.t.Errorf("Subscribe = %v", err)
		}
	})
	p.t.Cleanup(func() { cancel(); wg.Wait() })
	return e
}

// of returns the events of one number as "Event/reason" in order.
func (e *events) of(dn string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, d := range e.got {
		if d.ThisDN == dn {
			out = append(out, strings.TrimPrefix(string(d.ID), "EventDN")+"/"+d.Reason)
		}
	}
	return out
}

func (e *events) expect(t testing.TB, dn string, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("events of %s: %v", dn, want), func() bool { return slices.Equal(e.of(dn), want) })
}

// phone is a SIP phone as the front door shows it.
type phone struct {
	t        testing.TB
	n        *node
	user     string
	password string
	host     string
	callID   string
	cseq     uint32
	source   string
	alg      digest.Algorithm
	change   func(*contract.RegisterRequest) // before each request
}

func (n *node) phone(user string) *phone {
	return &phone{t: n.t, n: n, user: user, password: password, host: realm, callID: "call-" + user, source: local, alg: digest.MD5}
}

// request is the next REGISTER, without credentials.
func (p *phone) request(expires string, contacts ...string) *contract.RegisterRequest {
	p.cseq++
	r := &contract.RegisterRequest{
		RequestURI: "sip:" + p.host, Host: p.host, ToUser: p.user, ToHost: p.host, CallID: p.callID, CSeq: p.cseq,
		Contacts: contacts, Expires: expires, UserAgent: "test/1.0",
		Transport: "udp", Source: netip.MustParseAddrPort(p.source), Via: p.source, Node: p.n.node, Received: time.Now(),
	}
	if p.change != nil {
		p.change(r)
	}
	return r
}

// send brings a request to the registrar.
func (p *phone) send(r *contract.RegisterRequest) *contract.RegisterResponse {
	p.t.Helper()
	resp, err := fabric.CallNode(context.Background(), p.n.fabric, contract.Register, p.n.fabric.Node(), r)
	if err != nil {
		p.t.Fatalf("Register = %v", err)
	}
	return resp
}

// register goes through challenge and answer, and returns the final response.
func (p *phone) register(expires string, contacts ...string) *contract.RegisterResponse {
	p.t.Helper()
	r := p.request(expires, contacts...)
	resp := p.send(r)
	if resp.Status != 401 {
		return resp
	}
	return p.send(p.answer(r, resp))
}

// answer adds credentials for the challenge in resp and raises CSeq, as a phone does.
func (p *phone) answer(r *contract.RegisterRequest, resp *contract.RegisterResponse) *contract.RegisterRequest {
	p.t.Helper()
	next := *r
	p.cseq++
	next.CSeq = p.cseq
	next.Authorization = []string{p.credentials(resp, r.RequestURI, 1)}
	return &next
}

func (p *phone) credentials(resp *contract.RegisterResponse, uri string, nc int) string {
	p.t.Helper()
	for _, h := range resp.Headers {
		if h.Name == "WWW-Authenticate" && strings.Contains(h.Value, "algorithm="+p.alg.String()+",") {
			return authorization(p.alg, h.Value, p.user, p.password, uri, nc)
		}
	}
	p.t.Fatalf("no challenge for %v in %+v", p.alg, resp)
	return ""
}

// authorization computes the answer to a challenge the way a client does, without the package under test.
func authorization(alg digest.Algorithm, challenge, user, password, uri string, nc int) string {
	between := func(from, to string) string {
		_, s, _ := strings.Cut(challenge, from)
		s, _, _ = strings.Cut(s, to)
		return s
	}
	realm, nonce := between(`realm="`, `"`), between(`nonce="`, `"`)
	hash := func(s string) string { return hex.EncodeToString(plainHash(alg, s)) }
	ncText := fmt.Sprintf("%08x", nc)
	response := hash(hash(user+":"+realm+":"+password) + ":" + nonce + ":" + ncText + ":cn:auth:" + hash("REGISTER:"+uri))
	return fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s", algorithm=%s, cnonce="cn", nc=%s, qop=auth`,
		user, realm, nonce, uri, response, alg, ncText)
}

// headers returns the values of the headers of that name.
func headers(r *contract.RegisterResponse, name string) []string {
	var out []string
	for _, h := range r.Headers {
		if h.Name == name {
			out = append(out, h.Value)
		}
	}
	return out
}

// contactsOf returns the contact URIs of a response, in order.
func contactsOf(r *contract.RegisterResponse) []string {
	var out []string
	for _, v := range headers(r, "Contact") {
		uri, _, _ := strings.Cut(strings.TrimPrefix(v, "<"), ">")
		out = append(out, uri)
	}
	return out
}

func (n *node) bindings(tenant, dn string) []contract.Binding {
	n.t.Helper()
	resp, err := fabric.CallNode(context.Background(), n.fabric, contract.Bindings, n.fabric.Node(), contract.BindingsRequest{Tenant: tenant, DN: dn})
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.Bindings
}
