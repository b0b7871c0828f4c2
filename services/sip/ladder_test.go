package sip

import (
	"cmp"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	sound "parley/internal/media/audio"
	"parley/internal/media/play"
	"parley/internal/media/secure"
	"parley/internal/sipua"
	"parley/internal/voice"
	"parley/services/sip/room"
	"parley/services/sip/trunk"
)

//go:generate go test . -update

var update = flag.Bool("update", false, "write the golden ladders anew")

// stage is a world without sockets and clocks. What a call does is written into a ladder: one line a message, event
// or record, in order.
type stage struct {
	t        *testing.T
	c        *call
	clock    time.Time
	ids      int
	timers   []*stageTimer
	ladder   strings.Builder
	plans    map[string]*contract.ResolveResponse
	phones   map[string][]contract.Binding
	sent     []*sentRequest
	came     []*incoming
	dialogs  map[string]*call
	records  []*voice.CDR
	events   []*voice.CallEvent
	voices   []*voice.QualityEvent
	over     bool
	body     string           // of the INVITE of call
	hops     map[string]int   // targets of a trunk, when not one
	full     map[string]error // trunks that take no call, and why
	account  *trunk.Account   // at every trunk
	from     string           // user of From towards every trunk; "" = the number that calls
	lastAck  *sip.Request
	legs     *fakeLegs   // nil: audio goes directly
	rooms    *room.Rooms // nil: there are none
	tapes    []*stageTape
	monitors map[string]monitor // by agent
	noDisk   string             // why nothing can be recorded; "" = it can
	warns    time.Duration      // between two warnings of those who are recorded; 0 = they are not warned
	bodies   bool               // the ladder shows what descriptions say
	devices  map[string]device
	fields   []string // header fields that the ladder shows
	config   func(*Config)

	press   func(key byte) // the caller presses a key
	playing *stageSound    // what the caller hears at a route point; nil = nothing
	missing string         // a prompt that is not there
	taping  func(length time.Duration, kept bool, err error)
	keep    bool // whether what is taped was to be kept
	slow    bool // other services answer when the test says, see waits
	waits   []func()

	known   sync.Mutex // guards calls, which a call may add to
	calls   []*call    // there are now, and were
	made    int        // beside the first
	opened  int        // legs
	several bool       // sounds are played by several legs
	answers []*contract.RequestAnswer
	extra   []*fakeLegs
	merging atomic.Int32 // under way
	mergers sync.Mutex
	counts  map[counted]int
	loads   map[string]load
	rings   []string      // ConnIDs of what rings elsewhere
	refused *voice.TError // what the front end says of a request
}

type stageTimer struct {
	at      time.Time
	fn      func()
	stopped bool
}

// sentRequest is a request of the call; the test answers it.
type sentRequest struct {
	s      *stage
	to     string
	req    *sip.Request
	on     func(*sip.Response, error)
	cancel bool
	tag    string // of the phone that answers; "" = its name
}

func (r *sentRequest) Cancel(reason string) {
	r.cancel = true
	what := "CANCEL"
	if reason != "" {
		what += " Reason: " + reason
	}
	r.s.line("node", r.to, what)
}

// incoming is a request of a phone as the call sees it.
type incoming struct {
	s    *stage
	from string
	req  *sip.Request
	last *sip.Response
	done chan struct{}
}

func (i *incoming) Respond(res *sip.Response) {
	if i.last != nil && i.last.StatusCode >= 200 && (res.StatusCode != i.last.StatusCode || !i.req.IsInvite() || !res.IsSuccess()) {
		i.s.t.Errorf("%s of %s got %d after %d", i.req.Method, i.from, res.StatusCode, i.last.StatusCode)
	}
	i.last = res
	i.s.line("node", i.from, i.s.described(strconv.Itoa(res.StatusCode), res.Body())+" "+string(i.req.Method)+i.s.details(res))
}
func (i *incoming) Done() <-chan struct{} { return i.done }

// described is what a message is, with a word on its body.
func (s *stage) described(what string, body []byte) string {
	switch {
	case len(body) == 0:
		return what
	case !s.bodies:
		return what + " (SDP)"
	}
	return what + " (" + summary(body) + ")"
}

// summary is the m= lines of a description, each with its direction and what protects it.
func summary(body []byte) string {
	var out []string
	for line := range strings.SplitSeq(string(body), "\r\n") {
		last := len(out) - 1
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "a="), ":")
		switch {
		case strings.HasPrefix(line, "m="):
			out = append(out, line[2:])
		case last < 0 || !strings.HasPrefix(line, "a="):
		case name == "crypto":
			tag, rest, _ := strings.Cut(line[len("a=crypto:"):], " ")
			suite, _, _ := strings.Cut(rest, " ")
			out[last] += " crypto " + tag + " " + suite
		case name == "setup" || slices.Contains([]string{"sendrecv", "sendonly", "recvonly", "inactive"}, name):
			out[last] += " " + strings.TrimPrefix(line, "a=")
		}
	}
	return strings.Join(out, ", ")
}

// details are the header fields that a scenario is about.
func (s *stage) details(m sip.Message) (out string) {
	for _, name := range s.fields {
		if v := header(m, name); v != "" {
			out += " " + name + ": " + v
		}
	}
	return out
}

func (s *stage) detailsOf(lines []string) (out string) {
	for _, l := range lines {
		if name, _, _ := strings.Cut(l, ":"); slices.Contains(s.fields, name) {
			out += " " + l
		}
	}
	return out
}

func newStage(t *testing.T) *stage {
	return &stage{t: t, body: offer, clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), plans: map[string]*contract.ResolveResponse{},
		phones: map[string][]contract.Binding{}, dialogs: map[string]*call{}}
}

func (s *stage) line(from, to, what string) {
	fmt.Fprintf(&s.ladder, "%-8s -> %-8s %s\n", from, to, what)
}

func (s *stage) now() time.Time { return s.clock }
func (s *stage) id() string     { s.ids++; return fmt.Sprintf("id%d", s.ids) }

func (s *stage) after(d time.Duration, fn func()) func() {
	t := &stageTimer{at: s.clock.Add(d), fn: fn}
	s.timers = append(s.timers, t)
	return func() { t.stopped = true }
}

func (s *stage) send(req *sip.Request, on func(*sip.Response, error)) (sipua.ClientTx, error) {
	r := &sentRequest{s: s, to: req.Recipient.User, req: req, on: on}
	s.sent = append(s.sent, r)
	if req.CallID().Value() == "" || req.From().Address.Host == "" || req.To().Address.Host == "" {
		s.t.Errorf("a request without what every request has:\n%s", req)
	}
	s.line("node", r.to, s.described(string(req.Method), req.Body())+s.details(req))
	return r, nil
}

func (s *stage) ack(req *sip.Request) {
	s.lastAck = req
	if s.bodies {
		s.line("node", req.Recipient.User, s.described("ACK", req.Body()))
		return
	}
	s.line("node", req.Recipient.User, "ACK")
}

func (s *stage) resolve(req *contract.ResolveRequest, on func(*contract.ResolveResponse, error)) {
	p, ok := s.plans[req.Dialled]
	if !ok {
		p = &contract.ResolveResponse{Kind: contract.RouteReject, Number: req.Dialled, Status: 404, Reason: "no such number"}
	}
	s.later(func() { on(p, nil) })
}

func (s *stage) bindings(_, dn string, on func([]contract.Binding, error)) {
	s.later(func() { on(s.phones[dn], nil) })
}

// later does something at once, or when the test says, as other services do.
func (s *stage) later(do func()) {
	if s.slow {
		s.waits = append(s.waits, do)
		return
	}
	do()
}
func (s *stage) route(*contract.Binding) (string, netip.Addr) {
	return "<sip:token@node.parley.invalid;lr>", netip.MustParseAddr("192.0.2.1")
}

// mediaLeg gives a leg only if the test brought some: else what is said about audio is carried as it is. The first is that of
// the caller, the second that of whom he calls.
func (s *stage) mediaLeg(h legHooks) (mediaLeg, func(netip.Addr) (netip.Addr, error), error) {
	if s.legs == nil {
		return nil, nil, nil
	}
	n := s.opened
	s.opened++
	all, i := s.legs, side(n%2)
	if n > 1 {
		if i == caller {
			s.extra = append(s.extra, &fakeLegs{})
		}
		all = s.extra[n/2-1]
	}
	name := [...]string{"1001", "callee", "leg 3", "leg 4", "leg 5", "leg 6", "leg 7", "leg 8"}[min(n, 7)]
	all[i].plays = func(what string) { s.line("node", name, what) }
	all[i].key, all[i].nth = h.key, n
	if i == caller && n == 0 {
		s.press = h.key
	}
	return fakeLeg{all, i}, func(netip.Addr) (netip.Addr, error) { return netip.MustParseAddr("192.0.2.5"), nil }, nil
}

func (s *stage) join(a, b mediaLeg) {
	if s.opened > 2 {
		s.line("node", "node", fmt.Sprintf("joins leg %d and leg %d", a.(fakeLeg).number(), b.(fakeLeg).number()))
	}
}

func (s *stage) part(l mediaLeg) {
	s.line("node", "node", fmt.Sprintf("parts leg %d", l.(fakeLeg).number()))
}

func (s *stage) merge(into, from *mailbox, then func()) {
	s.merging.Add(1)
	go func() {
		defer s.merging.Add(-1)
		merge(&s.mergers, into, from, then)
	}()
}

func (s *stage) named(_, name string) *call {
	for _, c := range s.calls {
		if c.phase != over && (c.conv.id.conn == name || c.conv.id.uuid == name) {
			return c
		}
	}
	return nil
}

func (s *stage) rename(*call)                                        {}
func (s *stage) changeRoom(r contract.ChangeConferenceRequest) error { return s.rooms.Change(r) }
func (s *stage) autoAnswers(string, string) bool                     { return true }
func (s *stage) talks(_, number string) bool                         { return number == "1002" }

func (s *stage) inDialog(callID string) *call { return s.dialogs[callID] }

func (s *stage) more(c *call) (*call, error) {
	n := &call{mailbox: c.mailbox, w: s, cfg: c.cfg, domain: c.domain, contact: c.contact}
	s.made++
	n.id = c.id
	n.id.uuid, n.id.conn, n.id.number = fmt.Sprintf("u%d", s.made+1), fmt.Sprintf("c%d", s.made+1), uint64(s.made+1)
	s.known.Lock()
	s.calls = append(s.calls, n)
	s.known.Unlock()
	return n, nil
}

func (s *stage) heard(e *voice.QualityEvent) { s.voices = append(s.voices, e) }

func (s *stage) device(_, number, transport string) device {
	d := s.devices[number]
	d.webrtc = d.webrtc || transport == "ws"
	return d
}

func (s *stage) shook(string, side, error) {}

func (s *stage) identity() *secure.Identity {
	id, err := secure.NewIdentity()
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

func (s *stage) holdMusic(string) sound.Source {
	return play.New(play.Silence(sound.Narrow, time.Second)).Loop(play.Forever)
}

func (s *stage) enterRoom(e room.Entry) error        { return s.rooms.Enter(e, s.clock) }
func (s *stage) exitRoom(callUUID string) (was bool) { return s.rooms.Leave(callUUID) }

func (s *stage) publish(e *voice.CallEvent) {
	s.events = append(s.events, e)
	out := fmt.Sprintf("%s ThisDN=%s OtherDN=%s CallState=%d", e.ID, e.ThisDN, e.OtherDN, e.CallState)
	if e.ThirdPartyDN != "" {
		out += " ThirdPartyDN=" + e.ThirdPartyDN
	}
	out += routingOf(e) + recordingOf(e)
	if s.several {
		out += callingOf(e)
	}
	s.line("node", "CALLS", out)
}

func (s *stage) load(_, number string) load { return s.loads[number] }

func (s *stage) ringing(_, number, groupOf string) []string {
	s.line("node", "lines", "what rings at "+number+groupOf+"?")
	return s.rings
}

func (s *stage) request(req *voice.Request, on func(*contract.RequestAnswer, error)) {
	s.line("node", "front end", string(req.Name)+" ThisDN="+req.ThisDN+" OtherDN="+req.OtherDN)
	on(&contract.RequestAnswer{Error: s.refused}, nil)
}

func (s *stage) grouped(r groupResult) {
	s.line("node", "metrics", fmt.Sprintf("ring group %s balanced=%v: %s %s after %v", r.mode, r.balanced, r.result, r.err, r.took))
}

func (s *stage) record(r *voice.CDR) {
	s.records = append(s.records, r)
	s.line("node", "CDR", fmt.Sprintf("%s %d by %s, talked %v", r.Outcome, r.Status, r.EndedBy, r.Talk))
}

func (s *stage) open(id string, c *call) { s.dialogs[id] = c }
func (s *stage) shut(id string)          { delete(s.dialogs, id) }
func (s *stage) ended(*call)             { s.over = true; s.line("node", "node", "the call is gone") }

// leave says that a trunk has the targets of hops, and takes whatever number it gets.
func (s *stage) leave(l *trunk.Leaving) (*trunk.Exit, error) {
	if err := s.full[l.DN]; err != nil {
		return nil, err
	}
	e := &trunk.Exit{DN: l.DN, Number: l.Number, Caller: l.Caller, Domain: l.Domain, Patience: trunkPatience,
		Shown: func(n string) string { return n }, Feedback: &stageTrunk{s: s, dn: l.DN}, Account: s.account, From: s.from}
	for i := range max(s.hops[l.DN], 1) {
		e.Hops = append(e.Hops, trunk.Hop{Contact: fmt.Sprintf("sip:192.0.2.%d", 10+i), Route: "<sip:token@node.parley.invalid;lr>", Host: netip.MustParseAddr("192.0.2.1")})
	}
	return e, nil
}

const trunkPatience = 4 * time.Second

// stageTrunk writes down what the trunk is told.
type stageTrunk struct {
	s    *stage
	dn   string
	sent bool
}

func (t *stageTrunk) Sent() {
	if !t.sent {
		t.sent = true
		t.s.line("node", "trunk", t.dn+" has a call")
	}
}
func (t *stageTrunk) Said(status int) {
	t.s.line("node", "trunk", fmt.Sprintf("%s said %d", t.dn, status))
}
func (t *stageTrunk) Failed(hop int, why string) {
	t.s.line("node", "trunk", fmt.Sprintf("%s, target %d: %s", t.dn, hop+1, why))
}
func (t *stageTrunk) Release() { t.s.line("node", "trunk", t.dn+" has its place again") }

// phone makes a number that rings at the phones of those names.
func (s *stage) phone(number string, names ...string) {
	s.plans[number] = &contract.ResolveResponse{Kind: contract.RouteDevice, Number: number, RingSeconds: 20}
	for _, n := range names {
		s.phones[number] = append(s.phones[number], contract.Binding{Contact: "sip:" + n + "@192.0.2.1:5060"})
	}
}

const offer = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"

// call lets 1001 call a number.
func (s *stage) call(number string, headers ...string) *incoming {
	s.t.Helper()
	in := s.parse("1001", "INVITE", append([]string{"To: <sip:" + number + "@demo.local>", "CSeq: 1 INVITE"}, headers...), s.body, "sip:"+number+"@demo.local")
	cfg := DefaultConfig()
	if s.config != nil {
		s.config(&cfg)
	}
	s.c = &call{mailbox: &mailbox{}, w: s, cfg: &cfg, from: party{number: "1001", shown: "1001"}, dialled: number, domain: "demo.local",
		contact: "<sip:node@192.0.2.5>", invite: in.req, tx: in, id: identity{uuid: "u1", conn: "c1", number: 1, tenant: "demo", node: "n1", kind: voice.CallInternal}}
	s.c.legs[caller] = answering(in.req, "node-tag", s.c.contact)
	s.c.hosts[caller] = netip.MustParseAddr("192.0.2.9")
	s.dialogs["call-a"] = s.c
	s.calls = append(s.calls, s.c)
	s.c.must(s.c.begin)
	s.settle()
	return in
}

func (s *stage) parse(from, method string, headers []string, body, uri string) *incoming {
	s.t.Helper()
	what := s.described(method, []byte(body))
	if body != "" {
		headers = append(headers, "Content-Type: application/sdp")
	}
	s.line(from, "node", what+s.detailsOf(headers))
	text := method + " " + uri + " SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx\r\nMax-Forwards: 70\r\nContact: <sip:" + from + "@192.0.2.9>\r\n"
	if !strings.Contains(strings.Join(headers, "\n"), "From:") {
		headers = append(headers, "From: <sip:1001@demo.local>;tag=caller", "Call-ID: call-a")
	}
	text += strings.Join(headers, "\r\n") + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	m, err := sip.ParseMessage([]byte(text))
	if err != nil {
		s.t.Fatalf("%v in\n%s", err, text)
	}
	in := &incoming{s: s, from: from, req: m.(*sip.Request), done: make(chan struct{})}
	s.came = append(s.came, in)
	return in
}

// callerSays is a request of the caller within the dialog.
func (s *stage) callerSays(method string, cseq int, body string, headers ...string) *incoming {
	s.t.Helper()
	in := s.parse("1001", method, append([]string{"To: <sip:x@demo.local>;tag=node-tag", fmt.Sprintf("CSeq: %d %s", cseq, method)}, headers...), body, "sip:node@192.0.2.5")
	return s.deliver(in)
}

// callerSaysBody is one with a body that is no session description.
func (s *stage) callerSaysBody(method string, cseq int, body string, headers ...string) *incoming {
	s.t.Helper()
	in := s.parse("1001", method, append([]string{"To: <sip:x@demo.local>;tag=node-tag", fmt.Sprintf("CSeq: %d %s", cseq, method)}, headers...), "", "sip:node@192.0.2.5")
	in.req.SetBody([]byte(body))
	return s.deliver(in)
}

// phoneSays is a request of a phone that was called, by the INVITE it got.
func (s *stage) phoneSays(r *sentRequest, method string, cseq int, body string, headers ...string) *incoming {
	s.t.Helper()
	from, to := header(r.req, "To"), header(r.req, "From")
	lines := []string{"From: " + from + ";tag=" + cmp.Or(r.tag, r.to), "To: " + to, "Call-ID: " + header(r.req, "Call-ID"), fmt.Sprintf("CSeq: %d %s", cseq, method)}
	return s.deliver(s.parse(r.to, method, append(lines, headers...), body, "sip:node@192.0.2.5"))
}

func (s *stage) deliver(in *incoming) *incoming {
	c := s.dialogs[in.req.CallID().Value()]
	if c == nil {
		s.t.Fatalf("no call has the dialog of\n%s\n%s", in.req, s.ladder.String())
	}
	if in.req.IsAck() {
		c.must(func() { c.within(in.req, nil) })
	} else {
		c.must(func() { c.within(in.req, in) })
	}
	s.settle()
	return in
}

// last is the newest request of that method to that phone.
func (s *stage) last(method, to string) *sentRequest {
	s.t.Helper()
	for i := len(s.sent) - 1; i >= 0; i-- {
		if r := s.sent[i]; string(r.req.Method) == method && r.to == to {
			return r
		}
	}
	s.t.Fatalf("no %s went to %s:\n%s", method, to, s.ladder.String())
	return nil
}

// answer is a response of the phone.
func (r *sentRequest) answer(status int, body string, headers ...string) {
	r.s.t.Helper()
	text := "SIP/2.0 " + strconv.Itoa(status) + " Said\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx\r\nFrom: " + header(r.req, "From") + "\r\nTo: " + header(r.req, "To")
	if !strings.Contains(header(r.req, "To"), "tag=") {
		text += ";tag=" + cmp.Or(r.tag, r.to)
	}
	text += "\r\nCall-ID: " + header(r.req, "Call-ID") + "\r\nCSeq: " + header(r.req, "CSeq") + "\r\n"
	if !strings.Contains(strings.Join(headers, "\n"), "Contact:") {
		headers = append(headers, "Contact: <sip:"+r.to+"@192.0.2.1>")
	}
	if !strings.Contains(strings.Join(headers, "\n"), "Allow:") {
		headers = append(headers, "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK")
	}
	if body != "" {
		headers = append(headers, "Content-Type: application/sdp")
	}
	text += strings.Join(headers, "\r\n") + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	m, err := sip.ParseMessage([]byte(text))
	if err != nil {
		r.s.t.Fatalf("%v in\n%s", err, text)
	}
	res := m.(*sip.Response)
	r.s.line(r.to, "node", r.s.described(strconv.Itoa(status), []byte(body))+" "+string(r.req.Method)+r.s.details(res))
	r.on(res, nil)
	r.s.settle()
}

func (r *sentRequest) fails(err error) {
	r.s.line(r.to, "node", "nothing: "+err.Error())
	r.on(nil, err)
	r.s.settle()
}

// pass lets time go by; timers fire in order.
func (s *stage) pass(d time.Duration) {
	s.line("", "", "... "+d.String())
	end := s.clock.Add(d)
	for {
		var next *stageTimer
		for _, t := range s.timers {
			if !t.stopped && !t.at.After(end) && (next == nil || t.at.Before(next.at)) {
				next = t
			}
		}
		if next == nil {
			break
		}
		next.stopped = true
		s.clock = next.at
		next.fn()
		s.settle()
	}
	s.clock = end
}

// settle waits until the call has done all it can.
func (s *stage) settle() {
	for !s.idle() || s.merging.Load() > 0 || !s.idle() { // what merges was begun before its call came to rest, and may wake others
		runtime.Gosched()
	}
}

// idle tells whether no call has anything to do.
func (s *stage) idle() bool {
	s.known.Lock()
	calls := s.calls
	s.known.Unlock()
	for _, c := range calls {
		c.mu.Lock()
		busy := c.busy
		c.mu.Unlock()
		if busy {
			return false
		}
	}
	return true
}

// holds checks what is true of every call that is over: one record, events numbered without holes, nothing left behind.
func (s *stage) holds() {
	s.t.Helper()
	events := map[string]uint64{}
	for _, e := range s.events {
		events[e.CallUUID]++
		if e.Seq != events[e.CallUUID] {
			s.t.Errorf("event %d of %s has the number %d", events[e.CallUUID], e.CallUUID, e.Seq)
		}
		checkEvent(s.t, e)
	}
	for _, in := range s.came {
		if !in.req.IsAck() && (in.last == nil || in.last.StatusCode < 200) {
			s.t.Errorf("%s of %s got no final answer", in.req.Method, in.from)
		}
	}
	if len(s.records) != max(1, len(events)) {
		s.t.Errorf("%d records, want %d", len(s.records), max(1, len(events)))
	}
	for _, r := range s.records {
		if r.Events != events[r.CallUUID] {
			s.t.Errorf("the record of %s knows of %d events, there were %d", r.CallUUID, r.Events, events[r.CallUUID])
		}
	}
	if !s.over || len(s.dialogs) != 0 {
		s.t.Errorf("the call is still there: %d dialogs, %d requests under way", len(s.dialogs), s.c.pending)
	}
	for _, t := range s.timers {
		if !t.stopped {
			s.t.Errorf("a timer still runs, for %v", t.at)
		}
	}
}

// check compares the ladder with the golden one, and what holds of every call.
func (s *stage) check(name string) {
	s.t.Helper()
	s.holds()
	file := filepath.Join("testdata", "ladders", name+".txt")
	got := "# Code generated by go generate ./services/sip; DO NOT EDIT.\n" + s.ladder.String()
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
