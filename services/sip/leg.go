package sip

import (
	"slices"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua/object"
	"parley/services/sip/trunk"
)

// nodeHost stands in Via and Call-ID of what the node sends. The front door adds the Via that peers answer to, and
// takes this one off again.
const nodeHost = "node.parley.invalid"

// leg is one dialog of a call (RFC 3261 §12), early or confirmed.
type leg struct {
	callID  string
	local   string // our From or To value, tag included
	remote  string // the peer's, with its tag once there is one
	tag     string // ours
	peerTag string
	target  sip.Uri  // the peer's Contact: where requests go
	routes  []string // Route values, first hop first
	contact string   // our Contact value
	seq     uint32   // CSeq of our last request
	peerSeq uint32   // CSeq of the peer's last request; 0 = none yet
	updates bool     // the peer takes UPDATE (RFC 3311 §4)
	timer   sessionTimer
	proof   *trunk.Proof // of who we are, to a trunk that asks
}

// legID is the Call-ID of the next leg that a call makes. It begins with the call's UUID, by which the front doors find the
// messages of a call again.
func (c *call) legID() string {
	c.made++
	return c.id.uuid + "." + strconv.Itoa(c.made) + "@" + nodeHost
}

// answering makes the leg of an INVITE that came (§12.1.1).
func answering(req *sip.Request, tag, contact string) *leg {
	l := &leg{
		callID: strings.Clone(req.CallID().Value()), // a key of the node's tables
		tag:    tag, contact: contact,
		local: req.To().Value() + ";tag=" + tag, remote: req.From().Value(), peerSeq: req.CSeq().SeqNo,
	}
	l.peerTag, _ = req.From().Params.Get("tag")
	for rr := range object.Values(req, "Record-Route") {
		l.routes = append(l.routes, rr)
	}
	l.learn(req)
	return l
}

// learn takes from a message of an INVITE or UPDATE what it says of the peer: where it is, and whether it takes UPDATE.
func (l *leg) learn(m sip.Message) {
	switch m := m.(type) {
	case *sip.Request:
		l.retarget(m.Contact())
	case *sip.Response:
		l.retarget(m.Contact())
	}
	if allow := tags(m, "Allow"); len(allow) > 0 {
		l.updates = slices.Contains(allow, "update")
	}
}

// retarget takes the Contact of a request or response that refreshes the target (§12.2).
func (l *leg) retarget(c *sip.ContactHeader) {
	if c != nil && c.Address.Host != "" {
		l.target = c.Address
	}
}

// answered takes from a response what makes our request's dialog (§12.1.2).
func (l *leg) answered(res *sip.Response) {
	to := res.To()
	if to == nil {
		return
	}
	tag, _ := to.Params.Get("tag")
	if tag == "" {
		return
	}
	l.peerTag, l.remote = tag, to.Value()
	l.learn(res)
	var routes []string
	for rr := range object.Values(res, "Record-Route") {
		routes = append(routes, rr)
	}
	if len(routes) > 0 {
		slices.Reverse(routes)
		l.routes = routes
	}
}

// inOrder tells whether a request of the peer is not older than its last one (§12.2.2), and remembers it.
func (l *leg) inOrder(seq uint32) bool {
	if l.peerSeq != 0 && seq < l.peerSeq {
		return false
	}
	l.peerSeq = seq
	return true
}

// belongs tells whether a request is of this dialog.
func (l *leg) belongs(req *sip.Request) bool {
	ours, _ := req.To().Params.Get("tag")
	theirs, _ := req.From().Params.Get("tag")
	return ours == l.tag && (l.peerTag == "" || theirs == l.peerTag)
}

// compact lets go of the messages that the leg was read from: what is kept of them are pieces of their text.
func (l *leg) compact() {
	l.peerTag = strings.Clone(l.peerTag)
	for i, r := range l.routes {
		l.routes[i] = strings.Clone(r)
	}
	var target sip.Uri
	if sip.ParseUri(l.target.String(), &target) == nil { // of a text of its own
		l.target = target
	}
}

// request begins a request within the dialog, or the INVITE that makes it. branch is new for each.
func (l *leg) request(method sip.RequestMethod, branch string, hops int) *sip.Request {
	l.seq++
	return l.compose(method, branch, l.seq, hops)
}

// ackTo is the ACK to the 2xx of our INVITE with that CSeq (§13.2.2.4).
func (l *leg) ackTo(seq uint32, branch string) *sip.Request {
	return l.compose(sip.ACK, branch, seq, maxHops)
}

func (l *leg) compose(method sip.RequestMethod, branch string, seq uint32, hops int) *sip.Request {
	req := sip.NewRequest(method, l.target)
	add := func(name, value string) { req.AppendHeader(sip.NewHeader(name, value)) }
	add("Via", "SIP/2.0/UDP "+nodeHost+";branch=z9hG4bK"+branch)
	add("Max-Forwards", strconv.Itoa(hops))
	for _, r := range l.routes {
		add("Route", r)
	}
	add("From", l.local)
	add("To", l.remote)
	add("Call-ID", l.callID)
	add("CSeq", strconv.FormatUint(uint64(seq), 10)+" "+string(method))
	if method == sip.INVITE || method == sip.UPDATE {
		add("Contact", l.contact)
		add("Allow", allowed)
	}
	l.proof.Sign(req)
	return req
}

// maxHops is the Max-Forwards of requests that begin here (§8.1.1.6).
const maxHops = 70

// respond makes the answer to a request of the peer, with our tag.
func (l *leg) respond(req *sip.Request, status int, reason string) *sip.Response {
	res := object.Answer(req, status, reason, l.tag)
	if (req.IsInvite() || req.Method == sip.UPDATE) && (status/100 == 1 && status != 100 || status/100 == 2) {
		res.AppendHeader(sip.NewHeader("Contact", l.contact))
		res.AppendHeader(sip.NewHeader("Allow", allowed))
		if status >= 200 {
			res.AppendHeader(sip.NewHeader("Supported", tagTimer))
		}
	}
	return res
}
