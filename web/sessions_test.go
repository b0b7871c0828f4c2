package web

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"parley/internal/contract"
	"parley/internal/scxml"
	"parley/services/orchestration/trail"
)

// routing is sessions of a chart on the node of the house, run by hand.
type routing struct {
	h    *house
	book *trail.Book
	e    *scxml.Engine
	p    *scxml.Program
	mu   sync.Mutex // guards what follows
	all  map[string]*scxml.Session
}

func (h *house) routing() *routing {
	h.t.Helper()
	r := &routing{h: h, book: trail.New(trail.Limits{}), all: map[string]*scxml.Session{}}
	src, err := os.ReadFile("../internal/scxml/chart/testdata/nested.scxml")
	if err == nil {
		r.e, err = scxml.New(scxml.Options{Trace: r.book.Trace})
	}
	if err == nil {
		r.p, err = r.e.Compile("nested.scxml", src)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	handle(h.t, h.t.Context(), h.f, contract.Sessions, r.book.Sessions)
	handle(h.t, h.t.Context(), h.f, contract.SessionTrace, r.book.SessionTrace)
	return r
}

func (r *routing) start(id, tenant, ani string, ago time.Duration) {
	at := time.Now().Add(-ago)
	r.book.Open(contract.ScriptSession{
		ID: id, Tenant: tenant, Node: r.h.f.Node(), Script: "nested", Version: 3, CallUUID: "c-" + id, ANI: ani, DNIS: "9000", Start: at,
	}, r.p, nil)
	s := r.e.Start(r.p, scxml.StartOptions{ID: id})
	s.Run(at)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[id] = s
}

func (r *routing) post(id, event string, data map[string]any) {
	r.h.t.Helper()
	r.mu.Lock()
	s := r.all[id]
	r.mu.Unlock()
	if err := s.Post(scxml.Event{Name: event, Data: data}); err != nil {
		r.h.t.Fatal(err)
	}
	s.Run(time.Now())
}

func TestSessionsPages(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	r := h.routing()
	sven := h.signIn("sven")
	if a := sven.get("/t/demo/sessions"); a.status != 200 || !strings.Contains(a.body, "No script is at work") {
		t.Errorf("without sessions: %d\n%s", a.status, a.body)
	}
	r.start("S1", "demo", "+49301111", time.Minute)
	r.start("S2", "demo", "+49302222", time.Second)
	r.start("X1", "other", "+49303333", time.Second)
	r.post("S2", "interaction.deleted", nil)
	a := sven.get("/t/demo/sessions")
	for _, want := range []string{`data-session="S1"`, "nested@3", "music, strict", "Running", "Ended", "/t/demo/sessions/S2"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the list lacks %q:\n%s", want, a.body)
		}
	}
	if strings.Contains(a.body, "X1") {
		t.Error("the list shows a session of another tenant")
	}
	if a := sven.get("/t/demo/sessions?q=2222"); strings.Count(a.body, "data-session=") != 1 {
		t.Errorf("a search:\n%s", a.body)
	}
	r.post("S1", "dialog.playsound.done", map[string]any{"requestid": `<b>"1"</b>`})
	a = sven.get("/t/demo/sessions/S1")
	for _, want := range []string{`chart-state state on" data-state="comfort"`, `chart-state state" data-state="music"`, "/t/demo/calls/c-S1", "dialog.playsound.done", `&lt;b&gt;`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page of a session lacks %q:\n%s", want, a.body)
		}
	}
	for _, path := range []string{"/t/demo/sessions/none", "/t/demo/sessions/X1"} {
		if a := sven.get(path); a.status != 404 {
			t.Errorf("%s: %d, want 404", path, a.status)
		}
	}
	if a := h.signIn("alice").get("/t/demo/sessions"); a.status != 403 {
		t.Errorf("an agent: %d", a.status)
	}
}

// The chart follows the session while the page is open.
func browseSessions(t *testing.T, chromium context.Context) {
	h := newHouse(t, setUp{})
	r := h.routing()
	r.start("S1", "demo", "+493012345678", 42*time.Second)
	r.start("S0", "demo", "+493098765432", 5*time.Minute)
	r.post("S0", "interaction.deleted", nil)
	b := newBrowser(t, chromium, h)
	b.do(desktop(), prefer("light"))
	b.signIn("sven")
	b.do(b.open("/t/demo/sessions"))
	b.see(`[data-session="S1"]`, "music, strict")
	b.see("[data-live-state]", "Live")
	b.shoot("sessions")
	r.post("S1", "dialog.playsound.done", nil)
	b.see(`[data-session="S1"]`, "comfort, strict")
	b.do(chromedp.Click(`[data-session="S1"] a`))
	b.at("/t/demo/sessions/S1")
	b.see("[data-live-state]", "Live")
	b.wait("comfort is lit", `document.querySelector('[data-state="comfort"]').classList.contains("on")`)
	r.post("S1", "error.queue.submit", map[string]any{"error": "timeout", "description": "nobody was found", "requestid": "S1.queue1"})
	b.wait("relaxed is lit", `document.querySelector('[data-state="relaxed"]').classList.contains("on")`)
	b.see(".steps", "nobody was found")
	b.shoot("session-light")
	b.do(prefer("dark"))
	b.shoot("session-dark")
	b.do(phone())
	b.shoot("session-phone")
	r.post("S1", "queue.submit.done", nil)
	b.wait("talking is lit", `document.querySelector('[data-state="talking"]').classList.contains("on")`)
	r.post("S1", "interaction.deleted", nil)
	b.see(".head", "Ended")
}
