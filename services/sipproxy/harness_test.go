package sipproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/httpapi/apitest"
	"parley/internal/sipua/wire"
	"parley/internal/voice"
)

func TestMain(m *testing.M) {
	// fasthttp keeps one clock for the header Date in a process, from the first response on.
	goleak.VerifyTestMain(m, apitest.Clock())
}

const patience = 10 * time.Second // for what happens on other goroutines

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

// house is a front door on a real fabric, with the doors it calls served by the test.
type house struct {
	t   testing.TB
	f   *fabric.Fabric
	s   *Service
	reg *prometheus.Registry

	mu         sync.Mutex // guards what follows
	registered []*contract.RegisterRequest
	closed     []contract.FlowClosedRequest
	abuse      []contract.AbuseReport
	keep       bool // remember what was registered
	answer     func(*contract.RegisterRequest) (*contract.RegisterResponse, error)
}

func grant(req *contract.RegisterRequest) (*contract.RegisterResponse, error) {
	res := &contract.RegisterResponse{Status: 200, Reason: "OK"}
	for _, c := range req.Contacts {
		res.Headers = append(res.Headers, contract.Header{Name: "Contact", Value: c + ";expires=60"})
	}
	return res, nil
}

// answers sets what the registrar says.
func (h *house) answers(fn func(*contract.RegisterRequest) (*contract.RegisterResponse, error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = fn
}

// serveDoors plays registrar and config service.
func (h *house) serveDoors(ctx context.Context) {
	h.answer, h.keep = grant, true
	handle(h.t, ctx, h.f, contract.Register, func(_ context.Context, r *contract.RegisterRequest) (*contract.RegisterResponse, error) {
		h.mu.Lock()
		if h.keep {
			h.registered = append(h.registered, copyOf(h.t, r))
		}
		answer := h.answer
		h.mu.Unlock()
		return answer(r)
	})
	handle(h.t, ctx, h.f, contract.Bindings, func(context.Context, contract.BindingsRequest) (contract.BindingsResponse, error) {
		return contract.BindingsResponse{}, voice.ErrNotFound
	})
	handle(h.t, ctx, h.f, contract.FlowClosed, func(_ context.Context, r contract.FlowClosedRequest) (struct{}, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.closed = append(h.closed, r)
		return struct{}{}, nil
	})
	handle(h.t, ctx, h.f, contract.ReportAbuse, func(_ context.Context, r contract.AbuseReport) (struct{}, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.abuse = append(h.abuse, r)
		return struct{}{}, nil
	})
	handle(h.t, ctx, h.f, contract.ClusterSecret, func(context.Context, string) ([]byte, error) {
		return []byte("0123456789abcdef0123456789abcdef"), nil
	})
	handle(h.t, ctx, h.f, contract.ConfigList, func(context.Context, contract.ConfigListRequest) (contract.ConfigListResponse, error) {
		return contract.ConfigListResponse{Total: 3}, nil
	})
}

func handle[Req, Resp any](t testing.TB, ctx context.Context, f *fabric.Fabric, d fabric.Door[Req, Resp], fn func(context.Context, Req) (Resp, error)) {
	stop, err := fabric.Handle(ctx, f, d, fn)
	if errors.Is(err, voice.ErrExists) {
		return // the test serves this one itself
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
}

// start runs a front door; tweak may change its options. It stops when the test ends.
func start(t testing.TB, tweak func(*Options)) *house {
	return startOn(t, fabrictest.New(t), tweak)
}

func startOn(t testing.TB, f *fabric.Fabric, tweak func(*Options)) *house {
	t.Helper()
	h := &house{t: t, f: f, reg: prometheus.NewRegistry()}
	h.serveDoors(t.Context())
	o := Options{Fabric: f, Config: DefaultConfig(), Listen: []string{"udp://127.0.0.1:0", "tcp://127.0.0.1:0"}, Registry: h.reg}
	o.Config.Drain = 0
	if tweak != nil {
		tweak(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	h.s = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	eventually(t, "the front door has its key", func() bool { return s.tokens.Load() != nil })
	return h
}

func (h *house) address(scheme string) string {
	for _, a := range h.s.Addresses() {
		if rest, ok := strings.CutPrefix(a, scheme+"://"); ok {
			return rest
		}
	}
	h.t.Fatalf("no %s listener in %v", scheme, h.s.Addresses())
	return ""
}

// metric reads the sum of a metric over the label values given as name=value.
func (h *house) metric(name string, labels ...string) float64 {
	h.t.Helper()
	families, err := h.reg.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	sum := 0.0
	for _, fam := range families {
		if fam.GetName() != name {
			continue
		}
		for _, m := range fam.GetMetric() {
			if matches(m, labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func matches(m *dto.Metric, labels []string) bool {
	for _, want := range labels {
		found := false
		for _, l := range m.GetLabel() {
			found = found || l.GetName()+"="+l.GetValue() == want
		}
		if !found {
			return false
		}
	}
	return true
}

// phone is a SIP peer on a socket of its own: it sends text and reads messages.
type phone struct {
	t    testing.TB
	conn net.Conn
	buf  []byte // what a stream has given so far
}

func dial(t testing.TB, network, address string) *phone {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &phone{t: t, conn: conn}
}

func (p *phone) addr() string { return p.conn.LocalAddr().String() }

func (p *phone) send(lines ...string) {
	p.t.Helper()
	if _, err := p.conn.Write(text(lines...)); err != nil {
		p.t.Fatal(err)
	}
}

func text(lines ...string) []byte { return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n") }

// read returns the next message, or fails.
func (p *phone) read() *wire.Message {
	p.t.Helper()
	m, err := p.next(patience)
	if err != nil {
		p.t.Fatalf("%s reads: %v", p.addr(), err)
	}
	return m
}

// expect reads until a message with that status or method comes, past others.
func (p *phone) expect(what string) *wire.Message {
	p.t.Helper()
	for {
		if m := p.read(); is(m, what) {
			return m
		}
	}
}

func is(m *wire.Message, what string) bool {
	return m.IsRequest() && string(m.Method()) == what || fmt.Sprint(m.Status()) == what
}

// silent fails if a message comes within d.
func (p *phone) silent(d time.Duration) {
	p.t.Helper()
	if m, err := p.next(d); err == nil {
		p.t.Fatalf("%s got\n%s", p.addr(), m.Data)
	}
}

func (p *phone) next(d time.Duration) (*wire.Message, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return nil, err
	}
	_, stream := p.conn.(*net.TCPConn)
	chunk := make([]byte, 65536)
	for {
		if m := p.cut(stream); m != nil {
			return m, nil
		}
		n, err := p.conn.Read(chunk)
		if err != nil {
			return nil, err
		}
		p.buf = append(p.buf, chunk[:n]...)
	}
}

// cut takes one message off what was read; a datagram is one, or nothing.
func (p *phone) cut(stream bool) *wire.Message {
	p.buf = []byte(strings.TrimLeft(string(p.buf), "\r\n"))
	m := new(wire.Message)
	if err := wire.Scan(m, p.buf); err != nil {
		if !stream && len(p.buf) > 0 {
			p.t.Errorf("got no SIP (%v):\n%q", err, p.buf)
			p.buf = nil
		}
		return nil
	}
	p.buf = p.buf[len(m.Data):]
	if !stream {
		p.buf = nil
	}
	return m.Clone()
}

// copyOf is what may be kept of a request: the strings of one without credentials live until it is answered only.
func copyOf(t testing.TB, r *contract.RegisterRequest) *contract.RegisterRequest {
	c := new(contract.RegisterRequest)
	if err := json.Unmarshal([]byte(asJSON(t, r)), c); err != nil {
		t.Error(err)
	}
	return c
}

// credentials belong to nobody, but take a REGISTER past the challenge.
const credentials = `Authorization: Digest username="1001", realm="demo.local", nonce="n", uri="sip:demo.local", response="r"`

// registerLines is a REGISTER of p.
func (p *phone) registerLines(cseq int, extra ...string) []string {
	network := "UDP"
	if p.conn.LocalAddr().Network() == "tcp" {
		network = "TCP"
	}
	return append([]string{
		"REGISTER sip:demo.local SIP/2.0",
		fmt.Sprintf("Via: SIP/2.0/%s %s;branch=z9hG4bKr%d;rport", network, p.addr(), cseq),
		"Max-Forwards: 70", "From: <sip:1001@demo.local>;tag=f", "To: <sip:1001@demo.local>", "Call-ID: reg-" + p.addr(),
		fmt.Sprintf("CSeq: %d REGISTER", cseq), "Contact: <sip:1001@" + p.addr() + ">", "Content-Length: 0",
	}, extra...)
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
