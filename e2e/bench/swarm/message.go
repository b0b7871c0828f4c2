package swarm

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"parley/e2e/phone"
)

func token() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// sdp is an offer or an answer of G.711.
func sdp(host string, port int) string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio %[2]d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n", host, port)
}

// speak says where audio of a side goes to, by the description the other one sent.
func (s *Swarm) speak(side Side, m *phone.Message) {
	if s.o.Audio == nil {
		return
	}
	var to netip.AddrPort
	for line := range strings.Lines(m.Body) {
		line = strings.TrimSpace(line)
		if host, ok := strings.CutPrefix(line, "c=IN IP4 "); ok {
			addr, _ := netip.ParseAddr(host) // an invalid one leads nowhere
			to = netip.AddrPortFrom(addr, to.Port())
		}
		if f := strings.Fields(line); len(f) > 1 && f[0] == "m=audio" {
			port, _ := strconv.ParseUint(f[1], 10, 16)
			to = netip.AddrPortFrom(to.Addr(), uint16(port))
		}
	}
	s.o.Audio(side, to)
}

// body is the end of a message.
func body(text string) string {
	if text == "" {
		return "Content-Length: 0\r\n\r\n"
	}
	return fmt.Sprintf("Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
}

// respond makes a response to a request, with a tag in To (RFC 3261 §8.2.6).
func respond(req *phone.Message, status int, tag, contact, text string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d Swarm\r\n", status)
	for _, v := range req.Headers["via"] {
		b.WriteString("Via: " + v + "\r\n")
	}
	for _, v := range req.Headers["record-route"] {
		b.WriteString("Record-Route: " + v + "\r\n")
	}
	to := req.Get("to")
	if !strings.Contains(to, ";tag=") {
		to += ";tag=" + tag
	}
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\n", req.Get("from"), to, req.Get("call-id"), req.Get("cseq"))
	if contact != "" {
		b.WriteString("Contact: <" + contact + ">\r\n")
	}
	return b.String() + body(text)
}

// dialog is what requests within a call need (RFC 3261 §12).
type dialog struct {
	local, remote, target string
	routes                []string
	cseq                  int
}

// request makes one, ACK included.
func (d *dialog) request(method, callID, via string, cseq int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;rport;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\n", method, d.target, via, token())
	for _, r := range d.routes {
		b.WriteString("Route: " + r + "\r\n")
	}
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n", d.local, d.remote, callID, cseq, method)
	return b.String() + body("")
}

// uri takes the URI out of an address.
func uri(address string) string {
	if _, rest, ok := strings.Cut(address, "<"); ok {
		u, _, _ := strings.Cut(rest, ">")
		return u
	}
	u, _, _ := strings.Cut(address, ";")
	return u
}

func reversed(list []string) []string {
	out := slices.Clone(list)
	slices.Reverse(out)
	return out
}

// method is that of a response's CSeq.
func method(m *phone.Message) string {
	_, name, _ := strings.Cut(m.Get("cseq"), " ")
	return strings.TrimSpace(name)
}
