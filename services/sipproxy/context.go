package sipproxy

import (
	"errors"
	"slices"
	"time"

	"parley/internal/sipua/txn"
	"parley/internal/sipua/wire"
)

// maxBranches bounds how many nodes one request is tried at.
const maxBranches = 4

// upstream is who sent a request: a server transaction, or the SIP node in this process.
type upstream interface {
	Respond(status int, b []byte) error
}

// forwarding is one request on its way (the response context of RFC 3261 §16): where it came from, and the branches
// it was sent out on. It lives on the shard of its Call-ID and needs no lock.
type forwarding struct {
	s         *Service
	shard     *txn.Shard
	up        upstream
	req       *txn.Message
	route     route
	tenant    string
	method    string
	loop      string
	invite    bool
	cancelled bool
	reason    string // of the CANCEL (RFC 3326), "" = none
	closed    bool
	why       string // why no connection could be opened
	branches  []*branch
	tried     []string // nodes
	seeking   bool     // another node is being looked for
	sought    time.Time
	best      []byte // the best final response so far
	bestCode  int
}

// branch is one destination of a forwarding: a client transaction, or the SIP node in this process.
type branch struct {
	f        *forwarding
	node     string // for metrics and re-selection; "" when there is none
	cached   string // label node_in_cache
	client   *txn.Client
	local    *localTx
	started  time.Time
	door     *sipNode // the other node whose front door it went through; nil = none
	assigned *sipNode // counts this as a call until it is refused
	heard    bool     // any response came
	done     bool     // a final one, or none will come
	silence  *txn.Timer
	timerC   *txn.Timer
	cancelOn bool // cancel as soon as it is allowed
}

// open makes the context of a request and counts it.
func (s *Service) open(shard *txn.Shard, up upstream, m *txn.Message, r route) *forwarding {
	f := &forwarding{s: s, shard: shard, up: up, req: m, route: r, method: m.KnownMethod()}
	f.invite = f.method == "INVITE"
	s.contexts.Add(1)
	live(shard)[f] = struct{}{}
	return f
}

// live is the contexts of a shard.
func live(shard *txn.Shard) map[*forwarding]struct{} {
	m, ok := shard.Local.(map[*forwarding]struct{})
	if !ok {
		m = map[*forwarding]struct{}{}
		shard.Local = m
	}
	return m
}

// close forgets the context; what still comes in on its branches is only passed on if it is a 2xx.
func (f *forwarding) close() {
	if f.closed {
		return
	}
	f.closed, f.req, f.best = true, nil, nil
	if tx, ok := f.up.(*txn.Server); ok && !f.invite { // which stays for half a minute over UDP
		tx.Local = nil
	}
	if tx, ok := f.up.(*txn.Server); ok {
		tx.Local = nil // it stays for half a minute, and only a CANCEL would have asked
	}
	f.s.contexts.Add(-1)
	delete(live(f.shard), f)
	for _, b := range f.branches {
		b.silence.Stop()
		b.timerC.Stop()
	}
}

// respond passes a response up. A final one ends the context.
func (f *forwarding) respond(status int, b []byte) {
	if f.closed && status/100 != 2 {
		return
	}
	// An error means that nobody hears us any more; there is nothing else to be done for the request.
	_ = f.up.Respond(status, b)
	if status >= 200 {
		f.giveUp(nil)
		f.close()
	}
}

// fail answers the request ourselves.
func (f *forwarding) fail(status int) {
	if f.closed {
		return
	}
	f.s.m.self.of(f.method).Inc()
	f.s.m.rejected.Inc()
	if _, local := f.up.(localUp); local && f.why != "" {
		f.respond(status, f.noFlow(status))
		return
	}
	f.respond(status, f.s.ownResponse(f.req, status))
}

// giveUp cancels every branch but one that has no final response yet.
func (f *forwarding) giveUp(except *branch) {
	for _, b := range f.branches {
		if b != except {
			b.cancel()
		}
	}
}

// cancel is the sender's wish that nothing come of an INVITE (RFC 3261 §16.10), and why.
func (f *forwarding) cancel(reason string) {
	f.cancelled, f.reason = true, reason
	f.giveUp(nil)
	if f.pending() == 0 {
		f.finish()
	}
}

func (f *forwarding) pending() (n int) {
	for _, b := range f.branches {
		if !b.done {
			n++
		}
	}
	return n
}

// finish sends the best response when no branch is left that could bring a better one (RFC 3261 §16.7, item 6).
func (f *forwarding) finish() {
	switch {
	case f.closed || f.pending() > 0 || f.seeking && !f.cancelled:
	case f.best != nil:
		f.respond(f.bestCode, f.best)
	case f.cancelled:
		f.fail(487)
	case !f.invite:
		// RFC 4320 §4.2: too late for an answer, since the sender's transaction has timed out as well.
		if tx, ok := f.up.(*txn.Server); ok {
			tx.End()
			f.close()
			return
		}
		f.fail(408)
	default:
		f.fail(408)
	}
}

// keepBest remembers a final response if it is better than what there is.
func (f *forwarding) keepBest(status int, b []byte) {
	if f.best == nil || rank(status) < rank(f.bestCode) {
		f.best, f.bestCode = b, status
	}
}

// rank orders final responses, best first: 6xx, then the lower class, within 4xx those that tell the sender what to
// do, and 503 last, since it speaks of one node only.
func rank(status int) int {
	switch {
	case status >= 600:
		return 0
	case slices.Contains([]int{401, 407, 415, 420, 484}, status):
		return 400
	case status == 503:
		return 1000
	}
	return status
}

// --- what happens on a branch ---

// response takes a response that came on b, as bytes ready to be passed up.
func (b *branch) response(status int, up []byte) {
	f := b.f
	b.hear()
	switch {
	case status == 100:
		if b.cancelOn {
			b.cancel()
		}
		if _, ok := f.up.(localUp); ok && b.door == nil { // a SIP node wants to know that a target is alive
			f.respond(status, up)
		}
	case status < 200:
		if b.cancelOn {
			b.cancel()
		}
		b.ringAgain()
		f.count(b)
		f.respond(status, up)
	case status < 300:
		b.end()
		f.count(b)
		f.giveUp(b)
		f.respond(status, up)
	default:
		b.end()
		if b.assigned != nil {
			b.assigned.assigned.Add(-1)
		}
		f.count(b)
		f.keepBest(status, up)
		if status >= 600 {
			f.giveUp(b)
		}
		if status == 503 && f.another(b) || status == 481 && f.moved(b) {
			return
		}
		f.finish()
	}
}

// failed says that no response will come on b: a timeout, a send error, or a node that died.
func (b *branch) failed(err error) {
	f := b.f
	if b.done {
		return
	}
	b.end()
	if f.another(b) {
		return
	}
	if f.best == nil && !errors.Is(err, txn.ErrTimeout) && f.pending() == 0 && !f.cancelled {
		f.fail(f.unreachable())
		return
	}
	f.finish()
}

// unreachable is the answer when the only way to go is blocked.
func (f *forwarding) unreachable() int {
	if f.route.direction == outbound {
		return 430 // RFC 5626 §5.3.1: the flow is gone
	}
	return 503
}

// hear notes the first sign of life of b.
func (b *branch) hear() {
	if b.heard {
		return
	}
	b.heard = true
	b.silence.Stop()
	target := "sip-node"
	if b.f.route.direction == outbound {
		target = "phone"
	}
	b.f.s.m.latency.WithLabelValues(b.node, b.f.route.direction, target, b.cached).Observe(time.Since(b.started).Seconds())
}

// ringAgain starts Timer C anew (RFC 3261 §16.7, item 2).
func (b *branch) ringAgain() {
	if b.timerC != nil {
		b.timerC.Reset(b.f.s.cfg.TimerC)
	}
}

// timerCFired gives up a branch that rings for too long (RFC 3261 §16.8).
func (b *branch) timerCFired() {
	if b.done {
		return
	}
	b.cancel()
	// The 487 to the CANCEL, or the client transaction's timeout, ends the branch. A node in this process gets as long.
	if b.local != nil {
		b.timerC = b.f.shard.After(64*b.f.s.cfg.T1, func() { b.failed(txn.ErrTimeout) })
	}
}

func (b *branch) end() {
	b.done = true
	b.silence.Stop()
	b.timerC.Stop()
	if b.local != nil {
		b.local.finish()
	}
}

// cancel asks for an end of b. A CANCEL must wait for the first provisional response (RFC 3261 §9.1).
func (b *branch) cancel() {
	if b.done || !b.f.invite {
		return
	}
	b.silence.Stop()
	switch {
	case b.local != nil:
		b.local.cancel()
	case b.client == nil: // still connecting: see start
		b.cancelOn = true
	case b.client.Heard():
		b.cancelOn = false
		b.client.Cancel(b.f.reason)
	default:
		b.cancelOn = true
	}
}

// another chooses the next node after b failed, if the request may be tried again: nothing final was passed up, nobody
// cancelled it, it is no request within a dialog of a node that is alive, and no other front door is to choose. A request within a
// dialog goes to whoever has the dialog now.
func (f *forwarding) another(b *branch) bool {
	r := f.route
	if f.closed || f.cancelled || r.direction == outbound || r.passed || b.node == "" || len(f.branches) >= maxBranches {
		return false
	}
	if gone := f.s.nodes.get(b.node) == nil; r.dialog {
		return gone && f.seek()
	} else if gone && f.invite && f.seek() { // who took the call over rings again under its name
		return true
	}
	return f.chooseAgain()
}

// chooseAgain sends the request to a node that was not tried.
func (f *forwarding) chooseAgain() bool {
	next := f.s.nodes.choose(f.tried)
	if next == nil {
		return false
	}
	f.s.m.reselected.Inc()
	f.toNode(next, "false")
	return true
}

func (f *forwarding) count(b *branch) {
	f.s.m.responses.WithLabelValues(f.method, b.node, f.route.direction).Inc()
}

// nodeGone fails what waits for a node that died, so that it is tried elsewhere at once, and takes back what its SIP node asked
// phones for: nobody would hear their answers.
func (s *Service) nodeGone(id string) {
	s.layer.Each(func(shard *txn.Shard) {
		for f := range live(shard) {
			if r := &f.route; r.passed && r.pass.FromNode() && r.pass.From == id {
				f.cancel(`Parley;text="the calling node is gone"`)
				continue
			}
			for _, b := range slices.Clone(f.branches) {
				if b.door != nil && b.door.id == id && !b.done {
					b.failed(errNodeGone)
				}
			}
		}
	})
}

var errNodeGone = errors.New("sipproxy: SIP node is gone")

// Response implements txn.Waiter for branches over the network.
func (b *branch) Response(_ *txn.Client, m *txn.Message) {
	up := wire.AppendUpstream(nil, &m.Message)
	if b.done { // a 2xx after the end is passed on all the same (RFC 3261 §16.7, item 5)
		if m.Status()/100 == 2 && b.f.invite {
			b.f.count(b)
			_ = b.f.up.Respond(m.Status(), up)
		}
		return
	}
	b.response(m.Status(), up)
}

// Failed implements txn.Waiter.
func (b *branch) Failed(_ *txn.Client, err error) { b.failed(err) }
