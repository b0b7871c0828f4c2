package sipproxy

import (
	"context"
	"sync"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/sipua/wire"
)

// Calls outlive their nodes, and the tokens in the route sets of phones do not change (RFC 3261 §12.2): they name the node
// that a call began on. When that one is dead, or knows the dialog no more, the SIP nodes alive are asked who has it, and the
// answer is kept. While a call is between two nodes the request waits here; its sender repeats it in vain, as far as he does.

const (
	maxMoves  = 100_000                // dialogs whose new node is remembered; the oldest is forgotten, and found again
	maxSeeks  = 64                     // questions about dialogs at once; one more is answered as if nobody had it
	seekEvery = 100 * time.Millisecond //
	notice    = 2 * time.Second        // until all nodes have heard that one died, and say themselves that calls are moving
	seekFor   = 20 * time.Second       // for a cluster that has to find itself a new leader; below Timer F, so that the sender still waits for what comes of it (RFC 3261 §17.1.2.2)
)

// moves remembers the nodes of dialogs that moved. Safe for use by many goroutines.
type moves struct {
	seeks chan struct{}

	mu   sync.Mutex        // guards what follows
	to   map[string]string // Call-ID to node
	ring []string          // Call-IDs in the order they came
	next int
}

func newMoves(most int) moves {
	return moves{seeks: make(chan struct{}, maxSeeks), to: map[string]string{}, ring: make([]string, 0, most)}
}

func (v *moves) get(callID []byte) (node string, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	node, ok = v.to[string(callID)]
	return node, ok
}

func (v *moves) put(callID, node string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, known := v.to[callID]; !known {
		if len(v.ring) < cap(v.ring) {
			v.ring = append(v.ring, callID)
		} else {
			delete(v.to, v.ring[v.next])
			v.ring[v.next] = callID
			v.next = (v.next + 1) % len(v.ring)
		}
	}
	v.to[callID] = node
}

// ofDialog is the node that has the dialog, as far as is known here; nil = it has to be looked for.
func (f *forwarding) ofDialog() *sipNode {
	if f.route.passed { // the other front door looks for it
		return f.s.nodes.get(f.route.node)
	}
	if node, ok := f.s.moves.get(f.req.Get(wire.CallID)); ok {
		if n := f.s.nodes.get(node); n != nil {
			f.route.node = node
			return n
		}
	}
	return f.s.nodes.get(f.route.node)
}

// within sends a request to the node that has its dialog.
func (f *forwarding) within() {
	if n := f.ofDialog(); n != nil {
		f.toNode(n, "true")
	} else if !f.seek() {
		f.fail(481)
	}
}

// moved looks for the dialog elsewhere when its node says that it has none. Only a token of ours is worth the question: a
// stranger's request asks nobody.
func (f *forwarding) moved(b *branch) bool {
	r := &f.route
	return r.dialog && r.token && r.direction == inbound && !r.passed && len(f.branches) < maxBranches && f.elsewhere(b.node) && f.seek()
}

// elsewhere tells whether a dialog may be on another node than that, or come back to it.
func (f *forwarding) elsewhere(node string) bool {
	return len(f.s.nodes.cur.Load().list) > 1 || f.s.nodes.dying(node) || node == f.s.f.Node()
}

// seek looks for the node that has the dialog of the request, and sends the request there. It gives up when nobody has it
// and nobody is taking calls over.
func (f *forwarding) seek() bool {
	s := f.s
	if f.closed || f.cancelled || f.seeking || f.route.passed {
		return false
	}
	if f.sought.IsZero() {
		f.sought = time.Now()
	}
	if time.Since(f.sought) > seekFor {
		return false
	}
	f.seeking = true
	was := f.route.node
	if !f.route.dialog {
		was = f.branches[len(f.branches)-1].node
	}
	s.seek(f.req, f.shard.Do, was, func(node string, again bool) {
		f.seeking = false
		switch n := s.nodes.get(node); {
		case f.closed:
		case f.cancelled:
			f.finish()
		case n != nil:
			f.route.node = node
			s.m.reselected.Inc()
			f.best = nil
			f.toNode(n, "false")
		case again:
			f.seeking = true
			f.shard.After(seekEvery, func() {
				f.seeking = false
				if !f.closed && !f.seek() {
					f.lost()
				}
			})
		default:
			f.lost()
		}
	})
	return true
}

// lost ends the search for a call that nobody has.
func (f *forwarding) lost() {
	f.s.m.notFound.Inc()
	switch {
	case f.cancelled || f.best != nil:
		f.finish()
	case f.route.dialog:
		f.fail(481)
	case !f.chooseAgain(): // the call had not got far enough to be kept
		f.fail(503)
	}
}

// ackWithin sends an ACK to the node that has its dialog; false says that it has no way to go.
func (f *forwarding) ackWithin() bool {
	s, r := f.s, &f.route
	n := f.ofDialog()
	if n == nil && (r.passed || !r.token) {
		return false
	}
	if n == nil { // one look: the 2xx is repeated, and the ACK with it
		s.seek(f.req, f.shard.Do, r.node, func(node string, _ bool) {
			if n := s.nodes.get(node); n != nil {
				f.ackTo(n)
			}
		})
		return true
	}
	f.ackTo(n)
	return true
}

func (f *forwarding) ackTo(n *sipNode) {
	if f.route.node = n.id; n.local {
		f.s.deliverLocal(f.compose(nil, hop{node: n.id}), nil)
		return
	}
	f.ackToDoor(n, n.id)
}

// seek asks all SIP nodes for the dialog of m; was is the node that had it. on runs by do, with the node that has it, or with
// again when a later question may find one.
func (s *Service) seek(m interface{ Get(wire.ID) []byte }, do func(func()), was string, on func(node string, again bool)) {
	callID := string(m.Get(wire.CallID))
	select {
	case s.moves.seeks <- struct{}{}:
	default:
		do(func() { on("", s.nodes.dying(was)) })
		return
	}
	go func() {
		node, moving := s.whoHas(callID)
		<-s.moves.seeks
		if node != "" {
			s.m.found.Inc()
			s.moves.put(callID, node)
		}
		do(func() { on(node, moving || s.nodes.dying(was)) })
	}()
}

// whoHas asks the SIP nodes alive, all at once.
func (s *Service) whoHas(callID string) (node string, moving bool) {
	ctx, cancel := context.WithCancel(s.run)
	defer cancel()
	type answer struct {
		node string
		contract.FindDialogResponse
	}
	list := s.nodes.cur.Load().list
	answers := make(chan answer, len(list))
	for _, n := range list {
		go func() {
			r, err := fabric.CallNode(ctx, s.f, contract.FindDialog, n.id, contract.FindDialogRequest{CallID: callID})
			if err != nil {
				r.Here = false // dead, or starting: then others know, or it says so in a moment
			}
			answers <- answer{n.id, r}
		}()
	}
	for range list {
		a := <-answers
		if a.Here {
			return a.node, false
		}
		moving = moving || a.Moving
	}
	return "", moving
}
