package wire

import (
	"net/netip"
	"strconv"
)

// AppendAnswer appends the head of a response to m, up to CSeq (RFC 3261 §8.2.6.2): status line, every Via with
// received and rport filled in (§18.2.1, RFC 3581 §4), From, To, Call-ID, CSeq. A To without a tag gets toTag, except in
// a 100, which takes the Timestamp along instead. m must be [Message.Answerable]. What follows: [AppendHeader] and [AppendEnd].
func AppendAnswer(dst []byte, m *Message, status int, reason string, source netip.AddrPort, toTag []byte) []byte {
	dst = appendStatusLine(dst, status, reason)
	top := true
	for i := range m.Headers {
		if h := &m.Headers[i]; h.ID == Via {
			dst = append(dst, "Via: "...)
			dst = appendVias(dst, m.Value(h), top, source)
			dst = append(dst, "\r\n"...)
			top = false
		}
	}
	dst = appendLine(dst, From, m.Get(From))
	to := m.Get(To)
	dst = append(append(dst, "To: "...), to...)
	if status != 100 && len(toTag) > 0 && !hasTag(to) {
		dst = append(append(dst, ";tag="...), toTag...)
	}
	dst = append(dst, "\r\n"...)
	dst = appendLine(dst, CallID, m.Get(CallID))
	dst = appendLine(dst, CSeq, m.Get(CSeq))
	if status == 100 && m.Has(Timestamp) {
		dst = appendLine(dst, Timestamp, m.Get(Timestamp))
	}
	return dst
}

func hasTag(to []byte) bool {
	var a Address
	if !ParseAddress(to, &a) {
		return false
	}
	_, ok := Param(a.Params, "tag")
	return ok
}

func appendStatusLine(dst []byte, status int, reason string) []byte {
	dst = append(dst, "SIP/2.0 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	if reason == "" {
		reason = Reason(status)
	}
	dst = appendClean(dst, reason)
	return append(dst, "\r\n"...)
}

func appendLine(dst []byte, id ID, value []byte) []byte {
	dst = append(append(dst, names[id]...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}

// AppendHeader appends one header line. Line breaks in name or value become blanks, so that no value can smuggle in a
// line of its own.
func AppendHeader(dst []byte, name, value string) []byte {
	dst = append(appendClean(dst, name), ": "...)
	return append(appendClean(dst, value), "\r\n"...)
}

func appendClean(dst []byte, s string) []byte {
	from := len(dst)
	dst = append(dst, s...)
	for i := from; i < len(dst); i++ {
		if c := dst[i]; c == '\r' || c == '\n' || c == 0 {
			dst[i] = ' '
		}
	}
	return dst
}

// AppendEnd ends the headers of a message without a body.
func AppendEnd(dst []byte) []byte { return append(dst, "Content-Length: 0\r\n\r\n"...) }

// appendVias appends the values of one Via header; with top set the first of them gets the source it came from.
func appendVias(dst, values []byte, top bool, source netip.AddrPort) []byte {
	if !top {
		return append(dst, values...)
	}
	first, rest, more := Next(values)
	var v ViaValue
	if ParseVia(first, &v) {
		dst = appendReceived(dst, &v, source)
	} else {
		dst = append(dst, first...)
	}
	if more {
		dst = append(append(dst, ", "...), trim(rest)...)
	}
	return dst
}

// appendReceived writes v with the truth about where it came from: received when the sent-by is a name or another
// address, or rport was asked for; rport only then. What the sender wrote there itself is dropped.
func appendReceived(dst []byte, v *ViaValue, source netip.AddrPort) []byte {
	dst = append(append(dst, "SIP/2.0/"...), v.Transport...)
	dst = append(append(dst, ' '), v.SentBy...)
	for p := v.Params; ; {
		name, value, rest, ok := NextParam(p)
		if !ok {
			break
		}
		p = rest
		if equalFold(name, "received") || equalFold(name, "rport") {
			continue
		}
		dst = appendParam(dst, name, value)
	}
	if !source.IsValid() {
		return dst
	}
	if a, ok := ParseIP(v.Host); v.RPort || !ok || a != source.Addr() {
		dst = append(dst, ";received="...)
		dst = source.Addr().AppendTo(dst)
	}
	if v.RPort {
		dst = append(dst, ";rport="...)
		dst = strconv.AppendUint(dst, uint64(source.Port()), 10)
	}
	return dst
}

func appendParam(dst, name, value []byte) []byte {
	dst = append(append(dst, ';'), name...)
	if value != nil {
		dst = append(append(dst, '='), value...)
	}
	return dst
}

// Values calls yield for each value of each header id, in order, split at commas.
func (m *Message) Values(id ID) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		if m.first[id] == 0 {
			return
		}
		for i := int(m.first[id]) - 1; i < len(m.Headers); i++ {
			if m.Headers[i].ID != id {
				continue
			}
			for rest, more := m.Value(&m.Headers[i]), true; more; {
				var v []byte
				if v, rest, more = Next(rest); len(v) > 0 && !yield(v) {
					return
				}
			}
		}
	}
}

// Lookup is the value of the first header of that name without an ID, nil when there is none.
func (m *Message) Lookup(name string) []byte {
	for i := range m.Headers {
		if h := &m.Headers[i]; h.ID == Other && equalFold(m.Name(h), name) {
			return m.Value(h)
		}
	}
	return nil
}

// Reason is the phrase RFC 3261 §21 and its successors give a status.
func Reason(status int) string {
	if r, ok := reasons[status]; ok {
		return r
	}
	return "Status"
}

var reasons = map[int]string{
	100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress",
	200: "OK", 202: "Accepted", 302: "Moved Temporarily",
	400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
	407: "Proxy Authentication Required", 408: "Request Timeout", 413: "Request Entity Too Large",
	416: "Unsupported URI Scheme", 420: "Bad Extension", 423: "Interval Too Brief", 430: "Flow Failed",
	480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops",
	486: "Busy Here", 487: "Request Terminated", 500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway",
	503: "Service Unavailable", 504: "Server Time-out", 505: "Version Not Supported", 513: "Message Too Large",
}

var hopByHop = []byte("x-parley-")

// ours tells whether a header is one of those that front door and SIP nodes tell each other things with. They are never
// taken from, and never given to, anybody outside.
func ours(name []byte) bool {
	return len(name) > len(hopByHop) && equalFold(name[:len(hopByHop)], hopByHop)
}
