package sip

import (
	"net/netip"
	"sync/atomic"

	"parley/internal/media/sdp"
)

// A side of a call is a dialog with a peer, and a leg for its audio. Since audio is agreed with each side by itself, a side
// can change over to another call without a word to its phone: what follows is how.

// owner is the call that a leg's signs of life and keys concern.
type owner struct{ call atomic.Pointer[call] }

// legHooks are told of a leg, from any goroutine.
type legHooks struct {
	silence func()
	key     func(byte)
}

func (o *owner) hooks(e *end) legHooks {
	return legHooks{
		silence: func() {
			c := o.call.Load()
			c.must(func() {
				if c.has(e) {
					c.silent()
				}
			})
		},
		key: func(key byte) {
			c := o.call.Load()
			c.post(func() {
				if c.has(e) && c.audio.ends[caller] == e {
					c.key(key)
				}
			})
		},
	}
}

// has tells whether a side of the call is e; it may have gone to another one.
func (c *call) has(e *end) bool {
	return c.phase != over && c.audio != nil && (c.audio.ends[caller] == e || c.audio.ends[callee] == e)
}

// openLegs gives each side a leg that has none, and joins them.
func (c *call) openLegs() error {
	opened := false
	for _, e := range c.audio.ends {
		if e.leg != nil {
			continue
		}
		opened = true
		e.owner = &owner{}
		e.owner.call.Store(c)
		l, host, err := c.w.mediaLeg(e.owner.hooks(e))
		if err != nil || l == nil {
			c.closeAudio()
			return err
		}
		e.leg = l
		c.audio.host = host
	}
	if opened {
		c.rejoin()
	}
	return nil
}

func (e *end) close() {
	e.stopMusic()
	e.leg.Close()
	e.leg = nil
	e.keys.forget()
}

func (e *end) stopMusic() {
	if e.stop != nil {
		e.stop()
		e.stop = nil
	}
}

// newEnd is a side that nobody has been called for.
func (c *call) newEnd() *end {
	c.made++
	e := &end{author: sdp.NewAuthor(uint64(c.dice(1<<31))<<8 + uint64(c.made&0xff))}
	e.keys.shook = func(err error) { c.w.shook(c.id.uuid, callee, err) }
	return e
}

// quiet tells whether nothing is under way on a side that would go astray if it changed over to another call.
func (c *call) quiet(s side) bool {
	return c.legs[s] != nil && c.offer == nil && c.repeats[s] == nil && c.unacked[s] == 0 && c.renewals[s] == nil && !(s == caller && c.awaited)
}

// flip exchanges the sides. Both must be quiet, or not there.
func (c *call) flip() {
	for s := range c.as {
		if st := c.standing(side(s)); c.legs[s] != nil {
			c.as[s] = &st
		} else {
			c.as[s] = nil
		}
	}
	for _, l := range c.legs {
		if l != nil {
			l.timer.halt()
		}
	}
	c.legs[caller], c.legs[callee] = c.legs[callee], c.legs[caller]
	c.hosts[caller], c.hosts[callee] = c.hosts[callee], c.hosts[caller]
	c.as[caller], c.as[callee] = c.as[callee], c.as[caller]
	c.device, c.calledDevice = c.calledDevice, c.device
	c.acks[caller], c.acks[callee] = c.acks[callee], c.acks[caller]
	c.repeats[caller], c.repeats[callee] = c.repeats[callee], c.repeats[caller]
	c.unacked[caller], c.unacked[callee] = c.unacked[callee], c.unacked[caller]
	c.renewals[caller], c.renewals[callee] = c.renewals[callee], c.renewals[caller]
	c.parked[caller], c.parked[callee] = c.parked[callee], c.parked[caller]
	c.muted[caller], c.muted[callee] = c.muted[callee], c.muted[caller]
	c.hearing.last[caller], c.hearing.last[callee] = c.hearing.last[callee], c.hearing.last[caller]
	c.hearing.mos[caller], c.hearing.mos[callee] = c.hearing.mos[callee], c.hearing.mos[caller]
	if c.audio != nil {
		c.audio.ends[caller], c.audio.ends[callee] = c.audio.ends[callee], c.audio.ends[caller]
	}
	for s, l := range c.legs {
		if l != nil {
			c.resumeTimer(side(s))
		}
	}
}

// forsake makes the call one with the caller's side alone: the callee's is given up, without a word to its phone.
func (c *call) forsake() {
	if e := c.audio.ends[callee]; e.leg != nil {
		e.stopMusic()
		e.close()
	}
	c.audio.ends[callee] = c.newEnd()
	c.vacate(callee)
	c.phase, c.taken = queued, true
	c.deal, c.offered, c.direct = dealSettled, true, false
	c.plan, c.rings = nil, ""
	c.unmute(caller)
}

// farewell tells how the voice of a side was that leaves, for the last time.
func (c *call) farewell(s side) {
	if c.audio == nil || c.audio.ends[s].leg == nil {
		return
	}
	f := c.audio.ends[s].leg.Figures()
	if quiet(&f) {
		return
	}
	e := c.voiceEvent(s, &f)
	e.Final = true
	c.w.heard(e)
}

// vacate forgets what concerns a side that is not there any more.
func (c *call) vacate(s side) {
	if l := c.legs[s]; l != nil {
		l.timer.halt()
	}
	c.legs[s], c.as[s], c.hosts[s] = nil, nil, netip.Addr{}
	c.acks[s], c.unacked[s], c.renewals[s], c.parked[s] = ack{}, 0, nil, false
	c.unmute(s)
	if r := c.repeats[s]; r != nil && r.then == nil {
		r.stop()
		c.repeats[s] = nil
	}
}

// adopt moves a side of another call into an empty side of this one: its dialog, its audio, and how it appears in events.
// What the other call keeps is an empty side. Both calls are of one mailbox, and the side is quiet.
func (c *call) adopt(to side, from *call, s side) {
	st := from.standing(s)
	l, e := from.legs[s], from.audio.ends[s]
	l.timer.halt()
	e.stopMusic()
	from.unmute(s)
	c.legs[to], c.hosts[to], c.as[to], c.acks[to] = l, from.hosts[s], &st, from.acks[s]
	if to == caller {
		c.device = e.device
		c.from = from.partyOf(s)
	} else {
		c.calledDevice = e.device
		c.rings = st.dn
	}
	if old := c.audio.ends[to]; old != nil && old.leg != nil && old != e && !(c.borrowed && to == caller) {
		old.close()
	}
	c.audio.ends[to] = e
	c.audio.host = from.audio.host
	e.owner.call.Store(c)
	for i, b := range from.branches { // it may be asked for again by who it was called for
		if b.leg == l {
			b.call = c
			c.branches = append(c.branches, b)
			from.branches = append(from.branches[:i:i], from.branches[i+1:]...)
			break
		}
	}
	c.w.shut(l.callID)
	c.w.open(l.callID, c)
	c.hearing.last[to], c.hearing.mos[to] = from.hearing.last[s], from.hearing.mos[s]
	from.audio.ends[s] = from.newEnd()
	from.legs[s] = nil
	from.vacate(s)
	c.returns = append(c.returns, from.returns...)
	from.returns = nil
	if from.from.leave != nil {
		c.returns = append(c.returns, from.from.leave)
		from.from.leave = nil
	}
	if x := from.exit; x != nil {
		c.returns = append(c.returns, x.Release)
		from.stopSilence()
		from.exit = nil
	}
	c.resumeTimer(to)
}

// partyOf is a side as one who calls on.
func (c *call) partyOf(s side) party {
	if s == caller {
		p := c.from
		p.leave = nil
		return p
	}
	st := c.standing(callee)
	p := party{number: st.dn, shown: st.dn, trunk: st.trunk}
	if c.rings == "" && c.as[callee] == nil { // beyond a trunk
		p.number, p.trunk = "", c.trunkOut()
	} else if st.outside {
		p.number = ""
	}
	return p
}
