package sip

import (
	"fmt"
	"testing"

	"parley/internal/contract"
	"parley/internal/voice"
)

// sounding lets a leg play among others.
func (s *stage) sounding(p *stageSound) (stop func()) {
	s.line("node", fmt.Sprintf("leg %d", p.leg), "sound: "+p.name)
	return func() { s.line("node", fmt.Sprintf("leg %d", p.leg), "end of "+p.name) }
}

// callingOf is what an event says of who is in which call.
func callingOf(e *voice.CallEvent) (out string) {
	out = " ConnID=" + e.ConnID
	for _, m := range []struct{ name, value string }{
		{"PreviousConnID", e.PreviousConnID}, {"TransferConnID", e.TransferConnID}, {"ConferenceConnID", e.ConferenceConnID},
		{"ThisDNRole", string(e.ThisDNRole)}, {"OtherDNRole", string(e.OtherDNRole)}, {"ThirdPartyDNRole", string(e.ThirdPartyDNRole)}, {"DTMFDigits", e.DTMFDigits},
	} {
		if m.value != "" {
			out += " " + m.name + "=" + m.value
		}
	}
	if e.CallType != voice.CallInternal {
		out += " CallType=" + e.CallType.String()
	}
	return out
}

// stageOfCalls is a stage on which several calls have to do with each other, with audio through the node.
func stageOfCalls(t *testing.T) *stage {
	s := newStage(t)
	s.several, s.legs = true, &fakeLegs{}
	s.phone("1001", "a")
	s.phone("1002", "b")
	s.phone("1003", "c")
	return s
}

// ask has a request done by the call that has the ConnID.
func (s *stage) ask(name voice.RequestName, dn, conn string, more func(*voice.Request)) *contract.RequestAnswer {
	s.t.Helper()
	req := &voice.Request{Name: name, Tenant: "demo", ThisDN: dn, ConnID: conn, ReferenceID: int64(len(s.answers) + 1)}
	if more != nil {
		more(req)
	}
	what := fmt.Sprintf("%s ThisDN=%s ConnID=%s", name, dn, conn)
	if req.OtherDN != "" {
		what += " OtherDN=" + req.OtherDN
	}
	s.line("client", "node", what)
	var got *contract.RequestAnswer
	r := &request{Request: req, reply: func(a *contract.RequestAnswer) { got = a }}
	if name == voice.RequestMakeCall {
		s.c = s.first()
		s.c.must(func() {
			s.c.makeCall(req)
			r.made(s.c)
		})
	} else if c := s.named("demo", conn); c != nil {
		c.must(func() { c.carryOut(r, requests[name]) })
	} else {
		s.t.Fatalf("there is no call %s:\n%s", conn, s.ladder.String())
	}
	s.settle()
	if got == nil {
		s.t.Fatalf("%s got no answer:\n%s", name, s.ladder.String())
	}
	s.answers = append(s.answers, got)
	if e := got.Error; e != nil {
		s.line("node", "client", fmt.Sprintf("error %d: %s", e.Code, e.Message))
	} else if got.ConnID != "" && name != voice.RequestQueryCall {
		s.line("node", "client", "accepted, ConnID="+got.ConnID)
	} else {
		s.line("node", "client", "accepted")
	}
	return got
}

// to names the destination of a request.
func to(dn string) func(*voice.Request) { return func(r *voice.Request) { r.OtherDN = dn } }

// first is a call that nobody has begun.
func (s *stage) first() *call {
	cfg := DefaultConfig()
	c := &call{mailbox: &mailbox{}, w: s, cfg: &cfg, domain: "demo.local", contact: "<sip:node@192.0.2.5>",
		id: identity{uuid: "u1", conn: "c1", number: 1, tenant: "demo", node: "n1", kind: voice.CallInternal}}
	s.calls = append(s.calls, c)
	return c
}

// takes lets a phone ring and answer.
func (s *stage) takes(phone string) *sentRequest {
	s.t.Helper()
	r := s.last("INVITE", phone)
	r.answer(180, "")
	r.answer(200, sdpAnswer)
	return r
}

// gone answers the BYE that a phone got.
func (s *stage) gone(phones ...string) {
	s.t.Helper()
	for _, p := range phones {
		s.last("BYE", p).answer(200, "")
	}
}

// anotherCall lets a number call another one by a call of its own, and returns the Replaces that names its dialog.
func (s *stage) anotherCall(from, number string, takes *takeover) (replaces string) {
	s.t.Helper()
	was := s.c
	in := s.parse(from, "INVITE", []string{"From: <sip:" + from + "@demo.local>;tag=own", "Call-ID: call-" + from,
		"To: <sip:" + number + "@demo.local>", "CSeq: 1 INVITE"}, s.body, "sip:"+number+"@demo.local")
	c := s.first()
	s.made++
	c.id.uuid, c.id.conn, c.id.number = fmt.Sprint("u", s.made+1), fmt.Sprint("c", s.made+1), uint64(s.made+1)
	c.from, c.dialled, c.invite, c.tx = party{number: from, shown: from}, number, in.req, in
	c.legs[caller] = answering(in.req, "node-own", c.contact)
	s.dialogs["call-"+from] = c
	s.c = c
	if takes != nil {
		c.from.takes = takes
		c.must(c.begin)
		s.settle()
		s.callerOf(from, "ACK")
		return ""
	}
	c.must(c.begin)
	s.settle()
	s.takes(s.sent[len(s.sent)-1].to)
	s.callerOf(from, "ACK")
	s.c = was
	return "call-" + from + "%3Bto-tag%3Dnode-own%3Bfrom-tag%3Down"
}

// callerOf is a request within the call that a number made.
func (s *stage) callerOf(from, method string) *incoming {
	s.t.Helper()
	return s.deliver(s.parse(from, method, []string{"From: <sip:" + from + "@demo.local>;tag=own", "Call-ID: call-" + from,
		"To: <sip:x@demo.local>;tag=node-own", "CSeq: 1 " + method}, "", "sip:node@192.0.2.5"))
}
