package watch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/sipua/object"
	"parley/internal/voice"
)

// Event is the name of the package.
const Event = "dialog"

// host stands in Via of what is sent from here; the front door replaces it.
const host = "node.parley.invalid"

// World is what a Watcher knows of the node.
type World interface {
	// Notify sends a request and calls on with each response, or once with an error. on does not wait.
	Notify(req *sip.Request, on func(*sip.Response, error)) error
	// Bindings asks the registrar, Route writes the way to a contact as a Route value, "" when there is none.
	Bindings(tenant, number string, on func([]contract.Binding, error))
	Route(b *contract.Binding) string
	// Calls asks which calls a number is in, as far as anybody knows.
	Calls(tenant, number string, on func([]voice.Call, error))
	// Exists tells whether a tenant has a number that can be watched; Contact is our Contact value.
	Exists(tenant, number string) bool
	Contact() string
}

// Limits of a Watcher.
type Limits struct {
	Subscriptions int           // on this node
	PerNumber     int           // of one subscriber
	Least, Most   time.Duration // a subscription lasts
	Default       time.Duration // RFC 4235 §3.4
	Interval      time.Duration // between two NOTIFYs of a subscription that tell of changes (§3.10)
}

// DefaultLimits are those of a node.
func DefaultLimits() Limits {
	return Limits{Subscriptions: 20_000, PerNumber: 250, Least: time.Minute, Most: 2 * time.Hour, Default: time.Hour, Interval: time.Second}
}

// Watcher has the lines and subscriptions of a node.
type Watcher struct {
	world  World
	limits Limits
	log    *slog.Logger
	m      *metrics
	user   func(string) string

	mu     sync.Mutex // guards what follows
	lines  map[key]*line
	subs   map[string]*subscription // by our tag
	by     map[key]int              // subscriptions of a subscriber
	free   map[key]time.Time        // when a number's last call ended, of some numbers
	closed bool
}

// Options are what a Watcher needs; all but Log.
type Options struct {
	World    World
	Limits   Limits
	Escape   func(user string) string // for the user part of a URI
	Registry prometheus.Registerer
	Log      *slog.Logger
}

// New returns a Watcher that hears of nothing until Run.
func New(o Options) *Watcher {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{world: o.World, limits: o.Limits, log: o.Log, user: o.Escape, lines: map[key]*line{}, subs: map[string]*subscription{}, by: map[key]int{}, free: map[key]time.Time{}}
	w.m = newMetrics(w, o.Registry)
	return w
}

func (w *Watcher) contact() string { return w.world.Contact() }

// Run follows the events of all calls until ctx ends, and then ends all subscriptions.
func (w *Watcher) Run(ctx context.Context, f *fabric.Fabric) error {
	err := f.Subscribe(ctx, fabric.StreamCalls, fabric.Filter("call", fabric.Rest), fabric.From{New: true}, w.read)
	w.close()
	return err
}

// read takes an event of the stream: call, tenant, call, name.
func (w *Watcher) read(m fabric.Message) {
	if len(m.Subject) != 4 || !concerns(voice.EventName(m.Subject[3])) {
		return
	}
	var e event
	if err := json.Unmarshal(m.Data, &e); err != nil {
		w.log.Warn("call event cannot be read", "tenant", m.Subject[1], "err", err)
		return
	}
	w.hear(m.Subject[1], &e)
}

// hear applies an event to the lines it is about, and tells those who watch.
func (w *Watcher) hear(tenant string, e *event) {
	if e.ThisDN == "" || e.ConnID == "" {
		return
	}
	now := time.Now()
	w.change(key{tenant, e.ThisDN}, func(l *line) []*dialog { return l.hear(e, now) })
	if e.ID == voice.EventRinging && e.OtherDN != "" { // which the caller hears
		w.change(key{tenant, e.OtherDN}, func(l *line) []*dialog {
			d := l.find(e.ConnID)
			if d == nil || d.state != trying {
				return nil
			}
			d.ring()
			d.at = now
			return []*dialog{d}
		})
	}
}

// change does something to a line and sends what follows.
func (w *Watcher) change(k key, do func(*line) []*dialog) {
	l := w.lock(k)
	now := time.Now()
	changed := do(l)
	var out []notification
	freed := len(changed) > 0 && len(l.dialogs) == 0
	if len(changed) > 0 {
		for s := range l.subs {
			s.changed(changed)
			if req := s.next(now); req != nil {
				out = append(out, notification{s, req})
			}
		}
	}
	w.release(l)
	if freed {
		w.nowFree(k, now)
	}
	for _, n := range out {
		n.s.send(n.req)
	}
}

// maxFree is for how many numbers it is remembered since when they are free.
const maxFree = 50_000

func (w *Watcher) nowFree(k key, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.free) >= maxFree {
		for any := range w.free {
			delete(w.free, any)
			break
		}
	}
	w.free[k] = now
}

// Load is how many calls a number is in, and when the last one ended that was heard of; the zero time means that none was.
func (w *Watcher) Load(tenant, number string) (calls int, free time.Time) {
	k := key{tenant, number}
	w.mu.Lock()
	l, free := w.lines[k], w.free[k]
	w.mu.Unlock()
	if l == nil {
		return 0, free
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.dialogs), free
}

// Ringing returns the ConnIDs of the calls that ring at numbers of a tenant which fit, the one that rings longest first.
func (w *Watcher) Ringing(tenant string, fits func(number string) bool) (conns []string) {
	w.mu.Lock()
	var lines []*line
	for k, l := range w.lines {
		if k.tenant == tenant {
			lines = append(lines, l)
		}
	}
	w.mu.Unlock()
	var found []dialog
	for _, l := range lines {
		l.mu.Lock()
		for _, d := range l.dialogs {
			if d.state == early && d.direction == recipient && fits(l.number) {
				found = append(found, *d)
			}
		}
		l.mu.Unlock()
	}
	slices.SortFunc(found, func(a, b dialog) int { return a.at.Compare(b.at) })
	for _, d := range found {
		conns = append(conns, d.conn)
	}
	return conns
}

type notification struct {
	s   *subscription
	req *sip.Request
}

// lock finds a line, or makes it, and locks it.
func (w *Watcher) lock(k key) *line {
	for {
		w.mu.Lock()
		l := w.lines[k]
		if l == nil {
			l = &line{key: k, subs: map[*subscription]struct{}{}}
			w.lines[k] = l
		}
		w.mu.Unlock()
		l.mu.Lock()
		if !l.gone {
			return l
		}
		l.mu.Unlock()
	}
}

// release unlocks a line, and forgets it when nothing needs it.
func (w *Watcher) release(l *line) {
	l.gone = l.idle()
	gone := l.gone
	l.mu.Unlock()
	if !gone {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lines[l.key] == l {
		delete(w.lines, l.key)
	}
}

// Subscriber is who asks, as he has proved, and the domain of his tenant.
type Subscriber struct{ Tenant, Number, Domain string }

// Subscribe answers a SUBSCRIBE that begins a dialog.
func (w *Watcher) Subscribe(req *sip.Request, who Subscriber, watched string, respond func(*sip.Response)) {
	refuse := func(why string, status int, reason string, headers ...sip.Header) {
		w.m.refused.WithLabelValues(why).Inc()
		respond(answer(req, status, reason, "", headers...))
	}
	d, brief := w.duration(req)
	switch {
	case brief != nil:
		refuse("brief", 423, "Interval Too Brief", brief)
		return
	case req.Contact() == nil || req.Contact().Address.Host == "":
		refuse("no-contact", 400, "Missing Contact")
		return
	case !accepts(req):
		refuse("accept", 406, "Not Acceptable", sip.NewHeader("Accept", ContentType))
		return
	case !w.world.Exists(who.Tenant, watched):
		refuse("no-number", 404, "Not Found")
		return
	}
	tag := random()
	s := &subscription{w: w, who: key{who.Tenant, who.Number}, tag: tag, domain: who.Domain, pending: map[string]*dialog{}}
	s.entity = s.uri(watched)
	s.begin(req)
	if why := w.admit(s); why != "" {
		refuse(why, 503, "Service Unavailable", sip.NewHeader("Retry-After", "60"))
		return
	}
	l := w.lock(key{who.Tenant, watched})
	s.line = l
	l.subs[s] = struct{}{}
	now := time.Now()
	s.renew(now, d)
	respond(s.accepted(req, d))
	first := s.next(now)
	w.release(l)
	w.mu.Lock()
	w.subs[tag] = s
	closed := w.closed
	w.mu.Unlock()
	s.send(first)
	if closed { // the node stops at this moment
		w.finish(s, "deactivated")
		return
	}
	w.verify(l)
}

// admit counts a subscription, or says why there may be no more.
func (w *Watcher) admit(s *subscription) (why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return "stopping"
	case len(w.subs) >= w.limits.Subscriptions:
		return "node-full"
	case w.by[s.who] >= w.limits.PerNumber:
		return "number-full"
	}
	w.by[s.who]++
	return ""
}

// drop forgets a subscription whose end was told, or need not be.
func (w *Watcher) drop(s *subscription) {
	w.mu.Lock()
	known := w.subs[s.tag] == s
	if known {
		delete(w.subs, s.tag)
		if w.by[s.who]--; w.by[s.who] <= 0 {
			delete(w.by, s.who)
		}
	}
	w.mu.Unlock()
	s.line.mu.Lock()
	s.halt()
	delete(s.line.subs, s)
	w.release(s.line)
}

// Has tells whether a request belongs to a subscription of ours.
func (w *Watcher) Has(req *sip.Request) bool { return w.find(req) != nil }

func (w *Watcher) find(req *sip.Request) *subscription {
	tag, _ := req.To().Params.Get("tag")
	peer, _ := req.From().Params.Get("tag")
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.subs[tag]; s != nil && s.peerTag == peer && s.callID == req.CallID().Value() {
		return s
	}
	return nil
}

// Within answers a request within the dialog of a subscription.
func (w *Watcher) Within(req *sip.Request, respond func(*sip.Response)) {
	s := w.find(req)
	switch {
	case s == nil:
		respond(answer(req, 481, "Call/Transaction Does Not Exist", ""))
		return
	case req.Method != sip.SUBSCRIBE:
		respond(answer(req, 405, "Method Not Allowed", "", sip.NewHeader("Allow", "SUBSCRIBE, NOTIFY")))
		return
	}
	d, brief := w.duration(req)
	if brief != nil {
		respond(answer(req, 423, "Interval Too Brief", "", brief))
		return
	}
	s.line.mu.Lock()
	switch {
	case s.over() || s.reason != "":
		s.line.mu.Unlock()
		respond(answer(req, 481, "Call/Transaction Does Not Exist", ""))
		return
	case req.CSeq().SeqNo <= s.peerSeq: // RFC 3261 §12.2.2
		s.line.mu.Unlock()
		respond(answer(req, 500, "Out of Order", ""))
		return
	}
	now := time.Now()
	s.refresh(req)
	s.renew(now, d)
	respond(s.accepted(req, d))
	n := s.next(now)
	s.line.mu.Unlock()
	s.send(n)
	if d > 0 {
		w.verify(s.line)
	}
}

// accepted is the 200 to a SUBSCRIBE (RFC 6665 §4.2.1.1).
func (s *subscription) accepted(req *sip.Request, d time.Duration) *sip.Response {
	res := answer(req, 200, "OK", s.tag, sip.NewHeader("Expires", strconv.Itoa(int(d/time.Second))))
	res.AppendHeader(sip.NewHeader("Contact", s.w.contact()))
	return res
}

// verify asks callstate about a line.
func (w *Watcher) verify(l *line) {
	w.world.Calls(l.tenant, l.number, func(calls []voice.Call, err error) {
		if err == nil {
			w.change(l.key, func(l *line) []*dialog { return l.agree(calls, time.Now()) })
		}
	})
}

// Check ends the subscriptions to numbers, and of numbers, that are no more; number "" means that any may be gone.
func (w *Watcher) Check(tenant, number string) {
	for _, s := range w.all() {
		l := s.line
		switch {
		case number != "" && tenant == s.who.tenant && number != s.who.number && number != l.number, tenant != "" && tenant != s.who.tenant:
		case !w.world.Exists(l.tenant, l.number):
			w.finish(s, "noresource")
		case !w.world.Exists(s.who.tenant, s.who.number):
			w.finish(s, "rejected")
		}
	}
}

func (w *Watcher) all() []*subscription {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]*subscription, 0, len(w.subs))
	for _, s := range w.subs {
		out = append(out, s)
	}
	return out
}

// finish ends a subscription for a reason of RFC 6665 §4.1.3.
func (w *Watcher) finish(s *subscription, reason string) {
	s.line.mu.Lock()
	s.end(reason)
	req := s.next(time.Now())
	s.line.mu.Unlock()
	s.send(req)
}

// close ends everything: the node stops.
func (w *Watcher) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	for _, s := range w.all() {
		w.finish(s, "deactivated")
		s.line.mu.Lock()
		s.halt()
		s.line.mu.Unlock()
	}
}

// duration is how long a SUBSCRIBE wants to last, or the Min-Expires of a refusal (RFC 6665 §4.2.1.1).
func (w *Watcher) duration(req *sip.Request) (time.Duration, sip.Header) {
	n, err := strconv.ParseUint(strings.TrimSpace(object.Value(req, "Expires")), 10, 32)
	d := time.Duration(n) * time.Second
	switch {
	case err != nil:
		d = w.limits.Default
	case d > 0 && d < w.limits.Least:
		return 0, sip.NewHeader("Min-Expires", strconv.Itoa(int(w.limits.Least/time.Second)))
	}
	return min(d, w.limits.Most), nil
}

// accepts tells whether the subscriber reads our documents; who says nothing does (RFC 4235 §3.5).
func accepts(req *sip.Request) bool {
	said := false
	for v := range object.Values(req, "Accept") {
		for t := range strings.SplitSeq(v, ",") {
			t, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(t)), ";")
			switch strings.TrimSpace(t) {
			case ContentType, "application/*", "*/*":
				return true
			case "":
			default:
				said = true
			}
		}
	}
	return !said
}

// Serves tells whether an Event header field asks for this package, and for all dialogs of the line.
func Serves(event string) bool {
	name, params, _ := strings.Cut(event, ";")
	if !strings.EqualFold(strings.TrimSpace(name), Event) {
		return false
	}
	for p := range strings.SplitSeq(params, ";") {
		switch p, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(p)), "="); p {
		case "call-id", "to-tag", "from-tag":
			return false
		}
	}
	return true
}

func answer(req *sip.Request, status int, reason, tag string, headers ...sip.Header) *sip.Response {
	if tag == "" {
		tag = random()
	}
	res := object.Answer(req, status, reason, tag)
	for _, h := range headers {
		res.AppendHeader(h)
	}
	return res
}

func random() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
