package orchestration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/voice"
)

const patience = 60 * time.Second // for what happens on other goroutines

func eventually(t testing.TB, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-tick.C
	}
}

// testWriter logs to a test, as long as it runs.
type testWriter struct {
	mu sync.Mutex
	t  testing.TB
}

func (w *testWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t != nil {
		w.t.Logf("%s", strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// rig is a JetStream with a SIP node and a configuration that the test plays.
type rig struct {
	t   testing.TB
	srv *fabrictest.NATS
	f   *fabric.Fabric // of the SIP node, "sip1"

	mu        sync.Mutex
	resources map[string]voice.Resource
	asked     []string // of the SIP node: "U1 treat PlayAnnouncement", "U1 route 1002"
	refs      []int64  // of those
	refuse    map[string]*voice.TError
	seq       map[string]uint64
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t, srv: fabrictest.Server(t, t.TempDir()), resources: map[string]voice.Resource{}, refuse: map[string]*voice.TError{}, seq: map[string]uint64{}}
	r.f = fabrictest.Connect(t, r.srv, "sip1")
	ctx := context.Background()
	serve := func(_ func(), err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	serve(fabric.Handle(ctx, r.f, contract.ConfigGet, func(_ context.Context, k contract.ConfigKey) (voice.Resource, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		res, ok := r.resources[string(k.Kind)+"/"+k.Key]
		if !ok {
			return res, voice.Errorf(voice.ErrNotFound, "no %s %s", k.Kind, k.Key)
		}
		return res, nil
	}))
	serve(fabric.Handle(ctx, r.f, contract.ConfigList, func(context.Context, contract.ConfigListRequest) (contract.ConfigListResponse, error) {
		return contract.ConfigListResponse{}, nil
	}))
	serve(fabric.Handle(ctx, r.f, contract.ApplyTreatment, func(_ context.Context, q *contract.TreatmentRequest) (*contract.RequestAnswer, error) {
		return r.note(q.CallUUID, "treat "+q.Type.String(), q.ReferenceID), nil
	}))
	serve(fabric.Handle(ctx, r.f, contract.RouteCall, func(_ context.Context, q *contract.RouteCallRequest) (*contract.RequestAnswer, error) {
		return r.note(q.CallUUID, "route "+q.Destination, q.ReferenceID), nil
	}))
	return r
}

func (r *rig) note(call, what string, ref int64) *contract.RequestAnswer {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, call+" "+what)
	r.refs = append(r.refs, ref)
	return &contract.RequestAnswer{ReferenceID: ref, Error: r.refuse[what]}
}

// put writes a resource, and announces it.
func (r *rig) put(kind voice.Kind, key string, body any) {
	r.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	old := r.resources[string(kind)+"/"+key]
	r.resources[string(kind)+"/"+key] = voice.Resource{Tenant: "demo", Kind: kind, Key: key, Version: old.Version + 1, Body: b}
	r.mu.Unlock()
	if _, err := r.f.PublishSync(r.t.(interface{ Context() context.Context }).Context(), fabric.Event{
		Subject: fabric.Subject("config", "demo", string(kind), key), Payload: voice.ConfigChanged{Tenant: "demo", Kind: kind, Key: key},
	}); err != nil {
		r.t.Fatal(err)
	}
}

// script makes 9000 run a document.
func (r *rig) script(body string) {
	r.put(voice.KindScript, "app", voice.Script{Name: "app", SCXML: doc(body)})
	r.put(voice.KindDN, "9000", voice.DN{Number: "9000", Type: voice.DNRoutingPoint, Application: "app", Options: map[string]map[string]string{"TServer": {"default-dn": "1009"}}})
}

func doc(body string) string {
	return `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" xmlns:dialog="www.genesyslab.com/modules/dialog" xmlns:queue="www.genesyslab.com/modules/queue"
	xmlns:ixn="www.genesyslab.com/modules/interaction" xmlns:session="www.genesyslab.com/modules/session">` + body + `</scxml>`
}

// node is an orchestration node.
type node struct {
	*Service
	stop func()
}

func (r *rig) node(name string, change func(*Config)) *node {
	r.t.Helper()
	f := fabrictest.Connect(r.t, r.srv, name)
	cfg := DefaultConfig()
	cfg.Takeover, cfg.FetchInternal = 2*time.Second, true
	if change != nil {
		change(&cfg)
	}
	w := &testWriter{t: r.t}
	r.t.Cleanup(func() { w.mu.Lock(); w.t = nil; w.mu.Unlock() })
	svc, err := New(Options{Fabric: f, Config: cfg, Log: slog.New(slog.NewTextHandler(w, nil)).With("at", name)})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- svc.Run(ctx) }()
	n := &node{Service: svc, stop: sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				r.t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			r.t.Error("the service does not end")
		}
	})}
	r.t.Cleanup(n.stop)
	return n
}

// says publishes an event of a call, and the work that it is.
func (r *rig) says(call string, id voice.EventName, more func(*voice.CallEvent)) uint64 {
	r.t.Helper()
	r.mu.Lock()
	r.seq[call]++
	seq := r.seq[call]
	r.mu.Unlock()
	ev := &voice.CallEvent{
		ID: id, ThisDN: "9000", OtherDN: "1001", ANI: "1001", DNIS: "9000", CallUUID: call, ConnID: "C" + call, CallThreadID: call,
		CallType: voice.CallInternal, Tenant: "demo", Seq: seq, Time: time.Now(), Node: "sip1",
	}
	if more != nil {
		more(ev)
	}
	if err := r.f.Publish(fabric.Event{Subject: fabric.Subject("call", "demo", call, string(id)), MsgID: fmt.Sprintf("%s:%d", call, seq), Payload: ev}); err != nil {
		r.t.Fatal(err)
	}
	if id == voice.EventQueued {
		if err := r.f.Publish(fabric.Event{
			Subject: fabric.Subject("work", "demo", voice.WorkVoice, call), MsgID: fmt.Sprintf("work:%s:%d", call, seq),
			Payload: voice.WorkItem{Tenant: "demo", Kind: voice.WorkVoice, ID: call, Queue: ev.ThisDN, Seq: seq, Node: "sip1"},
		}); err != nil {
			r.t.Fatal(err)
		}
	}
	return seq
}

// arrives is a call that comes to 9000.
func (r *rig) arrives(call string) {
	r.t.Helper()
	r.says(call, voice.EventDialing, func(e *voice.CallEvent) { e.ThisDN = "1001" })
	r.says(call, voice.EventQueued, nil)
	r.says(call, voice.EventRouteRequest, nil)
}

// wants waits until the SIP node was asked for n things, and tells the last with its ReferenceID.
func (r *rig) wants(n int, last string) int64 {
	r.t.Helper()
	var ref int64
	eventually(r.t, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.asked) < n || r.asked[n-1] != last {
			return fmt.Errorf("the SIP node was asked for %q, want %q as number %d", r.asked, last, n)
		}
		ref = r.refs[n-1]
		return nil
	})
	return ref
}

// nothingMore tells what the SIP node was asked for beyond n.
func (r *rig) nothingMore(n int) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.asked) != n {
		r.t.Errorf("the SIP node was asked for %q, want %d", r.asked, n)
	}
}

func ref(n int64) func(*voice.CallEvent) { return func(e *voice.CallEvent) { e.ReferenceID = n } }

func (n *node) idle() error {
	if got := n.Running(); got != 0 {
		return fmt.Errorf("%d sessions run", got)
	}
	return nil
}

var errNotYet = errors.New("not yet")
