package sip

import (
	"time"

	"parley/internal/media/sdp"
	"parley/internal/voice"
	"parley/services/sip/snapshot"
)

// What a call leaves in the bucket "calls" as it changes, so that another node can go on with it (restore.go, takeover.go). A
// change marks the call; it is written down when what caused the change has been done with, and the snapshot.Writer sees to the rest.

// unsureEvents is how long an event may be on its way to the stream: as long it is in the snapshot too, and whoever takes the call
// over publishes it again under its number, by which the stream knows what it has.
const (
	unsureEvents   = 5 * time.Second
	maxUnsureEvent = 8
)

// save has the state of the call written, when what is being done now is done.
func (c *call) save() {
	if c.keep == nil || c.unsaved || c.left {
		return
	}
	c.unsaved = true
	c.must(c.writeDown)
}

func (c *call) writeDown() {
	c.unsaved = false
	switch {
	case c.keep == nil || c.left:
	case c.phase == over:
		c.keep.End(c.id.uuid)
	case c.movable():
		c.keep.Save(c.snapshot())
	default: // better no call than another one
		c.keep.End(c.id.uuid)
	}
}

// movable tells whether another node could go on with the call: one of two sides, or of one at a route point. A consultation ends
// with its node, and the call it is about goes on; so does a conference. One who was answered and waits for somebody to answer him has
// nobody who would ring again.
func (c *call) movable() bool {
	return !(c.solo() && c.desk == nil) && c.about == nil && c.origin == nil && !c.inRoom && len(c.conv.calls) == 1 && c.legs[caller] != nil
}

// remember keeps an event that the stream may not have yet.
func (v *conversation) remember(e *voice.CallEvent) {
	if len(v.recent) == maxUnsureEvent {
		v.recent = append(v.recent[:0:0], v.recent[1:]...)
	}
	v.recent = append(v.recent, e)
}

// unsure are the events that the stream may lack.
func (v *conversation) unsure(now time.Time) []*voice.CallEvent {
	for i, e := range v.recent {
		if now.Sub(e.Time) < unsureEvents {
			return v.recent[i:len(v.recent):len(v.recent)]
		}
	}
	return nil
}

// snapshot is the call as it is now. Nothing of it is changed later.
func (c *call) snapshot() *snapshot.Call {
	v := c.conv
	n := &snapshot.Call{
		UUID: c.id.uuid,
		Identity: snapshot.Identity{
			UUID: v.id.uuid, Conn: v.id.conn, Number: v.id.number, Tenant: v.id.tenant, Kind: v.id.kind, Thread: v.thread, Previous: v.previous, SIPID: v.sipID,
		},
		Caller:  snapshot.Party{Number: v.caller.number, Display: v.caller.display, Shown: v.caller.shown, Trunk: v.caller.trunk, Dialled: v.caller.dialled},
		Dialled: v.dialled, Domain: c.domain, Contact: c.contact, Phase: c.phase.String(), Direct: c.direct, Rings: c.rings, TrunkOut: c.trunkOut(),
		Forwards: c.forwards, Diverted: c.diverted, Taken: c.taken, Queue: v.queue, Waited: v.waited, Made: c.made,
		Times: snapshot.Times{Start: v.times.start, Ring: v.times.ring, Answer: v.times.answer},
		Data:  v.data, DataRev: v.version, Seq: v.seq, Events: v.unsure(c.w.now()),
	}
	if c.plan != nil {
		n.Number = c.plan.Number
	}
	for s, l := range c.legs {
		if l != nil {
			n.Legs[s] = c.legSnapshot(side(s), l)
		}
	}
	if d := c.desk; d != nil {
		n.Desk = &snapshot.Desk{DN: d.dn, Options: d.options, Since: d.since, Keys: string(d.keys), Defaulted: d.defaulted}
		if r := d.running; r != nil {
			n.Desk.Treatment, n.Desk.Parameters, n.Desk.Reference = &r.plan.Type, r.params, r.ref
		}
	}
	return n
}

func (c *call) legSnapshot(s side, l *leg) *snapshot.Leg {
	n := &snapshot.Leg{
		CallID: l.callID, Local: l.local, Remote: l.remote, Tag: l.tag, PeerTag: l.peerTag, Target: l.target.String(), Routes: l.routes,
		Contact: l.contact, Seq: l.seq, PeerSeq: l.peerSeq, Updates: l.updates, Host: c.hosts[s],
		Interval: l.timer.interval, Least: l.timer.least, Ours: l.timer.ours, Ends: l.timer.ends, Parked: c.parked[s],
	}
	if st := c.as[s]; st != nil {
		n.As = &snapshot.Standing{DN: st.dn, Role: st.role, Queue: st.queue, Trunk: st.trunk, Outside: st.outside, Hidden: st.hidden}
	}
	if c.audio == nil {
		return n
	}
	e := c.audio.ends[s]
	n.Audio = &snapshot.Audio{
		Through: c.audio.through(), Author: e.author.State(), Direction: e.said.dir, Profile: e.said.profile, Formats: e.said.formats,
		PTime: e.said.ptime, MaxPTime: e.said.maxptime, Sum: e.said.sum, Agreed: e.agreed, Told: keyless(e.told), Holds: e.holds,
		SRTP: e.device.srtp, WebRTC: e.device.webrtc, Hold: e.device.hold,
	}
	if !c.audio.through() { // the phones' own words; where the audio comes through here, they are said anew
		n.Audio.Sent = e.sent
	}
	return n
}

// keyless is what we said, without what belongs to this node.
func keyless(t sdp.Terms) sdp.Terms {
	t.Local, t.Crypto, t.Fingerprint, t.Setup, t.Ufrag, t.Pwd, t.Candidate = sdp.Local{}, nil, "", "", "", "", ""
	return t
}
