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
	sound "parley/internal/media/audio"
	"parley/internal/media/dtmf"
	"parley/internal/media/quality"
	"parley/internal/media/sdp"
	"parley/internal/media/secure"
	"parley/internal/sipua/object"
	"parley/internal/voice"
)

// mediaLeg is the part of media.Leg that a call needs.
type mediaLeg interface {
	Agree(media.Agreement) error
	Ports() (rtp, rtcp uint16)
	Play(src sound.Source, done func(error)) (stop func())
	Listen(to sound.Sink) (stop func())
	Told(dtmf.Digit)
	HearTones(on bool)
	Press(keys string) error
	Watch(time.Duration)
	Figures() quality.Figures
	Close()
}

// audio is what is agreed with the two sides of a call about their media (RFC 3264). Each side is negotiated with by itself,
// about the leg towards it: what one side offers becomes an offer of ours to the other, and its answer one of ours. When the
// media goes from phone to phone, descriptions pass as they are.
type audio struct {
	ends [2]*end
	host func(peer netip.Addr) (netip.Addr, error) // nil: the media goes directly from phone to phone
	id   *secure.Identity
	keep bool // a refused or repeated offer may follow; before the call is answered nothing is let go of
}

// end is one side.
type end struct {
	leg    mediaLeg // nil: the media goes directly
	owner  *owner   // of the leg
	author *sdp.Author
	device device
	keys   keys

	said   said         // by it, last
	asked  *sdp.Session // its offer, as long as it may have to be answered
	ours   *sdp.Terms   // our offer that it answers, or answered last
	agreed []sdp.Format // with its payload types; nil = nothing yet
	told   sdp.Terms    // in the last description of ours
	sent   []byte       // that description, for refreshes
	before *past        // what held before its offer under way
	holds  bool         // it put the other one on hold, in a call that was answered
	stop   func()       // ends the music it hears; nil = there is none
	right  *taping      // the recording in whose right channel it was last
}

// said is what a side said about its audio.
type said struct {
	known    bool
	sum      uint64 // of the description; 0 = none yet
	dir      sdp.Direction
	profile  sdp.Profile
	formats  []sdp.Format
	ptime    time.Duration
	maxptime time.Duration
}

// past is what a side's offer replaced.
type past struct {
	said  said
	asked *sdp.Session
	holds bool
	other struct { // at the other side
		ours *sdp.Terms
		told sdp.Terms
		sent []byte
	}
}

// spoken are the codecs that legs can be joined with when their own differ, best first, and digits, which a leg turns into
// tones for a peer that has none.
var spoken = []sdp.Format{
	{Type: 0, Encoding: "PCMU", Clock: 8000}, {Type: 8, Encoding: "PCMA", Clock: 8000}, {Type: 9, Encoding: "G722", Clock: 8000},
	{Type: 101, Encoding: sdp.TelephoneEvent, Clock: 8000, Params: "0-15"},
}

// through tells whether the media goes through the node.
func (a *audio) through() bool { return a.host != nil }

func newAudio(callUUID string, id *secure.Identity) *audio {
	h := fnv.New64a()
	_, _ = h.Write([]byte(callUUID)) // never fails
	n := h.Sum64() >> 3
	return &audio{id: id, keep: true, ends: [2]*end{{author: sdp.NewAuthor(n)}, {author: sdp.NewAuthor(n + 1)}}}
}

// offer takes an offer of side from, and returns the one for the other side.
func (a *audio) offer(from side, s *sdp.Session, peer netip.Addr, talking bool) ([]byte, error) {
	e, o := a.ends[from], a.ends[from.other()]
	e.before = &past{said: e.said, asked: e.asked, holds: e.holds}
	e.before.other.ours, e.before.other.told, e.before.other.sent = o.ours, o.told, o.sent
	if !a.through() {
		e.hear(s, talking)
		o.sent = o.author.Forward(s)
		return o.sent, nil
	}
	au, ok := s.Audio()
	if !ok {
		return nil, errNoAudio
	}
	if err := e.mayOffer(&au); err != nil {
		return nil, err
	}
	e.hear(s, talking)
	e.asked = s
	body, err := a.propose(from.other(), &sdp.Terms{
		Profile: o.profile(), Formats: o.author.Number(sdp.Widen(e.said.formats, spoken)), Direction: a.onward(from),
		PTime: e.said.ptime, MaxPTime: e.said.maxptime, Reports: true,
	}, peer)
	if err != nil {
		a.undo(from)
	}
	return body, err
}

// propose writes an offer of ours to side s.
func (a *audio) propose(s side, t *sdp.Terms, peer netip.Addr) ([]byte, error) {
	e := a.ends[s]
	if err := a.place(e, t, peer); err != nil {
		return nil, err
	}
	e.keys.offer(t, e.device, a.id)
	e.ours = t
	e.tell(t, e.author.Offer(t))
	return e.sent, nil
}

// place says where we want the audio of e.
func (a *audio) place(e *end, t *sdp.Terms, peer netip.Addr) (err error) {
	t.Addr, err = a.host(peer)
	t.RTP, t.RTCP = e.leg.Ports()
	return err
}

// tell notes what the side was told.
func (e *end) tell(t *sdp.Terms, body []byte) { e.told, e.sent = *t, body }

// hear notes what the side said.
func (e *end) hear(s *sdp.Session, talking bool) {
	au, ok := s.Audio()
	e.said = said{known: ok, sum: s.Sum(), dir: au.Direction, profile: au.Profile, formats: au.Formats, ptime: au.PTime, maxptime: au.MaxPTime}
	e.holds = ok && e.said.dir.Held() && (talking || e.holds)
}

// answer takes the answer of side from to the last offer of ours, and returns the one for the other side, whose offer that
// was.
func (a *audio) answer(from side, s *sdp.Session, signalling [2]netip.Addr, talking bool) ([]byte, error) {
	e, o := a.ends[from], a.ends[from.other()]
	if !a.through() {
		e.hear(s, talking)
		o.sent = o.author.Forward(s)
		return o.sent, nil
	}
	taken, err := a.take(from, s, signalling[from], talking)
	if err != nil {
		return nil, err
	}
	if o.asked == nil {
		return nil, errNoOffer
	}
	formats, err := sdp.Back(o.said.formats, *taken, spoken)
	if err != nil {
		return nil, err
	}
	t := sdp.Terms{Formats: formats, Direction: a.onward(from), PTime: e.said.ptime, MaxPTime: e.said.maxptime}
	body, err := a.reply(from.other(), o.asked, t, signalling[from.other()])
	if !a.keep {
		o.asked, o.before = nil, nil
	}
	return body, err
}

// reply answers an offer of side s, and sets its leg up for it.
func (a *audio) reply(s side, offer *sdp.Session, t sdp.Terms, signalling netip.Addr) ([]byte, error) {
	e := a.ends[s]
	au, ok := offer.Audio()
	if !ok {
		return nil, errNoAudio
	}
	t.Profile, t.Mux, t.Reports, t.Direction = au.Profile, true, au.Reports, t.Direction.Within(au.Direction)
	if err := a.place(e, &t, signalling); err != nil {
		return nil, err
	}
	guard, err := e.keys.answer(&t, &au, e.device, a.id)
	if err != nil {
		return nil, err
	}
	send := make([]sdp.Format, 0, len(t.Formats)) // with its own wishes, not those it was told
	for i := range t.Formats {
		send = append(send, own(au.Formats, &t.Formats[i]))
	}
	if err := e.agree(&au, send, t.Formats, au.Mux, guard, signalling); err != nil {
		return nil, err
	}
	e.tell(&t, e.author.Answer(offer, &t))
	return e.sent, nil
}

// take takes the answer of a side to an offer of ours, and sets its leg up.
func (a *audio) take(from side, s *sdp.Session, signalling netip.Addr, talking bool) (*sdp.Taken, error) {
	e := a.ends[from]
	au, ok := s.Audio()
	if !a.through() || !ok {
		e.hear(s, talking)
		if a.through() {
			return nil, errNoAudio
		}
		return nil, nil
	}
	if e.ours == nil {
		return nil, errNoOffer
	}
	taken, err := sdp.Take(e.ours.Formats, au.Formats)
	if err != nil {
		return nil, err
	}
	guard, err := e.keys.accept(e.ours, &au, a.id)
	if err != nil {
		return nil, err
	}
	if err := e.agree(&au, taken.Send, taken.Receive, au.Mux && e.ours.Mux, guard, signalling); err != nil {
		return nil, err
	}
	e.hear(s, talking)
	return &taken, nil
}

// agree tells the leg what its side and we said.
func (e *end) agree(au *sdp.Audio, send, receive []sdp.Format, mux bool, guard media.Guard, signalling netip.Addr) error {
	g := media.Agreement{
		Remote: media.RemoteOf(*au, signalling), Direction: au.Direction, Send: send, Receive: slices.Clip(receive),
		PTime: au.PTime, Reports: au.Reports, Guard: guard,
	}
	if au.MaxPTime > 0 && (g.PTime > au.MaxPTime || g.PTime == 0 && au.MaxPTime < audioPacket) {
		g.PTime = au.MaxPTime
	}
	g.Remote.Mux = mux
	if g.Guard != nil && au.Keys() == sdp.Handshake && au.Ufrag != "" { // ICE finds out
		g.Remote.RTP, g.Remote.RTCP = netip.AddrPort{}, netip.AddrPort{}
	}
	for i := range send { // a phone sends our payload types, but some send their own
		if !slices.ContainsFunc(g.Receive, func(f sdp.Format) bool { return f.Type == send[i].Type }) {
			g.Receive = append(g.Receive, send[i])
		}
	}
	if err := e.leg.Agree(g); err != nil {
		return err
	}
	e.agreed = send
	return nil
}

// audioPacket is the usual time in a packet.
const audioPacket = 20 * time.Millisecond

// repeated answers an offer of side s that says what the side said before.
func (a *audio) repeated(s side, offer *sdp.Session, signalling netip.Addr) ([]byte, error) {
	e := a.ends[s]
	if !a.through() || e.agreed == nil {
		return e.sent, nil
	}
	t := e.told
	t.Formats = e.agreed
	return a.reply(s, offer, t, signalling)
}

// again offers side s what it has already; with news, what the other side says now.
func (a *audio) again(s side, news bool, signalling netip.Addr) ([]byte, error) {
	e, o := a.ends[s], a.ends[s.other()]
	if !a.through() || e.agreed == nil {
		return e.sent, nil
	}
	if news && !o.said.known { // there is nobody else
		return a.offerAlone(s, signalling)
	}
	t := e.told
	t.Profile, t.Mux = e.profile(), false
	if news {
		t.Formats = e.author.Number(sdp.Widen(o.agreed, spoken))
		t.Direction, t.PTime, t.MaxPTime = a.onward(s.other()), o.said.ptime, o.said.maxptime
	}
	return a.propose(s, &t, signalling)
}

// same tells whether body says what side from said last.
func (a *audio) same(from side, body []byte) bool {
	if a == nil || a.ends[from].said.sum == 0 {
		return false
	}
	s, err := sdp.Parse(body)
	return err == nil && s.Sum() == a.ends[from].said.sum
}

// undo takes back what side s offered, since the offer was refused and the session stays as it was (RFC 3261 §14.1).
func (a *audio) undo(s side) {
	e, o := a.ends[s], a.ends[s.other()]
	if b := e.before; b != nil && b.said.known {
		e.said, e.asked, e.holds = b.said, b.asked, b.holds
		o.ours, o.told, o.sent = b.other.ours, b.other.told, b.other.sent
	}
	e.before = nil
}

// restart is the beginning of an attempt: what was agreed with a phone that did not answer concerns no other.
func (a *audio) restart() {
	if a != nil {
		e := a.ends[callee]
		e.author.Restart()
		e.keys.forget()
		e.keys, e.said, e.ours, e.agreed, e.told, e.sent = keys{shook: e.keys.shook}, said{}, nil, nil, sdp.Terms{}, nil
	}
}

// compact forgets what was before, when the first offer is answered.
func (a *audio) compact() {
	if a == nil {
		return
	}
	a.keep = false
	for s := range a.ends {
		e := a.ends[s]
		e.before, e.asked = nil, nil
	}
}

// held tells whether side s has the other one on hold.
func (a *audio) held(s side) bool { return a.ends[s].said.known && a.ends[s].said.dir.Held() }

// isSDP tells whether a message has a session description.
func isSDP(m sip.Message) bool {
	if len(m.Body()) == 0 {
		return false
	}
	kind, _, _ := strings.Cut(object.Value(m, "Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/sdp")
}

// role is what a session description is to the one who gets it.
type role int

const (
	asOffer role = iota
	asAnswer
)

// carry copies the body of a message of side from into one for the other side: what a session description becomes on the
// other leg, all else as it is.
func (c *call) carry(from side, m, to sip.Message, as role) error {
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
		if err := c.openAudio(from, s, as == asOffer && isOffer(m)); err != nil {
			return err
		}
		if as == asOffer {
			body, err = c.audio.offer(from, s, c.hosts[from.other()], c.phase >= answered)
		} else {
			body, err = c.audio.answer(from, s, c.hosts, c.phase >= answered)
		}
		if err != nil {
			return err
		}
		if as == asAnswer {
			c.music()
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
		c.audio = newAudio(c.id.uuid, c.w.identity())
		for s := range c.audio.ends {
			c.audio.ends[s].keys.shook = func(err error) { c.w.shook(c.id.uuid, side(s), err) }
		}
		c.audio.ends[caller].device, c.audio.ends[callee].device = c.device, c.calledDevice
	}
	if c.audio.through() || !first && !offer || c.mayGoDirectly(from, s) {
		return nil
	}
	if err := c.openLegs(); err != nil || !c.audio.through() {
		return err
	}
	c.listen()
	if c.phase == talking {
		c.watchAudio()
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
		for _, e := range c.audio.ends {
			if e.leg != nil {
				e.leg.Watch(c.cfg.Silence)
			}
		}
	}
}

func (c *call) closeAudio() {
	if c.audio != nil && c.audio.through() {
		for s, e := range c.audio.ends {
			if e.leg != nil && !(c.borrowed && side(s) == caller) {
				e.leg.Close()
				e.keys.forget()
			}
		}
	}
}

// holdEvents tells of a side that put the other one on hold, or took it back, since was.
func (c *call) holdEvents(s side, was bool) {
	if c.audio == nil || s == callee && c.rings == "" {
		return
	}
	if c.solo() && c.desk == nil { // he cannot be told to hold somebody before there is one
		c.untold = c.audio.held(s)
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

// Why two sides cannot be brought together.
var (
	errNoAudio = errors.New("no audio over RTP that could be carried")
	errNoOffer = errors.New("an answer to nothing that was offered")
	errNoMedia = voice.Errorf(voice.ErrUnavailable, "this node carries no audio")
)

// badMedia is the answer to a body that cannot be carried.
func badMedia(err error) outcome {
	switch {
	case errors.Is(err, voice.ErrOverloaded), errors.Is(err, voice.ErrUnavailable):
		return outcome{status: 503, reason: "no port for audio is free"}
	default:
		return outcome{status: 488, reason: err.Error()}
	}
}
