package web

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

const (
	tracedCall = "0198c5b07e1f70008000000000000000"
	offerSDP   = "v=0\r\no=- 1 1 IN IP4 198.51.100.20\r\ns=-\r\nc=IN IP4 198.51.100.20\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0 101\r\na=sendrecv\r\n"
)

// script is a call as a front door remembers it, message by message.
type script struct {
	start    time.Time
	at       time.Duration
	messages []contract.TraceMessage
}

func (s *script) say(node string, sent bool, transport, remote, callID, first, cseq, body string) {
	s.at += 37 * time.Millisecond
	text := first + "\r\nVia: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK-" + fmt.Sprint(len(s.messages)) +
		"\r\nFrom: \"Alice Archer\" <sip:1001@demo.local>;tag=8d1c\r\nTo: <sip:1002@demo.local>\r\nCall-ID: " + callID + "\r\nCSeq: " + cseq + "\r\n"
	if body != "" {
		text += "Content-Type: application/sdp\r\n"
	}
	s.messages = append(s.messages, contract.TraceMessage{
		Time: s.start.Add(s.at), Node: node, Sent: sent, Transport: transport, Local: "203.0.113.5:5060", Remote: remote, CallID: callID,
		Text: text + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body,
	})
}

// aCall is a call to two phones of 1002, of which the second answers.
func aCall(node string, start time.Time) []contract.TraceMessage {
	s := &script{start: start}
	const caller, leg1, leg2 = "a84b4c76e66710-0@192.0.2.10", tracedCall + ".1@node.parley.invalid", tracedCall + ".2@node.parley.invalid"
	from := func(sent bool, first, cseq, body string) {
		s.say(node, sent, "udp", "198.51.100.20:5060", caller, first, cseq, body)
	}
	to := func(leg string, sent bool, first, cseq, body string) {
		remote, way := "198.51.100.31:5060", "udp"
		if leg == leg2 {
			remote, way = "[2001:db8:1234:5678:9abc:def0:1234:5678]:40112", "tls"
		}
		s.say(node, sent, way, remote, leg, first, cseq, body)
	}
	from(false, "INVITE sip:1002@demo.local SIP/2.0", "1 INVITE", offerSDP)
	from(true, "SIP/2.0 407 Proxy Authentication Required", "1 INVITE", "")
	from(false, "ACK sip:1002@demo.local SIP/2.0", "1 ACK", "")
	from(false, "INVITE sip:1002@demo.local SIP/2.0", "2 INVITE", offerSDP)
	from(true, "SIP/2.0 100 Trying", "2 INVITE", "")
	to(leg1, true, "INVITE sip:1002@198.51.100.31 SIP/2.0", "1 INVITE", offerSDP)
	to(leg2, true, "INVITE sip:1002@192.0.2.9;transport=tls SIP/2.0", "1 INVITE", offerSDP)
	s.messages = append(s.messages, s.messages[len(s.messages)-2]) // nobody answered in time
	s.messages[len(s.messages)-1].Time = start.Add(s.at + 500*time.Millisecond)
	s.at += 500 * time.Millisecond
	to(leg1, false, "SIP/2.0 180 Ringing", "1 INVITE", "")
	from(true, "SIP/2.0 180 Ringing", "2 INVITE", "")
	to(leg2, false, "SIP/2.0 180 Ringing", "1 INVITE", "")
	s.at += 3 * time.Second
	to(leg2, false, "SIP/2.0 200 OK", "1 INVITE", offerSDP)
	from(true, "SIP/2.0 200 OK", "2 INVITE", offerSDP)
	to(leg1, true, "CANCEL sip:1002@198.51.100.31 SIP/2.0", "1 CANCEL", "")
	to(leg1, false, "SIP/2.0 200 OK", "1 CANCEL", "")
	to(leg1, false, "SIP/2.0 487 Request Terminated", "1 INVITE", "")
	to(leg1, true, "ACK sip:1002@198.51.100.31 SIP/2.0", "1 ACK", "")
	from(false, "ACK sip:1002@demo.local SIP/2.0", "2 ACK", "")
	to(leg2, true, "ACK sip:1002@192.0.2.9;transport=tls SIP/2.0", "1 ACK", "")
	s.at += 40 * time.Second
	from(false, "INVITE sip:1002@demo.local SIP/2.0", "3 INVITE", strings.ReplaceAll(offerSDP, "sendrecv", "sendonly"))
	s.at += 10 * time.Second
	to(leg2, false, "BYE sip:node@203.0.113.5 SIP/2.0", "9 BYE", "")
	to(leg2, true, "SIP/2.0 200 OK", "9 BYE", "")
	from(true, "BYE sip:1001@198.51.100.20 SIP/2.0", "1 BYE", "")
	from(false, "SIP/2.0 200 OK", "1 BYE", "")
	return s.messages
}

// someEvents are those of aCall.
func someEvents(node string, start time.Time) []voice.CallEvent {
	var out []voice.CallEvent
	for i, e := range []struct {
		id    voice.EventName
		dn    string
		after time.Duration
	}{
		{voice.EventDialing, "1001", 150 * time.Millisecond}, {voice.EventRinging, "1002", 800 * time.Millisecond}, {voice.EventEstablished, "1001", 4 * time.Second},
		{voice.EventEstablished, "1002", 4001 * time.Millisecond}, {voice.EventHeld, "1001", 44 * time.Second}, {voice.EventReleased, "1002", 55 * time.Second}, {voice.EventReleased, "1001", 55 * time.Second},
	} {
		out = append(out, voice.CallEvent{
			ID: e.id, Server: "sip", ThisDN: e.dn, ConnID: "0123456789abcdef", CallID: 7, CallUUID: tracedCall, CallThreadID: tracedCall, CallType: voice.CallInternal,
			ANI: "1001", DNIS: "1002", Tenant: "demo", Seq: uint64(i + 1), Time: start.Add(e.after), Node: node,
		})
	}
	return out
}

// publishEvents puts call events into the stream, and waits until they are there.
func (h *house) publishEvents(events ...voice.CallEvent) {
	h.t.Helper()
	for i := range events {
		e := &events[i]
		err := h.f.Publish(fabric.Event{
			Subject: fabric.Subject("call", e.Tenant, e.CallUUID, string(e.ID)), MsgID: fmt.Sprintf("%s:%d", e.CallUUID, e.Seq), Payload: e,
		})
		if err != nil {
			h.t.Fatal(err)
		}
	}
	if err := h.f.Flush(context.Background()); err != nil {
		h.t.Fatal(err)
	}
}

// fakeTrace stands in for the front door's memory.
type fakeTrace struct {
	mu       sync.Mutex
	messages []contract.TraceMessage
	lost     bool
	off      bool
}

func (h *house) keepTrace(messages ...contract.TraceMessage) *fakeTrace {
	f := &fakeTrace{messages: messages}
	handle(h.t, h.t.Context(), h.f, contract.Trace, func(_ context.Context, req contract.TraceRequest) (contract.TraceResponse, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.off {
			return contract.TraceResponse{}, voice.Errorf(voice.ErrUnavailable, "no messages are kept")
		}
		var out []contract.TraceMessage
		for _, m := range f.messages {
			if m.CallID == req.CallID || strings.HasPrefix(m.CallID, req.CallUUID) {
				out = append(out, m)
			}
		}
		return contract.TraceResponse{Messages: out, Lost: f.lost}, nil
	})
	return f
}

// tracedRecord is the record of aCall.
func tracedRecord(start time.Time) voice.CDR {
	return voice.CDR{
		CallUUID: tracedCall, ThreadID: tracedCall, Tenant: "demo", Node: "n1", Type: voice.CallInternal, Caller: "1001", CallerName: "Alice Archer", Dialled: "1002", Answered: "1002",
		Start: start, Ringing: start.Add(800 * time.Millisecond), Answer: start.Add(4 * time.Second), End: start.Add(55 * time.Second), Talk: 51 * time.Second,
		Outcome: voice.OutcomeAnswered, Status: 200, EndedBy: "callee", SIPCallID: "a84b4c76e66710-0@192.0.2.10", Events: 7,
	}
}

// draw writes a ladder as text: a line a row.
func (l *ladder) draw() string {
	var b strings.Builder
	for _, r := range l.Rows {
		if r.Event != "" {
			fmt.Fprintf(&b, "* %s %s\n", r.Event, r.DN)
			continue
		}
		arrow := fmt.Sprintf("%d > %d", r.Low, r.High)
		if r.Left {
			arrow = fmt.Sprintf("%d < %d", r.Low, r.High)
		}
		fmt.Fprintln(&b, strings.TrimSpace(strings.Join([]string{arrow, r.Label, r.Of, r.SDP, map[bool]string{true: "again"}[r.Again]}, " ")))
	}
	return b.String()
}

func TestLadder(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l := drawLadder("a84b4c76e66710-0@192.0.2.10", "1001", aCall("n1", start), someEvents("n1", start)[:3])
	var lanes []string
	for _, lane := range l.Lanes {
		lanes = append(lanes, lane.Title+" "+lane.Sub)
	}
	if got, want := strings.Join(lanes, ", "), "1001 udp 198.51.100.20:5060, Parley n1, 1002 udp 198.51.100.31:5060, 1002 tls [2001:db8:1234:5678:9abc:def0:1234:5678]:40112"; got != want {
		t.Errorf("lanes %s\nwant  %s", got, want)
	}
	const want = `1 > 2 INVITE  SDP
1 < 2 407 Proxy Authentication Required
1 > 2 ACK
1 > 2 INVITE  SDP
* Dialing 1001
`
	got := l.draw()
	for _, line := range []string{"2 > 3 INVITE  SDP\n", "2 > 4 INVITE  SDP\n", "2 > 3 INVITE  SDP again\n", "2 < 4 200 OK  SDP\n", "2 > 3 CANCEL\n", "2 < 3 487 Request Terminated\n",
		"* Established 1001\n", "1 > 2 INVITE  SDP sendonly\n", "2 < 4 BYE\n"} {
		if !strings.Contains(got, line) {
			t.Errorf("%q is not in\n%s", line, got)
		}
	}
	if !strings.HasPrefix(got, want) {
		t.Errorf("the ladder begins\n%s\nwant\n%s", got, want)
	}
	if l.Rows[0].After != "0.000" || l.Rows[1].After != "0.037" {
		t.Errorf("times %s, %s", l.Rows[0].After, l.Rows[1].After)
	}
}

func TestLadderOverTwoNodes(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	hop := func(node string, sent bool, local, remote string) contract.TraceMessage {
		return contract.TraceMessage{Time: start.Add(time.Millisecond), Node: node, Sent: sent, Transport: "node", Local: local, Remote: remote, CallID: "c", Text: "INVITE sip:1002@demo.local SIP/2.0\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n"}
	}
	l := drawLadder("c", "1001", []contract.TraceMessage{
		{Time: start, Node: "a", Transport: "udp", Local: "10.0.0.1:5060", Remote: "198.51.100.20:5060", CallID: "c", Text: "INVITE sip:1002@demo.local SIP/2.0\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n"},
		hop("a", true, "10.0.0.1:5060", "10.0.0.2:5060"), hop("b", false, "10.0.0.2:5060", "10.0.0.1:5060"),
	}, nil)
	if got, want := l.draw(), "1 > 2 INVITE\n2 > 3 INVITE\n"; got != want {
		t.Errorf("the ladder is\n%swant\n%s", got, want)
	}
	if len(l.Lanes) != 3 || l.Lanes[1].Sub != "a" || l.Lanes[2].Sub != "b" {
		t.Errorf("lanes %+v", l.Lanes)
	}
}

func TestLadderOfManyPlaces(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := &script{start: start}
	for i := range 20 {
		s.say("n1", true, "udp", fmt.Sprintf("198.51.100.%d:5060", i), fmt.Sprintf("%s.%d@node", tracedCall, i), "INVITE sip:1002@198.51.100.31 SIP/2.0", "1 INVITE", "")
	}
	s.messages = append(s.messages, contract.TraceMessage{Time: start, Node: "n1", Text: "\x00 no SIP"})
	l := drawLadder("c", "1001", s.messages, nil)
	if len(l.Lanes) != maxLanes || l.Lanes[maxLanes-1].Title != "More places" || len(l.Rows) != 21 {
		t.Errorf("%d lanes, the last %+v, %d rows", len(l.Lanes), l.Lanes[len(l.Lanes)-1], len(l.Rows))
	}
	for _, r := range l.Rows {
		if r.Low < 1 || r.High > maxLanes || r.Low >= r.High {
			t.Errorf("an arrow from %d to %d", r.Low, r.High)
		}
	}
	if empty := drawLadder("", "", nil, nil); len(empty.Rows) > 0 {
		t.Errorf("a ladder of nothing has %+v", empty.Rows)
	}
}

func TestCallPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	start := time.Now().Add(-time.Minute).UTC()
	h.keepCalls(tracedRecord(start))
	h.publishEvents(someEvents(h.f.Node(), start)...)
	path := "/t/demo/calls/" + tracedCall
	sven := h.signIn("sven")
	if a := sven.get(path); a.status != 200 || !strings.Contains(a.body, "No front door keeps SIP messages") || !strings.Contains(a.body, "<strong>Ringing</strong>") {
		t.Errorf("without a front door: %d\n%s", a.status, a.body)
	}
	trace := h.keepTrace(aCall(h.f.Node(), start)...)
	a := sven.get(path)
	for _, want := range []string{"487 Request Terminated", "from 1001 to Parley, udp", "SDP sendonly", "<strong>Established</strong>", path + "/sip.txt", "/t/demo/cdrs/" + tracedCall} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %q:\n%s", want, a.body)
		}
	}
	text := sven.get(path + "/sip.txt")
	if text.status != 200 || !strings.Contains(text.header.Get("Content-Disposition"), "call-"+tracedCall+".txt") || strings.Count(text.body, "\n---- ") != len(trace.messages)-1 {
		t.Errorf("the text: %d %v\n%s", text.status, text.header, text.body)
	}
	for _, c := range []struct {
		user, path string
		want       int
	}{{"alice", path, 403}, {"sven", "/t/acme/calls/" + tracedCall, 403}, {"root", "/t/acme/calls/" + tracedCall, 404}, {"sven", "/t/demo/calls/none", 404}, {"alice", path + "/sip.txt", 403}} {
		if a := h.signIn(c.user).get(c.path); a.status != c.want {
			t.Errorf("%s asks for %s: %d, want %d", c.user, c.path, a.status, c.want)
		}
	}
	trace.mu.Lock()
	trace.messages, trace.lost = nil, true
	trace.mu.Unlock()
	if a := sven.get(path); !strings.Contains(a.body, "are forgotten") {
		t.Errorf("after the ring has turned:\n%s", a.body)
	}
}

// browseLadder opens a call from the history, reads a message and an event, with the mouse and with keys.
func browseLadder(t *testing.T, chromium context.Context) {
	h := newHouse(t, setUp{})
	start := time.Now().Add(-time.Minute).UTC()
	h.keepCalls(tracedRecord(start))
	h.publishEvents(someEvents(h.f.Node(), start)...)
	h.keepTrace(aCall(h.f.Node(), start)...)
	b := newBrowser(t, chromium, h)
	b.do(prefer("light"), desktop())
	b.signIn("sven")
	b.do(b.open("/t/demo/cdrs"), chromedp.Click("tbody a.key"))
	b.see("h1", "1001 to 1002")
	b.do(chromedp.Click(`a[href$="/calls/` + tracedCall + `"]`))
	b.at("/t/demo/calls/" + tracedCall)
	b.visible(".ladder")
	if n := eval[int](b, `document.querySelectorAll(".arrow").length`); n != len(aCall("", start)) {
		t.Errorf("%d arrows, want one a message", n)
	}
	// An arrow runs from the middle of one lane to that of the other.
	off := eval[float64](b, `(() => {
		const mid = i => { const r = document.querySelectorAll(".ladder-head li")[i].getBoundingClientRect(); return (r.left + r.right) / 2; };
		const a = document.querySelector(".arrow").getBoundingClientRect();
		return Math.max(Math.abs(a.left - mid(0)), Math.abs(a.right - mid(1)));
	})()`)
	if off > 1.5 {
		t.Errorf("the first arrow is %.1f pixels off its lanes", off)
	}
	b.do(chromedp.Click(".rung:first-of-type summary"))
	b.see(".rung:first-of-type pre", "CSeq: 1 INVITE")
	b.shoot("ladder-open")
	b.do(chromedp.Focus(".rung.is-event summary"), press(kb.Enter))
	b.see(".rung.is-event pre", `"id": "EventDialing"`)
}
