package sip

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"parley/internal/media/sdp"
	"parley/internal/sipua"
)

// A caller at a route point is negotiated with alone: his offer is answered from here, and a place that is called later gets an
// offer of ours. When it answers, the legs are joined already and the caller need not be asked again.

// answerAlone answers an offer of side s from what we can do ourselves.
func (a *audio) answerAlone(s side, offer *sdp.Session, signalling netip.Addr, talking bool) ([]byte, error) {
	e := a.ends[s]
	au, ok := offer.Audio()
	if !ok {
		return nil, errNoAudio
	}
	if err := e.mayOffer(&au); err != nil {
		return nil, err
	}
	formats, err := sdp.Accept(au.Formats, spoken)
	if err != nil {
		return nil, err
	}
	before := *e
	e.hear(offer, talking)
	e.asked = offer
	body, err := a.reply(s, offer, sdp.Terms{Formats: formats, Direction: sdp.SendRecv, PTime: au.PTime, MaxPTime: au.MaxPTime}, signalling)
	if err != nil {
		e.said, e.asked, e.holds = before.said, before.asked, before.holds
	}
	return body, err
}

// offerAlone offers side s what we can do ourselves.
func (a *audio) offerAlone(s side, peer netip.Addr) ([]byte, error) {
	e := a.ends[s]
	return a.propose(s, &sdp.Terms{Profile: e.profile(), Formats: e.author.Number(spoken), Direction: sdp.SendRecv, Reports: true}, peer)
}

// offerBeyond offers a place that is called from a route point what the caller can do, and what we can go between.
func (a *audio) offerBeyond(peer netip.Addr) ([]byte, error) {
	e, o := a.ends[caller], a.ends[callee]
	formats := e.agreed
	if formats == nil { // his answer is still to come
		formats = spoken
	}
	t := &sdp.Terms{Profile: o.profile(), Formats: o.author.Number(sdp.Widen(formats, spoken)), Direction: sdp.SendRecv, Reports: true}
	if e.said.known {
		t.Direction, t.PTime, t.MaxPTime = a.onward(caller), e.said.ptime, e.said.maxptime
	}
	return a.propose(callee, t, peer)
}

// greeting is what the caller is told about audio in a response of ours to his INVITE: an answer to his offer, the one he has
// already, or an offer. asks says that it is one.
func (c *call) greeting() (body []byte, asks bool, err error) {
	if c.audio != nil && c.audio.through() && c.audio.ends[caller].agreed != nil && c.audio.ends[caller].sent != nil {
		return c.audio.ends[caller].sent, false, nil
	}
	if err := c.openAlone(); err != nil {
		return nil, false, err
	}
	if !c.offered {
		body, err = c.audio.offerAlone(caller, c.hosts[caller])
		return body, true, err
	}
	s, err := sdp.Parse(c.invite.Body())
	if err != nil {
		return nil, false, err
	}
	body, err = c.audio.answerAlone(caller, s, c.hosts[caller], false)
	return body, false, err
}

// openAlone makes the legs of a call that nobody has been called for yet.
func (c *call) openAlone() error {
	c.direct = false
	if err := c.openAudio(caller, nil, true); err != nil {
		return err
	}
	if !c.audio.through() {
		return errNoMedia
	}
	return nil
}

func withSDP(m sip.Message, body []byte) {
	m.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	m.SetBody(body)
}

// heardAlone takes the caller's answer to an offer of ours.
func (c *call) heardAlone(m sip.Message) error {
	c.awaited = false
	if !isSDP(m) {
		return errNoAudio
	}
	s, err := sdp.Parse(m.Body())
	if err != nil {
		return err
	}
	if _, err = c.audio.take(caller, s, c.hosts[caller], c.taken); err == nil {
		c.hearKeys()
	}
	return err
}

// hearKeys looks for the keys of a caller at a route point in his sound, when his phone has no other way to send them.
func (c *call) hearKeys() {
	e := c.audio.ends[caller]
	e.leg.HearTones(c.desk != nil && e.agreed != nil && !slices.ContainsFunc(e.agreed, func(f sdp.Format) bool { return strings.EqualFold(f.Encoding, sdp.TelephoneEvent) }))
}

// changeAlone is a change of the session while the caller is at a route point: there is nobody else to ask.
func (c *call) changeAlone(s side, l *leg, req *sip.Request, tx sipua.ServerTx) {
	later := func() {
		res := l.respond(req, 500, "Server Internal Error")
		res.AppendHeader(sip.NewHeader("Retry-After", "1"))
		tx.Respond(res)
	}
	bare := len(req.Body()) == 0
	switch {
	case s == callee && (!bare || req.IsInvite()), !c.taken && (req.IsInvite() || !bare && c.deal != dealSettled): // one after the other (RFC 3261 §14.2)
		later()
		return
	case req.Method == sip.UPDATE && bare:
		c.refreshed(s, l, req, tx)
		return
	case c.repeats[caller] != nil, c.renewing(caller), c.awaited:
		tx.Respond(l.respond(req, 491, "Request Pending"))
		return
	}
	held := c.isHeld(caller)
	body, err := c.changedAlone(req)
	if err != nil {
		o := badMedia(err)
		res := l.respond(req, o.status, reasonOf(o))
		res.AppendHeader(sip.NewHeader("Warning", warning(o.reason)))
		tx.Respond(res)
		return
	}
	l.learn(req)
	c.hearKeys()
	if !bare {
		c.holdEvents(caller, held)
	}
	res := l.respond(req, 200, "OK")
	if c.taken {
		c.grant(caller, req, res)
	}
	withSDP(res, body)
	if req.IsInvite() {
		c.awaited = bare
		c.repeat2xx(caller, tx, res, c.unconfirmed)
		return
	}
	tx.Respond(res)
}

// changedAlone is the description for the answer to a change.
func (c *call) changedAlone(req *sip.Request) ([]byte, error) {
	if len(req.Body()) == 0 {
		return c.audio.offerAlone(caller, c.hosts[caller])
	}
	s, err := sdp.Parse(req.Body())
	if err != nil {
		return nil, err
	}
	return c.audio.answerAlone(caller, s, c.hosts[caller], c.taken)
}
