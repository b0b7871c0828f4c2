package wire

import (
	"bytes"
	"net/netip"
)

// MagicCookie starts every branch made by RFC 3261 (§8.1.1.7).
const MagicCookie = "z9hG4bK"

// ViaValue is one value of Via (RFC 3261 §20.42).
type ViaValue struct {
	Transport []byte
	SentBy    []byte // host[:port] as written
	Host      []byte
	Port      int // 0 when there is none
	Branch    []byte
	RPort     bool   // asks for the port it came from (RFC 3581)
	Params    []byte // from the first ';' on
}

// TopVia reads the first Via value of m.
func (m *Message) TopVia(v *ViaValue) bool {
	value, _, _ := Next(m.Get(Via))
	return ParseVia(value, v)
}

// ParseVia reads one value: sent-protocol, sent-by, parameters, with white space wherever RFC 3261 §25.1 lets it be.
func ParseVia(b []byte, v *ViaValue) bool {
	*v = ViaValue{}
	name, rest, ok := bytes.Cut(b, []byte("/"))
	version, rest, ok2 := bytes.Cut(rest, []byte("/"))
	if !ok || !ok2 || !equalFold(trim(name), "SIP") || !equalFold(trim(version), "2.0") {
		return false
	}
	rest = rest[leading(rest):]
	n := 0
	for n < len(rest) && tokenChar[rest[n]] {
		n++
	}
	if n == 0 || n == len(rest) || !blank(rest[n]) {
		return false
	}
	v.Transport, rest = rest[:n], rest[n:]
	if i := bytes.IndexByte(rest, ';'); i >= 0 {
		rest, v.Params = rest[:i], rest[i:]
	}
	v.SentBy = trim(rest)
	if v.Host, v.Port, ok = hostPort(v.SentBy); !ok || !wellFormedParams(v.Params) {
		return false
	}
	v.Branch, _ = Param(v.Params, "branch")
	_, v.RPort = Param(v.Params, "rport")
	return true
}

// RFC3261 tells whether the branch was made to be unique, so that it alone names the transaction.
func (v *ViaValue) RFC3261() bool {
	return len(v.Branch) > len(MagicCookie) && equalFold(v.Branch[:len(MagicCookie)], MagicCookie)
}

// Source is where the value says it was sent from, with the default port of its transport; ok is false for a name.
func (v *ViaValue) Source() (netip.AddrPort, bool) {
	a, ok := ParseIP(v.Host)
	if !ok {
		return netip.AddrPort{}, false
	}
	port := v.Port
	if port == 0 {
		port = DefaultPort(v.Transport)
	}
	return netip.AddrPortFrom(a, uint16(port)), true
}

// DefaultPort is the port of a Via or URI that names none.
func DefaultPort(transport []byte) int {
	switch {
	case equalFold(transport, "TLS"):
		return 5061
	case equalFold(transport, "WS"):
		return 80
	case equalFold(transport, "WSS"):
		return 443
	}
	return 5060
}

// ParseIP reads an address, in brackets or not; ok is false for a name.
func ParseIP(host []byte) (netip.Addr, bool) {
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	if len(host) == 0 || !digitOrColon(host) { // most names end here, before a string is made
		return netip.Addr{}, false
	}
	if a, ok := parseIPv4(host); ok {
		return a, true
	}
	a, err := netip.ParseAddr(string(host))
	return a.Unmap(), err == nil
}

func digitOrColon(b []byte) bool {
	return b[0] >= '0' && b[0] <= '9' || bytes.IndexByte(b, ':') >= 0
}

// parseIPv4 is netip.ParseAddr for plain IPv4 without the string it wants.
func parseIPv4(b []byte) (netip.Addr, bool) {
	var a [4]byte
	for i := range a {
		part := b
		if i < 3 {
			dot := bytes.IndexByte(b, '.')
			if dot < 0 {
				return netip.Addr{}, false
			}
			part, b = b[:dot], b[dot+1:]
		}
		n, ok := number(part, 255)
		if !ok || len(part) > 1 && part[0] == '0' {
			return netip.Addr{}, false
		}
		a[i] = byte(n)
	}
	return netip.AddrFrom4(a), true
}

// ReplyPort is the port of source to answer to over UDP. It is that of the sent-by (RFC 3261 §18.2.2), unless the
// sender asked for the port it came from (RFC 3581) or a NAT stands between us, as the address shows: then the port in
// sent-by leads nowhere.
func (v *ViaValue) ReplyPort(source netip.AddrPort) uint16 {
	if v.RPort {
		return source.Port()
	}
	from, ok := v.Source()
	if !ok || from.Addr() != source.Addr() {
		return source.Port()
	}
	return from.Port()
}
