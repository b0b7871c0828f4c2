package sip

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/media/sdp"
	"parley/internal/sipua"
	"parley/internal/voice"
	"parley/services/sip/trunk"
)

// branch is one place that is called.
type branch struct {
	call    *call // that it belongs to
	leg     *leg  // of its first early dialog; of the one that answered, then
	origin  leg   // as it was before anybody answered
	earlies []*early
	invite  *sip.Request // until it has a final answer, to be sent again
	member  string       // of the ring group whose phone it is; "" = the number that was called
	tries   int          // times it was sent again
	tx      sipua.ClientTx
	seq     uint32 // CSeq of the INVITE
	trunk   string
	exit    *trunk.Exit // of the trunk; nil = it is no trunk
	hop     int         // the target of exit
	final   bool        // it has answered, or will not
	given   bool        // given up: a CANCEL went, or would have gone
	rings   bool
	host    netip.Addr
	device  device
	offered *sdp.Terms // about audio; nil = none, or it goes directly
	attempt int
}

// ring calls contacts at once (RFC 3261 §16.6 has the idea; here each is a dialog of its own).
func (c *call) ring(contacts []contract.Binding, by string) {
	c.phase = alerting
	if c.group == nil || c.group.at == nil {
		contacts = contacts[:min(len(contacts), c.cfg.MaxContacts)]
	}
	c.late = false
	c.contacts = len(contacts)
	c.setDirect(contacts)
	c.audio.restart()
	ring := time.Duration(c.plan.RingSeconds) * time.Second
	if ring <= 0 {
		ring = c.cfg.Ring
	}
	c.patience(ring)
	first := c.current
	for i := range contacts {
		c.start(&contacts[i], by)
	}
	c.attemptDone(first)
}

// patience is how long an answer is waited for from now on.
func (c *call) patience(d time.Duration) {
	c.stopNoAnswer()
	c.noAnswer = c.w.after(d, func() { c.must(c.nobodyAnswers) })
}

// start sends the INVITE to one contact.
func (c *call) start(to *contract.Binding, by string) {
	b := &branch{call: c, trunk: by, attempt: c.current, leg: &leg{callID: c.legID(), tag: c.w.id(), contact: c.contact}}
	if by != "" {
		b.exit, b.hop = c.exit, c.hop
	}
	if c.group != nil && c.group.at != nil {
		b.member = c.group.at[len(c.branches)-c.current]
	}
	c.branches = append(c.branches, b)
	fail := func(status int, reason string) {
		b.final = true
		c.better(outcome{status: status, reason: reason})
	}
	if sip.ParseUri(to.Contact, &b.leg.target) != nil {
		fail(500, "the contact "+to.Contact+" cannot be read")
		return
	}
	route, host := c.wayTo(b, to)
	if route == "" {
		fail(480, "no way to "+to.Contact)
		return
	}
	b.leg.routes = []string{route}
	b.leg.routes = append(b.leg.routes, to.Path...)
	b.leg.proof = b.proof()
	number, domain := c.seenBy(b)
	b.leg.local = c.callerAddress(b.fromUser(number), domain, b.leg.tag)
	b.leg.remote = "<sip:" + userPart(c.calledNumber(b)) + "@" + domain + ">"
	req := b.leg.request(sip.INVITE, c.w.id(), c.hops())
	b.seq, b.origin = b.leg.seq, *b.leg
	c.passOn(req)
	req.AppendHeader(sip.NewHeader("Supported", c.extensions()))
	c.askTimer(b.leg, req)
	for _, n := range c.diverted {
		req.AppendHeader(sip.NewHeader("Diversion", "<sip:"+userPart(c.divertedAs(b, n))+"@"+domain+">"))
	}
	c.assertCaller(number, domain, req, b.trunk != "")
	b.host, b.device = host, c.placeDevice(b, to)
	c.facing(b)
	if err := c.offerFrom(req); err != nil {
		o := badMedia(err)
		fail(o.status, o.reason)
		return
	}
	if c.audio != nil {
		b.offered = c.audio.ends[callee].ours
	}
	c.w.open(b.leg.callID, c)
	if err := c.sendInvite(b, req); err != nil {
		c.w.shut(b.leg.callID)
		fail(503, err.Error())
		return
	}
	b.sent()
}

// sendInvite sends the INVITE of a branch, for the first time or again.
func (c *call) sendInvite(b *branch, req *sip.Request) error {
	seq := req.CSeq().SeqNo
	tx, err := c.w.send(req, func(res *sip.Response, err error) {
		c.must(func() {
			if seq == b.seq { // else of one that was sent again since
				b.call.branchSaid(b, res, err)
			}
		})
	})
	if err != nil {
		return err
	}
	b.tx, b.invite = tx, req
	c.pending++
	return nil
}

// maxTries is how often an INVITE is sent again to a place that wants it otherwise.
const maxTries = 3

// again sends the INVITE of a branch once more, changed as the place wants it (RFC 4028 §7.3); false when it has had its tries.
func (c *call) again(b *branch, change func(*sip.Request)) bool {
	if b.final || b.given || c.phase != alerting || b.tries == maxTries {
		return false
	}
	b.tries++
	req := b.invite.Clone()
	b.leg = &leg{}
	b.origin.seq++
	*b.leg = b.origin
	b.seq, b.earlies = b.origin.seq, nil
	req.ReplaceHeader(sip.NewHeader("CSeq", strconv.FormatUint(uint64(b.seq), 10)+" INVITE"))
	req.Via().Params.Remove("branch")
	req.Via().Params.Add("branch", "z9hG4bK"+c.w.id())
	change(req)
	c.pending--
	if err := c.sendInvite(b, req); err != nil {
		c.pending++
		return false
	}
	return true
}

// extensions are the option tags that a phone which is called may use. A reliable response may hold an offer only if the caller
// can hear it reliably, and one at a time: see [announcer].
func (c *call) extensions() string {
	if c.offered || c.solo() || c.origin != nil || c.rel.bodies && c.contacts == 1 {
		return tagTimer + ", " + tagReliable
	}
	return tagTimer
}

// calledNumber is who the branch calls, for To and the events.
func (c *call) calledNumber(b *branch) string {
	if b.trunk != "" && b.leg.target.User != "" {
		return b.leg.target.User
	}
	return c.called(b)
}

// branchSaid handles a response, or the error that none will come.
func (c *call) branchSaid(b *branch, res *sip.Response, err error) {
	if b.exit != nil {
		res, err = c.trunkSaid(b, res, err)
	}
	switch {
	case err != nil && b.exit != nil:
		c.branchEnded(b, outcome{status: 503, reason: "trunk " + b.trunk + ": " + err.Error()})
	case err != nil:
		c.branchEnded(b, outcome{status: 480, reason: "no answer from the phone: " + err.Error()})
	case res.StatusCode < 200:
		if !b.final && !b.given && res.StatusCode > 100 {
			c.progress(b, res)
		}
	case res.IsSuccess():
		c.branchAnswered(b, res)
	case res.StatusCode == 422 && c.longer(b, res):
	case c.proves(b, res):
	default:
		c.branchEnded(b, outcome{status: res.StatusCode, reason: res.Reason, res: res})
	}
}

// longer sends the INVITE again to a place that wants a longer session interval (RFC 4028 §7.3).
func (c *call) longer(b *branch, res *sip.Response) bool {
	least := minSE(res)
	if least <= b.origin.timer.least {
		return false
	}
	return c.again(b, func(req *sip.Request) {
		b.leg.timer.least, b.origin.timer.least = least, least
		req.RemoveHeader("Session-Expires")
		req.RemoveHeader("Min-SE")
		c.askTimer(b.leg, req)
	})
}

// branchEnded is a place that said no, or cannot be reached.
func (c *call) branchEnded(b *branch, o outcome) {
	wasOpen := !b.final
	c.branchFinal(b)
	if c.phase != alerting || c.legs[callee] != nil || b.given || !wasOpen || b.attempt != c.current {
		c.leave()
		return
	}
	c.memberLeaves(b)
	if b.member != "" && (o.status >= 600 || o.status/100 == 3) { // one member decides for himself alone
		o = outcome{status: 486, reason: b.member + " declined"}
	}
	if o.res != nil && o.status/100 == 3 {
		if n := c.redirectedTo(o.res); n != "" {
			c.cancelBranches("")
			c.unreached(o, n, voice.StateRedirected)
			return
		}
		o = outcome{status: 480, reason: "moved to where nobody can be called"}
	}
	c.better(o)
	if o.status >= 600 { // nobody else need be asked (§16.7, item 5)
		c.cancelBranches("")
	}
	c.attemptDone(c.current)
}

func (c *call) branchFinal(b *branch) {
	if !b.final {
		b.final, b.invite = true, nil
		c.pending--
	}
}

// redirectedTo is the number that a 3xx names, of several the one it likes best (RFC 3261 §8.1.3.4). The dial plan decides what it
// means; the host is not followed.
func (c *call) redirectedTo(res *sip.Response) string {
	best, number := -1.0, ""
	for _, h := range res.GetHeaders("Contact") {
		var uri sip.Uri
		params := sip.NewParams()
		if _, err := sip.ParseAddressValue(h.Value(), &uri, &params); err != nil || uri.User == "" {
			continue
		}
		q := 1.0
		if v, has := params.Get("q"); has {
			q, _ = strconv.ParseFloat(v, 64) // what cannot be read is liked least
		}
		if q > best {
			best, number = q, unescape(uri.User)
		}
	}
	return number
}

// better keeps the final answer that says most to the caller (§16.7, item 6): a 6xx, then the lowest class, and in it what
// a person would want to know.
func (c *call) better(o outcome) {
	if c.best.status == 0 || rank(o.status) < rank(c.best.status) {
		c.best = o
	}
}

func rank(status int) int {
	switch {
	case status >= 600:
		return 0
	case status == 486:
		return 1
	case status == 401 || status == 407 || status == 408 || status == 480:
		return 499
	default:
		return status
	}
}

// attemptDone goes on when every place of the attempt has said no.
func (c *call) attemptDone(first int) {
	for _, b := range c.branches[first:] {
		if !b.final && !b.given {
			return
		}
	}
	if c.phase != alerting {
		return
	}
	o := c.best.orElse(480, "nobody answered")
	if c.elsewhere(o) {
		return
	}
	switch o.status {
	case 486, 600:
		c.unreached(o, c.plan.OnBusy, voice.StateBusy)
	case 408:
		c.unreached(o, c.plan.OnNoAnswer, voice.StateNoAnswer)
	case 480:
		if c.rings == "" {
			c.unreached(o, c.plan.OnOffline, voice.StateForwarded)
		} else {
			c.unreached(o, c.plan.OnNoAnswer, voice.StateNoAnswer)
		}
	default:
		c.unreached(o, "", voice.StateOk)
	}
}

// nobodyAnswers is the end of patience.
func (c *call) nobodyAnswers() {
	if c.phase != alerting {
		return
	}
	c.noAnswer, c.late = nil, true
	c.cancelBranches("")
	c.unreached(outcome{status: 480, reason: "nobody answered"}, c.plan.OnNoAnswer, voice.StateNoAnswer)
}

// answeredElsewhere tells a phone that it need not show a missed call (RFC 3326 §3.1).
const answeredElsewhere = `SIP;cause=200;text="Call completed elsewhere"`

// cancelBranches gives up the places that have not answered. Why goes into the CANCEL (RFC 3326); "" = nothing to say.
func (c *call) cancelBranches(why string) {
	for _, b := range c.branches {
		if !b.final && !b.given {
			b.given = true
			b.tx.Cancel(why)
		}
	}
}

func (c *call) stopNoAnswer() {
	if c.noAnswer != nil {
		c.noAnswer()
		c.noAnswer = nil
	}
}
