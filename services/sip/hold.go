package sip

import (
	"parley/internal/media/sdp"
	"parley/internal/voice"
)

// onward is what the other side of from is told about the direction of audio. Whoever is on hold hears music of ours unless the
// holder's device is configured otherwise, so we send even where the holder sends nothing.
func (a *audio) onward(from side) sdp.Direction {
	e := a.ends[from]
	if !e.holds {
		return e.said.dir
	}
	switch e.device.hold {
	case voice.HoldOwn:
		return e.said.dir
	case voice.HoldSilence:
		return sdp.Inactive
	}
	return sdp.SendOnly
}

// music plays to whoever is on hold, and stops when he is not any more. In a conference the others are there instead.
func (c *call) music() {
	a := c.audio
	if a == nil || !a.through() {
		return
	}
	for _, s := range []side{caller, callee} {
		e, holder := a.ends[s], a.ends[s.other()]
		if e.leg == nil || c.borrowed && s == caller {
			continue
		}
		held := holder.holds && holder.device.hold == voice.HoldMusic || c.parked[s.other()]
		wanted := c.phase != over && !c.inRoom && held && e.agreed != nil && e.said.dir.Receives()
		switch {
		case wanted && e.stop == nil:
			if src := c.w.holdMusic(c.id.tenant); src != nil {
				e.stop = e.leg.Play(src, nil)
			}
		case !wanted && e.stop != nil:
			e.stop()
			e.stop = nil
		}
	}
}
