package trunk

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
	"go.uber.org/goleak"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/sipua"
	"parley/internal/sipua/locate"
	"parley/internal/sipua/transport"
	"parley/internal/voice"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a table whose directory, name server and front door are the test's.
type rig struct {
	t      testing.TB
	table  *Table
	tokens *sipua.Tokens

	mu      sync.Mutex // guards what follows
	dns     map[string]*contract.DNRecord
	answers map[string]locate.Answer                                   // by host
	say     func(n int, req *sip.Request, to sipua.Flow) *sip.Response // nil response: silence
	sent    []*sip.Request
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, tokens: sipua.NewTokens([]byte("0123456789abcdef0123456789abcdef")), dns: map[string]*contract.DNRecord{}}
	table, err := New(Options{Node: "n1", Directory: r, Locator: r, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.table = table
	return r
}

func (r *rig) attach(leases *fabric.Bucket) {
	r.table.Attach(Link{
		Sender: r, Tokens: r.tokens, Secret: []byte("secret"), Leases: leases,
		Open:    func(sealed, _, _ string) (string, error) { return sealed, nil },
		Contact: func(tr transport.Transport) string { return "192.0.2.200:5060" },
	})
}

// put makes a number with options of section TServer.
func (r *rig) put(number string, typ voice.DNType, options map[string]string) {
	r.t.Helper()
	body, err := json.Marshal(voice.DN{Number: number, Type: typ, Options: map[string]map[string]string{"TServer": options}})
	if err != nil {
		r.t.Fatal(err)
	}
	rec, err := contract.NewDNRecord(voice.Resource{Tenant: "demo", Kind: voice.KindDN, Key: number, Body: body})
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.dns[number] = rec
	r.mu.Unlock()
	r.table.Changed(contract.DirectoryChange{Tenant: "demo", Number: number, Op: voice.OpUpdate})
}

// trunk makes a trunk and reads it.
func (r *rig) trunk(number string, options map[string]string) *Trunk {
	r.t.Helper()
	r.put(number, voice.DNTrunk, options)
	r.table.Read()
	return r.table.Find("demo", number)
}

func (r *rig) Trunks() (out []*contract.DNRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.dns {
		if d.IsTrunk() {
			out = append(out, d)
		}
	}
	return out
}

func (r *rig) Tenant(string) (*contract.TenantRecord, bool) {
	return &contract.TenantRecord{Name: "demo", Domains: []string{"demo.local"}}, true
}

func (r *rig) DN(_, number string) (*contract.DNRecord, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.dns[number]
	return d, ok
}

// Locate knows addresses, and what the test says of names.
func (r *rig) Locate(ctx context.Context, u locate.URI) (locate.Answer, error) {
	if _, err := netip.ParseAddr(u.Host); err == nil {
		plain, err := locate.New(locate.Options{Servers: []string{"127.0.0.1:1"}})
		if err != nil {
			return locate.Answer{}, err
		}
		return plain.Locate(ctx, u)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.answers[u.Host]
	if !ok {
		return a, locate.ErrNoTarget
	}
	return a, nil
}

// answering lets the front door answer; n counts the requests from 1.
func (r *rig) answering(say func(n int, req *sip.Request, to sipua.Flow) *sip.Response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.say = say
}

// Send implements sipua.Sender.
func (r *rig) Send(req *sip.Request, on func(*sip.Response, error)) (sipua.ClientTx, error) {
	var route sip.Uri
	if sip.ParseUri(req.GetHeader("Route").Value()[1:], &route) != nil {
		r.t.Error("the Route cannot be read")
	}
	to, err := r.tokens.Decode([]byte(route.User))
	if err != nil {
		r.t.Error(err)
	}
	r.mu.Lock()
	r.sent = append(r.sent, req)
	n, say := len(r.sent), r.say
	r.mu.Unlock()
	go func() {
		time.Sleep(10 * time.Millisecond) // of the bubble: how far the target is away
		if res := say(n, req, to); res != nil {
			on(res, nil)
		}
	}()
	return nil, nil
}

func (r *rig) SendAck(*sip.Request) error { return nil }

func (r *rig) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sent)
}

func reply(req *sip.Request, status int, headers ...string) *sip.Response {
	res := sip.NewResponseFromRequest(req, status, "Said", nil)
	for i := 0; i+1 < len(headers); i += 2 {
		res.AppendHeader(sip.NewHeader(headers[i], headers[i+1]))
	}
	return res
}

// only is the one trunk there is, as the door shows it.
func (r *rig) only() contract.TrunkStatus {
	r.t.Helper()
	all := r.table.Status("demo", "")
	if len(all) != 1 {
		r.t.Fatalf("%d trunks", len(all))
	}
	return all[0]
}
