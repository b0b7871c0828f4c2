package sip

import (
	"errors"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/media"
	"parley/internal/media/quality"
	"parley/internal/media/sdp"
	"parley/internal/sipua/object"
	"parley/internal/voice"
)

// mediaLeg is the part of media.Leg that a call needs.
type mediaLeg interface {
	Agree(media.Agreement) error
	Ports() (rtp, rtcp uint16)
	Watch(time.Duration)
	Figures() quality.Figures
	Close()
}

// audio is what the two sides of a call have said about their media (RFC 3264). Whatever one side says goes to the other
// through it: as an offer or an answer, in a request, a response or an ACK.
type audio struct {
	legs    [2]mediaLeg // towards each side, joined; nil: the media goes directly from phone to phone
	host    func(peer netip.Addr) (netip.Addr, error)
	authors [2]*sdp.Author // of what that side hears
	ends    [2]end
	sent    [2][]byte // the description each side was given last, for refreshes
	heard   [2]uint64 // sum of the one each side gave last; 0 = none yet
	before  [2]past   // what held before the offer under way
}

// past is what a side's offer replaced.
type past struct {
	end   end
	heard uint64
	sent  []byte // to the other side
}

// end is what one side said last.
type end struct {
	remote  media.Remote
	dir     sdp.Direction
	formats []sdp.Format
	known   bool
}

func endOf(a sdp.Audio, signalling netip.Addr) end {
	return end{media.RemoteOf(a, signalling), a.Direction, a.Formats, true}
}

// through tells whether the media goes through the node.
func (a *audio) through() bool { return a.legs[caller] != nil }

func newAudio(callUUID string) *audio {
	h := fnv.New64a()
	_, _ = h.Write([]byte(callUUID)) // never fails
	id := h.Sum64() >> 3
	return &audio{authors: [2]*sdp.Author{sdp.NewAuthor(id), sdp.NewAuthor(id + 1)}}
}

// pass takes what side from said and returns the body for the other side, whose address is peer.
func (a *audio) pass(from side, s *sdp.Session, signalling, peer netip.Addr) (_ []byte, err error) {
	a.before[from] = past{a.ends[from], a.heard[from], a.sent[from.other()]}
	if au, ok := s.Audio(); ok {
		if err := a.set(from, endOf(au, signalling)); err != nil {
			return nil, err
		}
	}
	var at sdp.Local
	if a.through() {
		if at.Addr, err = a.host(peer); err != nil {
			return nil, err
		}
		at.RTP, at.RTCP = a.legs[from.other()].Ports()
	}
	body := a.authors[from.other()].Rewrite(s, at)
	a.heard[from], a.sent[from.other()] = s.Sum(), body
	return body, nil
}

// take notes what side from said when the other side need not hear of it: the answer to a repeated offer.
func (a *audio) take(from side, s *sdp.Session, signalling netip.Addr) error {
	a.heard[from] = s.Sum()
	if au, ok := s.Audio(); ok {
		return a.set(from, endOf(au, signalling))
	}
	return nil
}

// same tells whether body says what side from said last.
func (a *audio) same(from side, body []byte) bool {
	if a == nil || a.heard[from] == 0 {
		return false
	}
	s, err := sdp.Parse(body)
	return err == nil && s.Sum() == a.heard[from]
}

func (a *audio) set(s side, e end) error {
	a.ends[s] = e
	if !a.through() || !e.known {
		return nil
	}
	if err := a.agree(s); err != nil {
		return err
	}
	if other := s.other(); a.ends[other].known { // who may send what depends on both
		return a.agree(other)
	}
	return nil
}

// agree tells the leg of a side what both sides said. A phone sends the other's payload types, but some send their own.
func (a *audio) agree(s side) error {
	e, other := a.ends[s], a.ends[s.other()]
	return a.legs[s].Agree(media.Agreement{
		Remote: e.remote, Direction: e.dir, Send: e.formats, Receive: slices.Concat(other.formats, e.formats),
	})
}

// undo takes back what side s offered, since the offer was refused and the session stays as it was (RFC 3261 §14.1).
func (a *audio) undo(s side) {
	if b := a.before[s]; b.end.known {
		a.heard[s], a.sent[s.other()] = b.heard, b.sent
		_ = a.set(s, b.end) // it was good before
	}
}

// compact forgets what was before, when the first offer is answered.
func (a *audio) compact() {
	if a != nil {
		a.before = [2]past{}
	}
}

// held tells whether side s has the other one on hold.
func (a *audio) held(s side) bool { return a.ends[s].known && a.ends[s].dir.Held() }

// isSDP tells whether a message has a session description.
func isSDP(m sip.Message) bool {
	if len(m.Body()) == 0 {
		return false
	}
	kind, _, _ := strings.Cut(object.Value(m, "Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/sdp")
}

// carry copies the body of a message of side from into one for the other side: a session description by way of
// our ports, all else as it is.
func (c *call) carry(from side, m, to sip.Message) error {
	body := m.Body()
	if len(body) == 0 {
		to.SetBody(nil)
		return nil
	}
	if isSDP(m) {
		s, err := sdp.Parse(body)
		if err != nil {
			return err
		}
		if err := c.openAudio(from, s, isOffer(m)); err != nil {
			return err
		}
		if body, err = c.audio.pass(from, s, c.hosts[from], c.hosts[from.other()]); err != nil {
			return err
		}
	}
	pass(m, to, passed.body...)
	to.SetBody(body)
	return nil
}

// openAudio makes what the call needs for the session description s of side from: ports, unless it can do without.
func (c *call) openAudio(from side, s *sdp.Session, offer bool) error {
	first := c.audio == nil
	if first {
		c.audio = newAudio(c.id.uuid)
	}
	if c.audio.through() || !first && !offer || c.mayGoDirectly(from, s) {
		return nil
	}
	legs, host, err := c.w.mediaLegs(func() { c.must(c.silent) })
	if err != nil {
		return err
	}
	if err := c.audio.lead(legs, host); err != nil {
		return err
	}
	if c.audio.through() {
		c.listen()
	}
	if c.phase == talking {
		c.watchAudio()
	}
	return nil
}

// lead puts legs between the two sides, and tells them what was said so far.
func (a *audio) lead(legs [2]mediaLeg, host func(netip.Addr) (netip.Addr, error)) error {
	if legs[caller] == nil {
		return nil
	}
	a.legs, a.host = legs, host
	for s, e := range a.ends {
		if err := a.set(side(s), e); err != nil {
			return err
		}
	}
	return nil
}

// silent is a phone that should speak and has sent nothing for long: it is gone, and nobody told us.
func (c *call) silent() {
	c.hangUp("no audio came any more", "system", outcome{status: 200})
}

// watchAudio begins to look for silence, once both sides know where to send.
func (c *call) watchAudio() {
	if c.audio != nil && c.audio.through() && c.cfg.Silence > 0 {
		for _, l := range c.audio.legs {
			l.Watch(c.cfg.Silence)
		}
	}
}

func (c *call) closeAudio() {
	if c.audio != nil && c.audio.through() {
		for _, l := range c.audio.legs {
			l.Close()
		}
	}
}

// holdEvents tells of a side that put the other one on hold, or took it back, since was.
func (c *call) holdEvents(s side, was bool) {
	if c.audio == nil || s == callee && c.rings == "" {
		return
	}
	switch now := c.audio.held(s); {
	case now && !was:
		c.publish(voice.EventHeld, s, voice.StateOk, nil)
	case was && !now:
		c.publish(voice.EventRetrieved, s, voice.StateOk, nil)
	}
}

func (c *call) isHeld(s side) bool { return c.audio != nil && c.audio.held(s) }

// badMedia is the answer to a body that cannot be carried.
func badMedia(err error) outcome {
	switch {
	case errors.Is(err, voice.ErrOverloaded), errors.Is(err, voice.ErrUnavailable):
		return outcome{status: 503, reason: "no port for audio is free"}
	default:
		return outcome{status: 488, reason: err.Error()}
	}
}
