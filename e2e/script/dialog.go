package script

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"parley/e2e/phone"
)

// Dialog is one dialog of a phone, of a call that it made or got.
type Dialog struct {
	p             *Phone
	ID            string // Call-ID
	local, remote string // From and To of our requests
	target        string
	routes        []string
	cseq          uint32
	Invite        *phone.Message // the one that began it: read, or sent
	sent          string         // our last INVITE
}

// Call invites a number. Credentials are sent when they are asked for.
func (p *Phone) Call(number, body string, headers ...string) *Dialog {
	p.t.Helper()
	c := &Dialog{
		p: p, ID: rand.Text() + "@phone.invalid", target: "sip:" + number + "@" + p.Domain,
		local: fmt.Sprintf("<sip:%s@%s>;tag=%s", p.User, p.Domain, rand.Text()), remote: fmt.Sprintf("<sip:%s@%s>", number, p.Domain),
	}
	for _, h := range headers {
		if from, ok := strings.CutPrefix(h, "From: "); ok {
			c.local = from + ";tag=" + rand.Text()
		}
	}
	headers = slices.DeleteFunc(slices.Clone(headers), func(h string) bool { return strings.HasPrefix(h, "From: ") })
	c.Send("INVITE", body, headers...)
	if p.Password == "" {
		return c
	}
	res := p.await("answer to INVITE", func(m *phone.Message) bool { return c.mine(m) && cseqMethod(m) == "INVITE" && m.Status > 100 })
	if res.Status != 407 {
		p.mu.Lock()
		p.inbox = slices.Insert(p.inbox, 0, res) // for the script
		p.mu.Unlock()
		return c
	}
	c.hop(res)
	for _, v := range res.Headers["proxy-authenticate"] {
		if ch, ok := phone.ParseChallenge(v); ok && strings.EqualFold(ch.Algorithm, "MD5") {
			headers = append(headers, "Proxy-Authorization: "+ch.Answer("INVITE", c.target, p.User, p.Password, rand.Text(), 1))
			break
		}
	}
	c.Send("INVITE", body, headers...)
	return c
}

// AwaitCall takes the next call that comes in.
func (p *Phone) AwaitCall() *Dialog {
	p.t.Helper()
	m := p.await("INVITE", func(m *phone.Message) bool { return m.Status == 0 && m.Method == "INVITE" && tagOf(m.Get("To")) == "" })
	c := &Dialog{
		p: p, ID: m.Get("Call-ID"), local: m.Get("To") + ";tag=" + rand.Text(), remote: m.Get("From"),
		target: uriOf(m.Get("Contact")), routes: m.Headers["record-route"], Invite: m,
	}
	return c
}

func (c *Dialog) mine(m *phone.Message) bool { return m.Get("Call-ID") == c.ID }

// Fork is another dialog of the same INVITE, as of another phone behind the same contact.
func (c *Dialog) Fork() *Dialog {
	other := *c
	to, _, _ := strings.Cut(c.local, ";tag=")
	other.local = to + ";tag=" + rand.Text()
	return &other
}

// Send sends a request, with CSeq one higher than the last.
func (c *Dialog) Send(method, body string, headers ...string) {
	c.p.t.Helper()
	c.cseq++
	c.write(method, c.cseq, "z9hG4bK"+rand.Text(), body, headers)
}

// write composes a request.
func (c *Dialog) write(method string, cseq uint32, branch, body string, headers []string) {
	c.p.t.Helper()
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("%s %s SIP/2.0", method, c.target)
	line("Via: SIP/2.0/%s %s;rport;branch=%s", c.p.Line.Transport(), c.p.Line.Local(), branch)
	hops := "Max-Forwards: 70"
	for _, h := range headers {
		if strings.HasPrefix(h, "Max-Forwards:") {
			hops = h
		}
	}
	b.WriteString(hops + "\r\n")
	for _, r := range c.routes {
		line("Route: %s", r)
	}
	line("From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s", c.local, c.remote, c.ID, cseq, method)
	line("Contact: <%s>\r\nUser-Agent: scripted phone", c.p.URI())
	for _, h := range headers {
		if h != hops {
			line("%s", h)
		}
	}
	if body != "" {
		line("Content-Type: application/sdp")
	}
	line("Content-Length: %d\r\n\r\n%s", len(body), body)
	text := strings.TrimSuffix(b.String(), "\r\n")
	if method == "INVITE" {
		c.sent = text
	}
	c.p.Write(text)
}

// Ask sends a request and takes its final answer.
func (c *Dialog) Ask(method, body string, headers ...string) *phone.Message {
	c.p.t.Helper()
	c.Send(method, body, headers...)
	return c.Final(method)
}

// Final takes the final answer to our last request of a method. What refuses an INVITE is acknowledged.
func (c *Dialog) Final(method string) *phone.Message {
	c.p.t.Helper()
	m := c.p.await("final answer to "+method, func(m *phone.Message) bool { return c.mine(m) && cseqMethod(m) == method && m.Status >= 200 })
	if method == "INVITE" {
		c.took(m)
	}
	return m
}

// Await takes the next answer to our INVITE of that status.
func (c *Dialog) Await(status int) *phone.Message {
	c.p.t.Helper()
	m := c.p.await(fmt.Sprintf("%d to INVITE", status), func(m *phone.Message) bool { return c.mine(m) && cseqMethod(m) == "INVITE" && m.Status == status })
	c.took(m)
	return m
}

// took makes the dialog of an answer to our INVITE (RFC 3261 §12.1.2).
func (c *Dialog) took(m *phone.Message) {
	if m.Status >= 300 {
		c.hop(m)
		return
	}
	c.remote = m.Get("To")
	if contact := m.Get("Contact"); contact != "" {
		c.target = uriOf(contact)
	}
	if rr := m.Headers["record-route"]; len(rr) > 0 && m.Status < 300 {
		c.routes = slices.Clone(rr)
		slices.Reverse(c.routes)
	}
}

// hop acknowledges a final response of 300 or more: with the branch of the INVITE (RFC 3261 §17.1.1.3).
func (c *Dialog) hop(m *phone.Message) {
	invite, err := phone.ParseMessage([]byte(c.sent))
	if err != nil {
		return
	}
	c.p.Write(fmt.Sprintf("ACK %s SIP/2.0\r\nVia: %s\r\nMax-Forwards: 70\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d ACK\r\nContent-Length: 0\r\n\r\n",
		invite.URI, invite.Get("Via"), invite.Get("From"), m.Get("To"), c.ID, cseqNumber(invite)))
}

// Ack confirms the 2xx m of our INVITE.
func (c *Dialog) Ack(m *phone.Message, body string) {
	c.p.t.Helper()
	c.write("ACK", cseqNumber(m), "z9hG4bK"+rand.Text(), body, nil)
}

// Prack acknowledges the reliable response m.
func (c *Dialog) Prack(m *phone.Message, body string) *phone.Message {
	c.p.t.Helper()
	return c.Ask("PRACK", body, fmt.Sprintf("RAck: %s %d INVITE", m.Get("RSeq"), cseqNumber(m)))
}

// Cancel gives our INVITE up.
func (c *Dialog) Cancel(headers ...string) {
	c.p.t.Helper()
	invite, err := phone.ParseMessage([]byte(c.sent))
	if err != nil {
		c.p.t.Fatalf("%s: there is no INVITE to cancel", c.p.User)
		return
	}
	c.p.Write(fmt.Sprintf("CANCEL %s SIP/2.0\r\nVia: %s\r\nMax-Forwards: 70\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d CANCEL\r\n%sContent-Length: 0\r\n\r\n",
		invite.URI, invite.Get("Via"), invite.Get("From"), invite.Get("To"), c.ID, cseqNumber(invite), lines(headers)))
}

// Request takes the next request of a method in this dialog.
func (c *Dialog) Request(method string) *phone.Message {
	c.p.t.Helper()
	m := c.p.await(method, func(m *phone.Message) bool { return c.mine(m) && m.Status == 0 && m.Method == method })
	if contact := m.Get("Contact"); contact != "" && (method == "INVITE" || method == "UPDATE") {
		c.target = uriOf(contact)
	}
	return m
}

// Reply answers a request.
func (c *Dialog) Reply(req *phone.Message, status int, body string, headers ...string) {
	c.p.t.Helper()
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("SIP/2.0 %d Scripted", status)
	for _, v := range req.Headers["via"] {
		line("Via: %s", v)
	}
	for _, v := range req.Headers["record-route"] {
		line("Record-Route: %s", v)
	}
	to := req.Get("To")
	if tagOf(to) == "" && status > 100 {
		to = c.local
	}
	line("From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s", req.Get("From"), to, c.ID, req.Get("CSeq"))
	if !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Contact:") }) {
		line("Contact: <%s>", c.p.URI())
	}
	b.WriteString(lines(headers))
	if body != "" {
		line("Content-Type: application/sdp")
	}
	line("Content-Length: %d\r\n\r\n%s", len(body), body)
	c.p.Write(strings.TrimSuffix(b.String(), "\r\n"))
}

func cseqNumber(m *phone.Message) uint32 { n, _ := m.CSeq(); return n }
func cseqMethod(m *phone.Message) string { _, method := m.CSeq(); return method }

// tagOf is the tag of a From or To value.
func tagOf(value string) string {
	_, tag, _ := strings.Cut(value, ";tag=")
	tag, _, _ = strings.Cut(tag, ";")
	return tag
}

// uriOf is what stands between < and >.
func uriOf(value string) string {
	_, rest, _ := strings.Cut(value, "<")
	uri, _, _ := strings.Cut(rest, ">")
	return uri
}

func lines(headers []string) (out string) {
	for _, h := range headers {
		out += h + "\r\n"
	}
	return out
}

// HangUp ends the call and takes the answer to its BYE.
func (c *Dialog) HangUp(headers ...string) {
	c.p.t.Helper()
	if res := c.Ask("BYE", "", headers...); res.Status != 200 {
		c.p.t.Fatalf("%s: BYE got\n%s", c.p.User, res.Raw)
	}
}

// HungUp takes the BYE of the other side and confirms it.
func (c *Dialog) HungUp() *phone.Message {
	c.p.t.Helper()
	m := c.Request("BYE")
	c.Reply(m, 200, "")
	return m
}

// SDP is a session description of a phone at host that sends G.711 from a port. Attributes follow it.
func SDP(version int, host string, port int, attributes ...string) string {
	s := fmt.Sprintf("v=0\r\no=phone 1 %d IN IP4 %s\r\ns=Scripted Phone\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/AVP 8 0 101\r\n"+
		"a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n", version, host, host, port)
	for _, a := range attributes {
		s += "a=" + a + "\r\n"
	}
	return s
}
