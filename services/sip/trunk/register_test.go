package trunk

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/sipua"
	"parley/internal/voice"
)

var provider = map[string]string{"contact": "sip:192.0.2.10", "register": "sip:192.0.2.10", "auth-user": "us", "auth-password": "secret", "register-expires": "600"}

// A registration is made with credentials and what the provider wants at least, refreshed before it ends, and taken back.
func TestRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.attach(nil)
		r.answering(func(n int, req *sip.Request, _ sipua.Flow) *sip.Response {
			proof := req.GetHeader("Authorization")
			expires := req.GetHeader("Expires").Value()
			switch {
			case proof == nil:
				return reply(req, 401, "WWW-Authenticate", `Digest realm="provider", nonce="n", qop="auth"`)
			case expires == "600":
				return reply(req, 423, "Min-Expires", "1200")
			default:
				return reply(req, 200, "Contact", req.GetHeader("Contact").Value()+";expires=1000")
			}
		})
		r.put("gw1", voice.DNTrunk, provider)
		stop := r.run()
		time.Sleep(time.Second)
		s := r.only().Registration
		if s == nil || s.State != registered || s.User != "us" || s.Registrar != "sip:192.0.2.10" || time.Until(s.Expires).Round(time.Minute) != 17*time.Minute {
			t.Fatalf("registration %+v", s)
		}
		if n := r.count(); n != 3 {
			t.Errorf("%d requests, want 401, 423 and 200", n)
		}
		time.Sleep(800 * time.Second)
		if n := r.count(); n != 4 {
			t.Errorf("%d requests before the lease of 1,000 s ended, want one more", n)
		}
		stop()
		r.mu.Lock()
		defer r.mu.Unlock()
		last := r.sent[len(r.sent)-1]
		if last.GetHeader("Expires").Value() != "0" || last.GetHeader("Authorization") == nil {
			t.Errorf("the end is\n%s", last)
		}
		call := r.sent[0].CallID().Value()
		for i, req := range r.sent {
			if req.CallID().Value() != call || req.CSeq().SeqNo != uint32(i+1) || req.Recipient.User != "" ||
				!strings.Contains(req.To().Value(), "sip:us@192.0.2.10") {
				t.Errorf("request %d is\n%s", i+1, req)
			}
			if !strings.Contains(req.Contact().Value(), r.table.contactUser(r.table.Find("demo", "gw1"))+"@192.0.2.200:5060") {
				t.Errorf("contact %s", req.Contact().Value())
			}
		}
	})
}

// A provider who refuses is asked again, ever more seldom, and says why.
func TestRegistrationFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.attach(nil)
		r.answering(func(_ int, req *sip.Request, _ sipua.Flow) *sip.Response { return reply(req, 403) })
		r.put("gw1", voice.DNTrunk, provider)
		defer r.run()()
		time.Sleep(time.Hour)
		n := r.count()
		if n < 12 || n > 40 { // 2, 4 ... 256, then every 2.5 to 5 minutes
			t.Errorf("asked %d times in an hour", n)
		}
		if s := r.only().Registration; s == nil || s.State != refused || !strings.Contains(s.Reason, "403") {
			t.Errorf("registration %+v", s)
		}
		r.answering(func(_ int, req *sip.Request, _ sipua.Flow) *sip.Response { return reply(req, 200) })
		time.Sleep(6 * time.Minute)
		if s := r.only().Registration; s.State != registered {
			t.Errorf("when the provider came to his senses: %+v", s)
		}
	})
}

// Of two nodes one registers; when it stops, the other does.
func TestOneNodeRegisters(t *testing.T) {
	f := fabrictest.New(t)
	type node struct {
		*rig
		stop func()
	}
	var mu sync.Mutex
	registrations := map[string]int{}
	start := func(name string) node {
		r := newRig(t)
		r.table.node = name
		r.attach(f.Bucket(fabric.BucketLeases))
		r.answering(func(_ int, req *sip.Request, _ sipua.Flow) *sip.Response {
			mu.Lock()
			defer mu.Unlock()
			registrations[name]++
			return reply(req, 200)
		})
		r.put("gw1", voice.DNTrunk, provider)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); r.table.Run(ctx) }()
		return node{r, func() { cancel(); <-done }}
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for !ok() {
			if time.Now().After(deadline) {
				t.Fatalf("not within 20 s: %s; registrations %v", what, registrations)
			}
			<-tick.C
		}
	}
	isRegistered := func(n node) bool {
		all := n.table.Status("demo", "gw1")
		return len(all) == 1 && all[0].Registration != nil && all[0].Registration.State == registered
	}
	a := start("a")
	await("node a registers", func() bool { return isRegistered(a) })
	b := start("b")
	defer b.stop()
	e, err := f.Bucket(fabric.BucketLeases).Get(t.Context(), fabric.Key("trunk", "demo", "gw1"))
	if err != nil || string(e.Value) != "a" || isRegistered(b) {
		t.Fatalf("the lease says %q, %v; b registered: %v", e.Value, err, isRegistered(b))
	}
	a.stop()
	await("node b registers", func() bool { return isRegistered(b) })
	mu.Lock()
	defer mu.Unlock()
	if registrations["a"] != 2 { // and the end of it
		t.Errorf("node a sent %d REGISTERs", registrations["a"])
	}
}
