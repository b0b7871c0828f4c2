package watch

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/sipua/object"
	"parley/internal/voice"
)

//go:generate go test . -update

var update = flag.Bool("update", false, "write the golden ladders anew")

// stage plays the node and a phone that subscribes; what goes between them is written down.
type stage struct {
	t *testing.T
	w *Watcher

	mu      sync.Mutex // guards what follows
	ladder  strings.Builder
	sent    []*notify
	numbers map[string]bool
	phones  []contract.Binding
	calls   []voice.Call
	asked   error // what callstate says instead
}

// notify is a NOTIFY that waits for its answer.
type notify struct {
	req *sip.Request
	on  func(*sip.Response, error)
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, numbers: map[string]bool{"1001": true, "1002": true, "1003": true}, asked: voice.ErrUnavailable}
	s.w = New(Options{World: s, Limits: DefaultLimits(), Escape: func(u string) string { return u }, Registry: prometheus.NewRegistry()})
	t.Cleanup(func() {
		for _, one := range s.w.all() {
			one.halt()
		}
	})
	return s
}

func (s *stage) line(format string, args ...any) { fmt.Fprintf(&s.ladder, format+"\n", args...) }

func (s *stage) Notify(req *sip.Request, on func(*sip.Response, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, &notify{req, on})
	s.line("node  -> phone CSeq %d NOTIFY via %s, %s\n%s", req.CSeq().SeqNo, object.Value(req, "Route"), object.Value(req, "Subscription-State"), summary(req.Body()))
	return nil
}

var tagged = regexp.MustCompile(`<(dialog-info|dialog|state|param|target)\b[^>]*>(?:[a-z]+)?`)

// summary is a document without what is the same in all.
func summary(body []byte) string {
	var out []string
	for _, m := range tagged.FindAllString(string(body), -1) {
		out = append(out, "               "+strings.ReplaceAll(m, ` xmlns="urn:ietf:params:xml:ns:dialog-info"`, ""))
	}
	return strings.Join(out, "\n")
}

func (s *stage) Bindings(_, _ string, on func([]contract.Binding, error)) { on(s.phones, nil) }
func (s *stage) Route(b *contract.Binding) string                         { return "<sip:" + b.Flow + "@n1;lr>" }
func (s *stage) Calls(_, _ string, on func([]voice.Call, error))          { on(s.calls, s.asked) }
func (s *stage) Exists(tenant, number string) bool                        { return tenant == "demo" && s.numbers[number] }
func (s *stage) Contact() string                                          { return "<sip:watch@192.0.2.5>" }

// asks sends a SUBSCRIBE; tag is that of the dialog, "" for a new one.
func (s *stage) asks(tag string, cseq int, expires string, headers ...string) (res *sip.Response) {
	s.t.Helper()
	to := "<sip:1002@demo.local>"
	if tag != "" {
		to += ";tag=" + tag
	}
	text := "SUBSCRIBE sip:1002@demo.local SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx\r\nMax-Forwards: 70\r\nRecord-Route: <sip:flow1@n1;lr>\r\n" +
		"From: <sip:1001@demo.local>;tag=phone\r\nTo: " + to + "\r\nCall-ID: sub-1\r\nEvent: dialog\r\nExpires: " + expires + "\r\n" +
		fmt.Sprintf("CSeq: %d SUBSCRIBE\r\n", cseq)
	if !strings.Contains(strings.Join(headers, "\n"), "Contact:") {
		text += "Contact: <sip:1001@192.0.2.9:5060>\r\n"
	}
	for _, h := range headers {
		if h != "Contact:" {
			text += h + "\r\n"
		}
	}
	m, err := sip.ParseMessage([]byte(text + "Content-Length: 0\r\n\r\n"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.said("phone -> node  SUBSCRIBE, Expires %s", expires)
	respond := func(r *sip.Response) {
		res = r
		s.said("node  -> phone %d SUBSCRIBE, Expires %s", r.StatusCode, object.Value(r, "Expires"))
	}
	if req := m.(*sip.Request); tag != "" {
		s.w.Within(req, respond)
	} else {
		s.w.Subscribe(req, Subscriber{"demo", "1001", "demo.local"}, "1002", respond)
	}
	synctest.Wait()
	return res
}

func (s *stage) said(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line(format, args...)
}

// answers the oldest NOTIFY; status 0 is none at all.
func (s *stage) answers(status int) {
	s.t.Helper()
	s.mu.Lock()
	if len(s.sent) == 0 {
		s.mu.Unlock()
		s.t.Fatalf("no NOTIFY waits for an answer:\n%s", s.ladder.String())
	}
	n := s.sent[0]
	s.sent = s.sent[1:]
	s.line("phone -> node  %d NOTIFY", status)
	s.mu.Unlock()
	if status == 0 {
		n.on(nil, errors.New("nothing came"))
	} else {
		n.on(sip.NewResponseFromRequest(n.req, status, "Said", nil), nil)
	}
	synctest.Wait()
}

// quiet tells that no NOTIFY waits.
func (s *stage) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent) == 0
}

func (s *stage) hears(name voice.EventName, dn, other, conn string, state voice.CallState) {
	s.said("CALLS -> node  %s ThisDN=%s ConnID=%s CallState=%d", name, dn, conn, state)
	s.w.hear("demo", &event{ID: name, ThisDN: dn, OtherDN: other, ConnID: conn, CallState: state})
	synctest.Wait()
}

func (s *stage) passes(d time.Duration) {
	s.said("... %v", d)
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func (s *stage) check(name string) {
	s.t.Helper()
	file := filepath.Join("testdata", "ladders", name+".txt")
	got := "# Code generated by go generate ./services/sip/watch; DO NOT EDIT.\n" + s.ladder.String()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if got != string(want) {
		s.t.Errorf("ladder %s differs:\n--- got\n%s\n--- want\n%s", name, got, want)
	}
}

// forgotten checks that nothing is left of lines and subscriptions.
func (s *stage) forgotten() {
	s.t.Helper()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if len(s.w.subs) != 0 || len(s.w.by) != 0 || len(s.w.lines) != 0 {
		s.t.Errorf("left: %d subscriptions, of %d numbers, %d lines", len(s.w.subs), len(s.w.by), len(s.w.lines))
	}
}

func tagOf(res *sip.Response) string { t, _ := res.To().Params.Get("tag"); return t }

// A lamp follows a call, goes on with a renewal, and ends when the phone does not want it any more.
func TestLampFollowsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		res := s.asks("", 1, "600")
		s.answers(200)
		s.passes(2 * time.Second)
		s.hears(voice.EventRinging, "1002", "1003", "c1", voice.StateOk)
		s.answers(200)
		s.passes(3 * time.Second)
		s.hears(voice.EventEstablished, "1002", "1003", "c1", voice.StateOk)
		s.answers(200)
		s.passes(5 * time.Minute)
		s.asks(tagOf(res), 2, "600")
		s.answers(200)
		s.passes(2 * time.Second)
		s.hears(voice.EventHeld, "1002", "1003", "c1", voice.StateOk)
		s.answers(200)
		s.passes(2 * time.Second)
		s.hears(voice.EventReleased, "1002", "1003", "c1", voice.StateOk)
		s.answers(200)
		s.asks(tagOf(res), 3, "0")
		s.answers(200)
		s.check("lamp-follows-call")
		s.forgotten()
	})
}

// While a NOTIFY is under way, and within a second, what changes is gathered.
func TestChangesAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.asks("", 1, "600")
		s.hears(voice.EventDialing, "1002", "1003", "c1", voice.StateOk)
		s.hears(voice.EventRinging, "1003", "1002", "c1", voice.StateOk) // which the caller hears
		s.answers(200)
		if !s.quiet() {
			t.Error("the second NOTIFY did not wait a second")
		}
		s.passes(time.Second)
		s.answers(200)
		s.hears(voice.EventEstablished, "1002", "1003", "c1", voice.StateOk)
		s.hears(voice.EventReleased, "1002", "1003", "c1", voice.StateOk)
		s.hears(voice.EventRinging, "1002", "1001", "c2", voice.StateOk)
		s.passes(time.Second)
		s.answers(200)
		s.check("changes-are-gathered")
	})
}

// Nobody renews: the end is told, and nothing stays.
func TestSubscriptionExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		res := s.asks("", 1, "60")
		s.answers(200)
		s.passes(time.Minute)
		s.answers(200)
		s.forgotten()
		if again := s.asks(tagOf(res), 2, "60"); again.StatusCode != 481 {
			t.Errorf("a renewal after the end got %d", again.StatusCode)
		}
		s.check("expires")
	})
}

// The phone has another connection since: the registrar knows which.
func TestPhoneMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.asks("", 1, "600")
		s.answers(200)
		s.phones = []contract.Binding{{Contact: "sip:1001@192.0.2.8:5060", Flow: "other"}, {Contact: "sip:1001@192.0.2.9:5060", Flow: "flow2"}}
		s.passes(time.Minute)
		s.hears(voice.EventRinging, "1002", "1003", "c1", voice.StateOk)
		s.answers(430)
		s.answers(200)
		s.passes(time.Minute)
		s.phones = nil
		s.hears(voice.EventEstablished, "1002", "1003", "c1", voice.StateOk)
		s.answers(0)
		s.hears(voice.EventReleased, "1002", "1003", "c1", voice.StateOk)
		s.check("phone-moves")
		s.forgotten()
	})
}

func TestPhoneForgot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.asks("", 1, "600")
		s.answers(481)
		s.check("phone-forgot")
		s.forgotten()
	})
}

// What was before this node, and what ended without a word, comes from callstate.
func TestCallstateFillsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.hears(voice.EventRinging, "1002", "1003", "dead", voice.StateOk)
		s.hears(voice.EventEstablished, "1002", "1003", "gone", voice.StateOk)
		s.passes(time.Minute)
		s.hears(voice.EventReleased, "1002", "1003", "gone", voice.StateOk)
		s.asked, s.calls = nil, []voice.Call{
			{ConnID: "gone", Parties: []voice.Party{{DN: "1002", State: voice.PartyEstablished}}}, // it has not heard yet
			{ConnID: "old", Parties: []voice.Party{{DN: "1001", Role: voice.RoleOrigination, State: voice.PartyEstablished}, {DN: "1002", State: voice.PartyHeld}}},
		}
		s.asks("", 1, "600")
		s.answers(200)
		s.passes(time.Second)
		s.answers(200)
		s.check("callstate-fills-in")
	})
}

func TestNumberGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.asks("", 1, "600")
		s.answers(200)
		s.w.Check("demo", "1003")
		delete(s.numbers, "1002")
		s.w.Check("demo", "1002")
		synctest.Wait()
		s.answers(200)
		s.check("number-goes")
		s.forgotten()
	})
}

func TestNodeStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.asks("", 1, "600")
		s.answers(200)
		s.w.close()
		s.answers(200)
		if res := s.asks("", 1, "600"); res.StatusCode != 503 {
			t.Errorf("a SUBSCRIBE to a node that stops got %d", res.StatusCode)
		}
		s.check("node-stops")
		s.forgotten()
	})
}

func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		for _, c := range []struct {
			expires string
			headers []string
			status  int
		}{
			{"30", nil, 423},
			{"600", []string{"Accept: application/pidf+xml"}, 406},
			{"600", []string{"Contact:"}, 400},
		} {
			if res := s.asks("", 1, c.expires, c.headers...); res.StatusCode != c.status {
				t.Errorf("Expires %s, %v: %d, want %d", c.expires, c.headers, res.StatusCode, c.status)
			}
		}
		delete(s.numbers, "1002")
		if res := s.asks("", 1, "600"); res.StatusCode != 404 {
			t.Errorf("a number that is not there: %d", res.StatusCode)
		}
		s.forgotten()
		s.numbers["1002"] = true
		s.w.limits.PerNumber = 1
		s.asks("", 1, "600")
		s.answers(200)
		if res := s.asks("", 1, "600"); res.StatusCode != 503 || res.GetHeader("Retry-After") == nil {
			t.Errorf("one subscription too many got\n%s", res)
		}
	})
}

func TestServes(t *testing.T) {
	for event, want := range map[string]bool{"dialog": true, "Dialog;id=4": true, "dialog;sla": true, "presence": false, "": false, "dialog;call-id=a;from-tag=b": false} {
		if Serves(event) != want {
			t.Errorf("Serves(%q) = %v", event, !want)
		}
	}
}
