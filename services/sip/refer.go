package sip

import (
	"net/url"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua"
	"parley/internal/voice"
)

// Transfers by a phone (RFC 3515, RFC 3891, RFC 5589): REFER to a number is a transfer in a single step, REFER to a dialog that the
// phone has with us too leaves those to each other whom it talks with.

// referTo is what a Refer-To names: a number, or with Replaces a dialog.
type referTo struct {
	number                 string
	callID, toTag, fromTag string // of Replaces, as the phone's own dialog has them
}

func readReferTo(req *sip.Request) (t referTo, ok bool) {
	value := header(req, "Refer-To")
	if value == "" {
		value = header(req, "r") // the compact form
	}
	if _, rest, found := strings.Cut(value, "<"); found {
		value, _, _ = strings.Cut(rest, ">")
	}
	bare, fields, _ := strings.Cut(value, "?")
	var uri sip.Uri
	if sip.ParseUri(bare, &uri) != nil {
		return t, false
	}
	t.number = unescape(uri.User)
	for field := range strings.SplitSeq(fields, "&") {
		if name, v, _ := strings.Cut(field, "="); strings.EqualFold(name, "Replaces") {
			if v, err := url.PathUnescape(v); err == nil {
				t.callID, t.toTag, t.fromTag = readReplaces(v)
			}
		}
	}
	return t, t.number != "" || t.callID != ""
}

// readReplaces reads a Replaces value (RFC 3891 §6.1).
func readReplaces(v string) (callID, toTag, fromTag string) {
	callID, params, _ := strings.Cut(v, ";")
	for p := range strings.SplitSeq(params, ";") {
		switch name, tag, _ := strings.Cut(strings.TrimSpace(p), "="); strings.ToLower(name) {
		case "to-tag":
			toTag = tag
		case "from-tag":
			fromTag = tag
		}
	}
	return strings.TrimSpace(callID), toTag, fromTag
}

// referred is a REFER.
func (c *call) referred(s side, l *leg, req *sip.Request, tx sipua.ServerTx) {
	to, ok := readReferTo(req)
	refuse := func(status int, reason string) {
		res := l.respond(req, status, reason)
		tx.Respond(res)
	}
	switch {
	case !ok:
		refuse(400, "Bad Refer-To")
		return
	case l != c.legs[s] || c.phase != talking || c.inRoom || c.borrowed:
		refuse(480, "Temporarily Unavailable")
		return
	}
	accept := func() {
		res := l.respond(req, 202, "Accepted")
		tx.Respond(res)
	}
	if to.callID == "" {
		c.referredTo(s, l, to.number, accept, refuse)
		return
	}
	other := c.w.inDialog(to.callID)
	if other == nil || other.id.tenant != c.id.tenant {
		refuse(404, "Not Found")
		return
	}
	c.w.merge(c.mailbox, other.mailbox, func() { c.referredInto(s, l, other, to, accept, refuse) })
}

// referredTo is a transfer in a single step.
func (c *call) referredTo(s side, l *leg, number string, accept func(), refuse func(int, string)) {
	if !c.quiet(s.other()) || !c.quiet(s) || c.consult != nil || c.audio == nil || !c.audio.through() {
		refuse(491, "Request Pending")
		return
	}
	accept()
	c.tellReferrer(l, "200 OK")
	c.singleStep(s, number, &voice.Request{ThisDN: c.standing(s).dn, OtherDN: number})
}

// referredInto leaves those to each other whom the phone talks with in this call and in another one.
func (c *call) referredInto(s side, l *leg, other *call, to referTo, accept func(), refuse func(int, string)) {
	t, found := caller, false
	for i, o := range other.legs {
		if o != nil && o.callID == to.callID && (o.tag == to.toTag && o.peerTag == to.fromTag || o.tag == to.fromTag && o.peerTag == to.toTag) {
			t, found = side(i), true
		}
	}
	if !found || c.phase == over || other.phase == over {
		refuse(481, "Call/Transaction Does Not Exist")
		return
	}
	accept()
	// The call that was there first goes on: that is the one which the phone has on hold.
	first, at, second, then := c, s, other, t
	if other.conv.times.start.Before(c.conv.times.start) && (c.phase == talking && other.phase == talking) {
		first, at, second, then = other, t, c, s
	}
	first.transferWhenQuiet(at, second, then, func(bad *voice.TError) {
		if bad != nil {
			c.tellReferrer(l, "603 "+bad.Message)
			return
		}
		c.tellReferrer(l, "200 OK")
		first.transferTo(at, second, then, nil)
	})
}

// A phone that transfers often has a change of one of the calls under way still.
const (
	quietTries = 20
	quietWait  = 200 * time.Millisecond
)

// transferWhenQuiet calls do when nothing is in the way of a transfer any more, or with what is.
func (c *call) transferWhenQuiet(s side, n *call, t side, do func(*voice.TError)) {
	tries := 0
	var try func()
	try = func() {
		if c.phase == over || n.phase == over {
			return // who hung up meanwhile is told by his BYE
		}
		bad := c.mayTransferTo(s, n, t)
		if tries++; bad != nil && bad.Code == voice.TErrWrongState && tries < quietTries {
			c.w.after(quietWait, func() { c.must(try) })
			return
		}
		do(bad)
	}
	try()
}

// tellReferrer says what became of a REFER (RFC 3515 §2.4.4), for good.
func (c *call) tellReferrer(l *leg, status string) {
	req := l.request(sip.NOTIFY, c.w.id(), maxHops)
	req.AppendHeader(sip.NewHeader("Event", "refer"))
	req.AppendHeader(sip.NewHeader("Subscription-State", "terminated;reason=noresource"))
	req.AppendHeader(sip.NewHeader("Contact", l.contact))
	req.AppendHeader(sip.NewHeader("Content-Type", "message/sipfrag;version=2.0"))
	req.SetBody([]byte("SIP/2.0 " + status + "\r\n"))
	c.ask(l, req, func(*sip.Response, error) {})
}
