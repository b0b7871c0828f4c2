package sip

import (
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
	"golang.org/x/sync/errgroup"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/services/sip/snapshot"
)

// Each node watches who is alive. When one dies, or lets go of its calls because it stops, the others share them: who is to have a
// call follows from its name and the nodes alive, without a word between them, and who has it is whoever wins the compare-and-set
// on its snapshot. What is left after a moment anybody takes. A node that starts does the same, so a single one finds
// its own calls again.

const (
	claimsAtOnce = 16
	secondLook   = 1500 * time.Millisecond // before calls that are another node's to take are taken all the same
	drainLook    = 300 * time.Millisecond  // between looks for calls that a stopping node lets go of
	aliveWait    = 400 * time.Millisecond  // for the answer of an owner without a record
	orphanWait   = 12 * time.Second        // for the INVITE of a call that was not answered; the front door sends it again
)

// takeovers is what a node knows of the others.
type takeovers struct {
	me    snapshot.Owner
	wake  chan struct{}
	sweep sync.Mutex // held while calls are looked through

	mu      sync.Mutex // guards what follows
	nodes   map[string]contract.NodeRecord
	orphans map[string]*orphan // by the Call-ID of the caller's dialog
}

// orphan is a call that was claimed and whose caller was not answered yet.
type orphan struct {
	n     *snapshot.Call
	c     *call
	timer *time.Timer
	taken bool // by an INVITE, or because none came
}

func newTakeovers(node string, started time.Time) *takeovers {
	return &takeovers{
		me: snapshot.Owner{Node: node, Started: started}, wake: make(chan struct{}, 1),
		nodes: map[string]contract.NodeRecord{}, orphans: map[string]*orphan{},
	}
}

// watchNodes follows who is alive until ctx ends; ready is closed when that is known.
func (s *Service) watchNodes(ctx context.Context, ready func()) {
	for ctx.Err() == nil {
		err := s.f.Bucket(fabric.BucketNodes).Watch(ctx, "", s.nodeChanged, ready)
		if ctx.Err() == nil {
			s.log.Warn("watch of the nodes broke", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

// nodeChanged takes news of a node, and has its calls looked for when it died, began another life, or stops.
func (s *Service) nodeChanged(e fabric.Entry) {
	t := s.over
	id := e.Key
	if k := fabric.SplitKey(e.Key); len(k) == 1 {
		id = k[0]
	}
	var now contract.NodeRecord
	gone := e.Op != fabric.EntryPut || json.Unmarshal(e.Value, &now) != nil
	t.mu.Lock()
	was, known := t.nodes[id]
	if gone {
		delete(t.nodes, id)
	} else {
		t.nodes[id] = now
	}
	t.mu.Unlock()
	switch {
	case id == t.me.Node && gone && known: // we were taken for dead: what was ours may be others' by now
		s.touchAll()
	case id == t.me.Node:
	case known && was.SIP != nil && (gone || !now.Started.Equal(was.Started)):
		s.log.Warn("node died, its calls are taken over", "node", id)
		s.lookForCalls()
	case !gone && now.SIP != nil && now.SIP.Draining:
		s.lookForCalls()
	}
}

// touchAll writes every call again. A write that fails tells whose it is.
func (s *Service) touchAll() {
	for _, c := range s.all() {
		c.must(c.save)
	}
}

// lookForCalls has calls without an owner looked for soon.
func (s *Service) lookForCalls() {
	select {
	case s.over.wake <- struct{}{}:
		s.moving.Add(1) // until that look is over
	default:
	}
}

// takeOver looks for calls when there may be some, until ctx ends.
func (s *Service) takeOver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.over.wake:
		}
		left := s.claimAll(ctx, false)
		for s.othersDrain() && ctx.Err() == nil {
			pause(ctx, drainLook)
			left = s.claimAll(ctx, false)
		}
		for left > 0 && ctx.Err() == nil {
			pause(ctx, secondLook)
			left = s.claimAll(ctx, true)
		}
		s.moving.Add(-1)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// othersDrain tells whether another node is letting go of its calls.
func (s *Service) othersDrain() bool {
	s.over.mu.Lock()
	defer s.over.mu.Unlock()
	for id, n := range s.over.nodes {
		if id != s.over.me.Node && n.SIP != nil && n.SIP.Draining && n.SIP.Calls > 0 {
			return true
		}
	}
	return false
}

// alive tells whether the owner of a call lives by its record, and whether it may live without one.
func (t *takeovers) alive(o snapshot.Owner) (lives, may bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, ok := t.nodes[o.Node]
	return ok && n.Started.Equal(o.Started), !ok && o.Node != t.me.Node
}

// answers asks a node without a record whether it lives: a record can expire, or be taken away, while its node works.
func (s *Service) answers(ctx context.Context, node string) bool {
	ctx, cancel := context.WithTimeout(ctx, aliveWait)
	defer cancel()
	_, err := fabric.CallNode(ctx, s.f, contract.NodeAlive, node, struct{}{})
	return err == nil
}

// has tells whether a call is in the tables, or its snapshot has still to be taken away. A claim whose answer was lost may have made
// us the owner of a call of which neither is so.
func (s *Service) has(uuid string) bool {
	s.mu.Lock()
	c := s.names[uuid]
	s.mu.Unlock()
	return c != nil || s.keeps.Knows(uuid)
}

// heir is the node that is to have a call: the highest by a hash of both names (rendezvous), among those that take calls. Each node
// gets as many as any other, and the calls of two that die are spread over all that are left.
func (t *takeovers) heir(uuid string) string {
	t.mu.Lock()
	ids := slices.Sorted(maps.Keys(t.nodes))
	ids = slices.DeleteFunc(ids, func(id string) bool {
		n := t.nodes[id]
		return n.SIP == nil || n.SIP.Draining || n.SIP.Capacity > 0 && n.SIP.Calls >= n.SIP.Capacity
	})
	t.mu.Unlock()
	best, most := t.me.Node, uint64(0)
	for _, id := range ids {
		h := fnv.New64a()
		_, _ = h.Write([]byte(uuid + "@" + id)) // a hash takes everything
		if v := h.Sum64() * 0x9E3779B97F4A7C15; v >= most {
			best, most = id, v
		}
	}
	return best
}

// claimAll claims the calls that are nobody's and ours to have, or all of them; it returns for how many another look is needed: those left to
// others, those whose claim failed, and those whose owner answers though it has no record.
func (s *Service) claimAll(ctx context.Context, all bool) int {
	t := s.over
	t.sweep.Lock()
	defer t.sweep.Unlock()
	if s.drain.Load() {
		return 0
	}
	var left atomic.Int64
	asked := map[string]bool{} // whether they answered
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(claimsAtOnce)
	err := s.f.Bucket(fabric.BucketCalls).Each(ctx, "", func(e fabric.Entry) {
		if e.Op != fabric.EntryPut {
			return
		}
		s.m.haReads.Inc()
		n, err := snapshot.Decode(e.Value)
		if err != nil {
			s.log.Warn("a call of another node cannot be read", "key", e.Key, "err", err)
			return
		}
		claim := func() {
			g.Go(func() error {
				if !s.claim(ctx, n, e.Revision) {
					left.Add(1)
				}
				return nil
			})
		}
		if n.Owner.Same(t.me) {
			if !n.Released && !s.has(n.UUID) {
				claim()
			}
			return
		}
		if !n.Released {
			lives, may := t.alive(n.Owner)
			if lives {
				return
			}
			answers, known := asked[n.Owner.Node]
			if may && !known {
				answers = s.answers(ctx, n.Owner.Node)
				asked[n.Owner.Node] = answers
			}
			if may && answers {
				left.Add(1)
				return
			}
		}
		if !all && t.heir(n.UUID) != t.me.Node {
			left.Add(1)
			return
		}
		claim()
	})
	if err != nil && ctx.Err() == nil {
		s.log.Error("calls of a dead node cannot be looked for", "err", err)
		left.Add(1)
	}
	_ = g.Wait() // none of them fails
	return int(left.Load())
}

// claim makes a call ours, if nobody was faster, and goes on with it; false means that it is not known whose it is now. That is so
// of a conflict too, which may be with an earlier claim of ours whose answer was lost.
func (s *Service) claim(ctx context.Context, n *snapshot.Call, revision uint64) bool {
	n.Owner, n.Epoch, n.Released = s.over.me, n.Epoch+1, false
	b, err := n.Encode()
	if err != nil { // nor will it be another time
		s.log.Warn("a call cannot be claimed", "call", n.UUID, "err", err)
		return true
	}
	revision, err = s.f.Bucket(fabric.BucketCalls).Put(ctx, snapshot.Key(n.UUID), b, fabric.PutOptions{CAS: true, Revision: revision})
	if err != nil {
		if !errors.Is(err, voice.ErrConflict) {
			s.log.Warn("a call cannot be claimed", "call", n.UUID, "err", err)
		}
		return false
	}
	s.takeOn(ctx, n, revision)
	return true
}

// takeOn goes on with a call that was claimed.
func (s *Service) takeOn(ctx context.Context, n *snapshot.Call, revision uint64) {
	s.keeps.Adopt(n.UUID, revision, n.Epoch)
	last, err := s.lastEvent(ctx, n)
	if err != nil {
		last, err = s.lastEvent(ctx, n)
	}
	if err != nil { // then all that the snapshot has is published again; the stream takes none twice
		s.log.Warn("the last event of a call cannot be read", "call", n.UUID, "err", err)
		last = &voice.CallEvent{}
	}
	if n.Legs[caller] == nil {
		s.log.Warn("a call of another node cannot go on", "call", n.UUID, "err", errNoLegs)
		return
	}
	ended := endedAlready(last) && last.Seq > n.Seq
	s.catchUp(n, last.Seq)
	c, err := s.revive(n)
	if err != nil {
		s.log.Warn("a call of another node cannot go on", "call", n.UUID, "err", err)
		return
	}
	s.m.restored.Inc()
	s.log.LogAttrs(ctx, slog.LevelInfo, "call taken over", slog.String("call", n.UUID), slog.String("phase", n.Phase))
	answered := n.Phase == talking.String() || n.Phase == answeredPhase || n.Desk != nil && n.Taken
	switch {
	case ended: // and the node died before it could say so everywhere
		gone := s.gone(ctx, n, last)
		s.enlist(c)
		c.must(func() { c.finishOff(gone) })
	case answered:
		s.enlist(c)
		c.must(func() { c.goOn(n) })
	default:
		s.addOrphan(n, c)
	}
}

// answeredPhase is how a call is written whose ACK is awaited: that came, or will not.
var answeredPhase = answered.String()

// lastEvent reads the last event of the call that the stream has; the zero event when it has none.
func (s *Service) lastEvent(ctx context.Context, n *snapshot.Call) (*voice.CallEvent, error) {
	e := &voice.CallEvent{}
	m, ok, err := s.f.ReadLast(ctx, fabric.StreamCalls, fabric.Filter("call", n.Identity.Tenant, n.Identity.UUID, fabric.Rest))
	if err != nil || !ok {
		return e, err
	}
	return e, json.Unmarshal(m.Data, e)
}

// maxGoneEvents bounds what is read of the last events of a call.
const maxGoneEvents = 1000

// gone are the parties whose end the stream has already, by the events after the snapshot.
func (s *Service) gone(ctx context.Context, n *snapshot.Call, last *voice.CallEvent) map[string]bool {
	out := map[string]bool{last.ThisDN: true}
	list, err := s.f.Read(ctx, fabric.StreamCalls, fabric.Filter("call", n.Identity.Tenant, n.Identity.UUID, fabric.Rest), maxGoneEvents)
	if err != nil {
		s.log.Warn("the last events of a call cannot be read", "call", n.UUID, "err", err)
	}
	for _, m := range list {
		var e voice.CallEvent
		if json.Unmarshal(m.Data, &e) == nil && e.Seq > n.Seq && endedAlready(&e) {
			out[e.ThisDN] = true
		}
	}
	return out
}

// finishOff ends a call whose end had begun: the phones are told once more, the parties that have had no such event yet get it, and
// the record is written.
func (c *call) finishOff(gone map[string]bool) {
	c.phase = talking
	for _, l := range c.legs {
		if l != nil {
			c.bye(l, "")
		}
	}
	for _, s := range []side{caller, callee} {
		if st := c.standing(s); !gone[st.dn] && (s == caller || c.rings != "") {
			c.publish(voice.EventReleased, s, voice.StateOk, nil)
		}
	}
	c.life = func() {}
	c.finish(outcome{status: 200, reason: "hung up"}, caller.String())
}

// addOrphan takes a call that was not answered into the tables, and keeps it until its INVITE comes again, which the front door has.
// All of it is one step: an INVITE that comes meanwhile finds the orphan, and not just a call that is in its way.
func (s *Service) addOrphan(n *snapshot.Call, c *call) {
	t := s.over
	id := n.Legs[caller].CallID
	o := &orphan{n: n, c: c}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.orphans[id] = o
	o.timer = time.AfterFunc(orphanWait, func() {
		if t.take(id, o) {
			c.must(c.closeOrphan)
		}
	})
	s.enlist(c)
}

// take takes an orphan out; false means that somebody has.
func (t *takeovers) take(callID string, o *orphan) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.orphans[callID] == o { // else another one came in its place
		delete(t.orphans, callID)
	}
	was := o.taken
	o.taken = true
	return !was
}

// orphan takes the call out that waits for the INVITE that c was made of; nil when there is none. Who knows a Call-ID has not got its
// call yet: the caller and his tag must be the same.
func (s *Service) orphan(c *call) *orphan {
	t, l := s.over, c.legs[caller]
	t.mu.Lock()
	o := t.orphans[l.callID]
	t.mu.Unlock()
	if o == nil {
		return nil
	}
	n := o.n
	if n.Identity.Tenant != c.id.tenant || n.Caller.Number != c.from.number || n.Legs[caller].PeerTag != l.peerTag || !t.take(l.callID, o) {
		return nil
	}
	return o
}

// resume gives a new call the identity of one that another node had begun for the same INVITE, which it returns.
func (s *Service) resume(c *call, req *sip.Request) *orphan {
	o := s.orphan(c)
	if o == nil {
		return nil
	}
	o.timer.Stop()
	s.mu.Lock()
	if s.dialogs[req.CallID().Value()] == o.c {
		delete(s.dialogs, req.CallID().Value())
	}
	s.byTenant[o.c.id.tenant]--
	s.calls.Add(-1)
	s.mu.Unlock()
	o.c.must(func() { o.c.left = true })
	n := o.n
	c.id.uuid, c.id.conn, c.id.number = n.UUID, n.Identity.Conn, n.Identity.Number
	c.contact = "<sip:" + n.UUID + "@" + s.contact + ">"
	c.revived(n)
	c.rings, c.made = n.Rings, n.Made+seqLeap
	return o
}

// giveUp ends a call whose INVITE came and was refused: what was told of it has an end, and a record.
func (s *Service) giveUp(o *orphan) {
	s.mu.Lock()
	s.byTenant[o.c.id.tenant]++
	s.calls.Add(1) // as it was before resume
	s.mu.Unlock()
	o.c.must(func() {
		o.c.left = false
		o.c.closeOrphan()
	})
}

// handOver lets go of the calls of a node that stops, if there is another one that can have them.
func (s *Service) handOver(ctx context.Context) {
	if !s.over.company() {
		return
	}
	for _, c := range s.all() {
		c.must(func() {
			if c.keep == nil || !c.movable() || c.phase != talking && !(c.taken && c.desk != nil) || c.phase == talking && !(c.quiet(caller) && c.quiet(callee)) {
				return
			}
			n := c.snapshot()
			n.Released = true
			c.keep.Save(n)
			c.keep = nil
			c.vanish()
		})
	}
	s.flush(ctx)
}

// flush waits until the bucket has what there is to say of calls, the end of those that ended above all: what stays there is taken
// for a call that was cut off.
func (s *Service) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	if err := s.keeps.Flush(ctx); err != nil {
		s.log.Warn("calls that were not written down when the node stopped", "calls", s.keeps.Waiting(), "err", err)
	}
}

// company tells whether another node takes calls.
func (t *takeovers) company() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, n := range t.nodes {
		if id != t.me.Node && n.SIP != nil && !n.SIP.Draining {
			return true
		}
	}
	return false
}

// lostCall is told of a call that another node has.
func (s *Service) lostCall(uuid string) {
	s.mu.Lock()
	c := s.names[uuid]
	s.mu.Unlock()
	if c == nil || c.id.uuid != uuid {
		return
	}
	s.log.Warn("call was taken over by another node", "call", uuid)
	c.must(func() {
		c.keep = nil
		c.vanish()
	})
}
