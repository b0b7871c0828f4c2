package sip

import (
	"errors"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/media/sdp"
	"parley/internal/sipua"
	"parley/internal/voice"
	"parley/services/sip/snapshot"
	"parley/services/sip/treatment"
)

// A call that another node left goes on here: its dialogs with CSeqs that node cannot have used, its audio on legs of this node, which
// both sides are told of by re-INVITE, its timers, its events and its record.

// seqLeap is how far our CSeq goes beyond the one in a snapshot, which may be older than the last request.
const seqLeap = 100

// revive makes a call of a snapshot. Nothing of it happens before it is in the tables.
func (s *Service) revive(n *snapshot.Call) (*call, error) {
	i := &n.Identity
	c := &call{
		mailbox: &mailbox{start: s.work}, w: (*outside)(s), cfg: &s.cfg, keep: s.keeps, domain: n.Domain, dialled: n.Dialled,
		contact:  "<sip:" + n.UUID + "@" + s.contact + ">",
		id:       identity{uuid: n.UUID, conn: i.Conn, number: i.Number, tenant: i.Tenant, node: s.f.Node(), kind: i.Kind},
		from:     party{number: n.Caller.Number, display: n.Caller.Display, shown: n.Caller.Shown, trunk: n.Caller.Trunk, dialled: n.Caller.Dialled},
		direct:   n.Direct,
		forwards: n.Forwards, diverted: n.Diverted, rings: n.Rings, taken: n.Taken, made: n.Made + seqLeap,
		plan: &contract.ResolveResponse{Number: n.Number},
	}
	c.revived(n)
	for side, l := range n.Legs {
		if l == nil {
			continue
		}
		leg, err := reviveLeg(l, c.contact)
		if err != nil {
			return nil, err
		}
		c.legs[side], c.hosts[side], c.parked[side] = leg, l.Host, l.Parked
		if st := l.As; st != nil {
			c.as[side] = &standing{dn: st.DN, role: st.Role, queue: st.Queue, trunk: st.Trunk, outside: st.Outside, hidden: st.Hidden}
		}
	}
	if l := c.legs[callee]; l != nil {
		c.branches = []*branch{{leg: l, origin: *l, earlies: []*early{{leg: l}}, trunk: n.TrunkOut, final: true, rings: true}}
	}
	c.reviveAudio(n)
	return c, nil
}

// revived takes over who the call is for reports.
func (c *call) revived(n *snapshot.Call) {
	i := &n.Identity
	v := &conversation{
		id:     identity{uuid: i.UUID, conn: i.Conn, number: i.Number, tenant: i.Tenant, node: c.id.node, kind: i.Kind},
		thread: i.Thread, previous: i.Previous, caller: c.from, dialled: n.Dialled, queue: n.Queue, waited: n.Waited,
		seq: n.Seq, data: n.Data, version: n.DataRev, calls: []*call{c}, sipID: i.SIPID, recent: n.Events,
	}
	v.caller.leave = nil
	v.times.start, v.times.ring, v.times.answer = n.Times.Start, n.Times.Ring, n.Times.Answer
	c.conv = v
}

func reviveLeg(n *snapshot.Leg, contact string) (*leg, error) {
	l := &leg{
		callID: n.CallID, local: n.Local, remote: n.Remote, tag: n.Tag, peerTag: n.PeerTag, routes: n.Routes, contact: contact,
		seq: n.Seq + seqLeap, peerSeq: n.PeerSeq, updates: n.Updates,
		timer: sessionTimer{interval: n.Interval, least: n.Least, ours: n.Ours, ends: n.Ends},
	}
	return l, sip.ParseUri(n.Target, &l.target)
}

func (c *call) reviveAudio(n *snapshot.Call) {
	if n.Legs[caller] == nil || n.Legs[caller].Audio == nil {
		return
	}
	a := newAudio(c.id.uuid, c.w.identity())
	a.keep = false
	for s, l := range n.Legs {
		e := a.ends[s]
		e.keys.shook = func(err error) { c.w.shook(c.id.uuid, side(s), err) }
		if l == nil || l.Audio == nil {
			continue
		}
		o := l.Audio
		e.author = sdp.AuthorFrom(o.Author)
		e.device = device{srtp: o.SRTP, webrtc: o.WebRTC, hold: o.Hold}
		e.said = said{known: len(o.Formats) > 0, sum: o.Sum, dir: o.Direction, profile: o.Profile, formats: o.Formats, ptime: o.PTime, maxptime: o.MaxPTime}
		e.agreed, e.told, e.holds, e.sent = o.Agreed, o.Told, o.Holds, o.Sent
		if e.sent == nil {
			e.sent = []byte{} // something was, and is said anew
		}
	}
	c.audio = a
	c.device, c.calledDevice = a.ends[caller].device, a.ends[callee].device
}

// enlist takes a revived call into the tables. It is taken even where the node is full: it had its place.
func (s *Service) enlist(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range c.legs {
		if l != nil {
			s.dialogs[l.callID] = c
			s.m.dialogs.Add(1)
		}
	}
	v := c.conv
	s.names[c.id.uuid], s.names[v.id.uuid], s.names[v.id.conn] = c, c, c
	s.byTenant[c.id.tenant]++
	s.calls.Add(1)
}

// goOn is the first thing that a revived call does.
func (c *call) goOn(n *snapshot.Call) {
	v := c.conv
	c.life = c.w.after(max(c.cfg.MaxDuration-c.w.now().Sub(v.times.start), time.Second), func() { c.must(c.tooLong) })
	c.phase = talking
	if n.Desk != nil {
		c.phase = queued
	}
	defer c.show()
	through := n.Legs[caller].Audio != nil && n.Legs[caller].Audio.Through
	if through {
		if err := c.openLegs(); err != nil || !c.audio.through() {
			c.hangUp("no port for audio is free on the node that took the call over", "system", outcome{status: 200})
			return
		}
		c.listen()
	}
	for s, l := range c.legs {
		switch {
		case l == nil:
		case through:
			c.renew(side(s), true)
		default: // what the phones agreed about they have still
			c.resumeTimer(side(s))
		}
	}
	if n.Desk != nil {
		c.backAtDesk(n.Desk)
		return
	}
	c.watchAudio()
}

// backAtDesk lets the caller at a route point hear what he heard, from its beginning.
func (c *call) backAtDesk(n *snapshot.Desk) {
	d := &desk{dn: n.DN, options: n.Options, since: n.Since, keys: []byte(n.Keys), defaulted: n.Defaulted}
	c.desk = d
	c.hearKeys()
	if n.Treatment != nil {
		if plan, bad := treatment.Parse(*n.Treatment, n.Parameters); bad == nil {
			if r, bad := c.prepare(plan, n.Reference); bad == nil {
				r.params = n.Parameters
				c.begins(r)
				return
			}
		}
	}
	c.hum()
	c.awaitRouter()
}

// vanish ends what this node knows of a call that another one has: nobody is told, since nothing has ended.
func (c *call) vanish() {
	if c.left {
		return
	}
	c.phase, c.vanished = over, true
	c.stopNoAnswer()
	c.stopRepeats()
	c.stopAlive()
	c.rel.halt()
	if d := c.desk; d != nil {
		d.stopPatience()
		d.stopHum()
		if d.running != nil {
			d.running.halt(true)
		}
		c.desk = nil
	}
	for s, l := range c.legs {
		if l != nil && !(c.borrowed && side(s) == caller) {
			l.timer.halt()
		}
	}
	if c.from.leave != nil {
		c.from.leave()
	}
	for _, back := range c.returns {
		back()
	}
	c.returns = nil
	c.leaveTrunk()
	if r := c.offer; r != nil { // whoever asked asks again, and finds the other node
		r.tx.Respond(c.back(r, 491, "Request Pending"))
	}
	c.unmute(caller)
	c.unmute(callee)
	if n := c.consult; n != nil {
		c.consult = nil
		n.about = nil
		n.vanish()
	}
	if t := c.conv.taping; t != nil && t.tape != nil {
		t.tape.Stop()
	}
	if c.audio != nil {
		c.hearing.due.Store(0)
		c.closeAudio()
	}
	if c.life != nil {
		c.life()
	}
	c.pending = 0
	c.leaveConversation()
	c.leave()
}

// orphaned tells whether the call is one that was set up when its node died, and waits for its INVITE to come again.
func (c *call) orphaned() bool {
	return c.invite == nil && c.phase < answered && !c.taken && c.origin == nil && c.about == nil
}

// toOrphan answers a request within the dialog of a caller who waits, as the snapshot has it. He may have been answered in the last
// moment before his node died; of whoever answered nothing is known here, so there is no call that could go on.
func (c *call) toOrphan(l *leg, req *sip.Request, tx sipua.ServerTx) {
	if req.Method != sip.BYE {
		tx.Respond(busy(req))
		return
	}
	tx.Respond(l.respond(req, 200, "OK"))
	c.closeOrphan()
}

// closeOrphan ends a call whose caller was not answered when its node died, and whose INVITE did not come here.
func (c *call) closeOrphan() {
	if c.phase == over {
		return
	}
	o := outcome{status: 503, reason: "the node of the call died while it was set up"}
	c.phase = over
	c.failed(o)
	c.w.record(c.cdr(o, "system"))
	c.leaveConversation()
	c.leave()
}

var errNoLegs = errors.New("sip: a snapshot without a caller")

// catchUp publishes events that the stream lacks again, under their numbers, and counts on from the last there is.
func (s *Service) catchUp(n *snapshot.Call, last uint64) {
	for _, e := range n.Events {
		if e.Seq > last {
			(*outside)(s).publish(e)
		}
	}
	n.Seq = max(n.Seq, last)
}

// endedAlready tells whether the last event of a call says that it is over. A party that is released because another one has its
// place is not the end.
func endedAlready(e *voice.CallEvent) bool {
	switch e.CallState {
	case voice.StateTransferred, voice.StateRedirected, voice.StateConferenced, voice.StatePickedUp:
		return false
	}
	return e.ID == voice.EventReleased || e.ID == voice.EventAbandoned
}
