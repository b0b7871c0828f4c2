package wire

import (
	"net/netip"
	"strconv"
)

// Forward says how a request leaves the proxy (RFC 3261 §16.6). All else is copied byte for byte.
type Forward struct {
	URI        []byte         // new Request-URI; nil keeps the one there is
	Head       []byte         // whole header lines to put on top: our Via, Record-Route
	Tail       []byte         // whole header lines to put behind the others
	Source     netip.AddrPort // where the request came from, for its top Via
	DropRoutes int            // this many Route values are taken off the top
	Hops       int            // value of Max-Forwards
}

// AppendForward appends request m as f says. Headers of the X-Parley- family are left out; f.Tail may bring them.
func AppendForward(dst []byte, m *Message, f *Forward) []byte {
	uri := m.URI()
	if f.URI != nil {
		uri = f.URI
	}
	dst = append(append(dst, m.Method()...), ' ')
	dst = append(append(dst, uri...), " SIP/2.0\r\n"...)
	dst = append(dst, f.Head...)
	top, drop := true, f.DropRoutes
	for i := range m.Headers {
		h := &m.Headers[i]
		switch {
		case h.ID == Via && top:
			top = false
			dst = append(dst, "Via: "...)
			dst = appendVias(dst, m.Value(h), true, f.Source)
			dst = append(dst, "\r\n"...)
		case h.ID == Route && drop > 0:
			dst, drop = appendRoutes(dst, m.Value(h), drop)
		case h.ID == MaxForwards, h.ID == Other && ours(m.Name(h)):
		default:
			dst = append(dst, m.Data[h.line:h.end]...)
		}
	}
	dst = append(dst, "Max-Forwards: "...)
	dst = append(strconv.AppendInt(dst, int64(f.Hops), 10), "\r\n"...)
	dst = append(dst, f.Tail...)
	return appendBody(dst, m)
}

// appendRoutes leaves the first drop values of a Route header out, and the header when nothing is left of it.
func appendRoutes(dst, values []byte, drop int) ([]byte, int) {
	more := true
	for drop > 0 && more {
		var v []byte
		if v, values, more = Next(values); len(v) > 0 {
			drop--
		}
	}
	if values = trim(values); more && len(values) > 0 {
		dst = appendLine(dst, Route, values)
	}
	return dst, drop
}

// appendBody ends the headers and appends the body. A datagram may have come without Content-Length; it leaves with one,
// since the next hop may be a stream.
func appendBody(dst []byte, m *Message) []byte {
	if !m.Has(ContentLength) {
		dst = append(dst, "Content-Length: "...)
		dst = append(strconv.AppendInt(dst, int64(len(m.Body())), 10), "\r\n"...)
	}
	dst = append(dst, "\r\n"...)
	return append(dst, m.Body()...)
}

// AppendUpstream appends response m without its top Via value, as a proxy passes it back (RFC 3261 §16.7).
func AppendUpstream(dst []byte, m *Message) []byte {
	dst = appendStatusLine(dst, m.Status(), string(m.Reason()))
	top := true
	for i := range m.Headers {
		h := &m.Headers[i]
		switch {
		case h.ID == Via && top:
			top = false
			if _, rest, more := Next(m.Value(h)); more {
				dst = appendLine(dst, Via, trim(rest))
			}
		case h.ID == Other && ours(m.Name(h)):
		default:
			dst = append(dst, m.Data[h.line:h.end]...)
		}
	}
	return appendBody(dst, m)
}

// AppendAck appends the ACK to a final response of 300 or more to invite, a request as we sent it (RFC 3261 §17.1.1.3).
// to is the To of the response.
func AppendAck(dst []byte, invite *Message, to []byte) []byte {
	return appendSame(dst, invite, "ACK", to, "")
}

// AppendCancel appends the CANCEL of invite, a request as we sent it (RFC 3261 §9.1), with a Reason unless that is "".
func AppendCancel(dst []byte, invite *Message, reason string) []byte {
	return appendSame(dst, invite, "CANCEL", invite.Get(To), reason)
}

// appendSame makes the request that shares URI, top Via, Route, From, Call-ID and CSeq number with invite.
func appendSame(dst []byte, invite *Message, method string, to []byte, reason string) []byte {
	dst = append(append(dst, method...), ' ')
	dst = append(append(dst, invite.URI()...), " SIP/2.0\r\n"...)
	via, _, _ := Next(invite.Get(Via))
	dst = appendLine(dst, Via, via)
	for route := range invite.Values(Route) {
		dst = appendLine(dst, Route, route)
	}
	dst = append(dst, "Max-Forwards: 70\r\n"...)
	dst = appendLine(dst, From, invite.Get(From))
	dst = appendLine(dst, To, to)
	dst = appendLine(dst, CallID, invite.Get(CallID))
	n, _ := invite.CSeq()
	dst = strconv.AppendUint(append(dst, "CSeq: "...), uint64(n), 10)
	dst = append(append(dst, ' '), method...)
	dst = append(dst, "\r\n"...)
	if reason != "" {
		dst = AppendHeader(dst, "Reason", reason)
	}
	return AppendEnd(dst)
}

// Canonical appends m in the plainest form there is: long header names, no folds, one value of an address header a
// line, no white space where it may be left out. sipgo's parser, which knows fewer forms than RFC 3261 §25 allows, reads this.
func (m *Message) Canonical(dst []byte) []byte {
	if m.IsRequest() {
		dst = append(append(dst, m.Method()...), ' ')
		dst = append(append(dst, m.URI()...), " SIP/2.0\r\n"...)
	} else {
		dst = appendStatusLine(dst, m.status, string(m.Reason()))
	}
	for i := range m.Headers {
		dst = m.appendCanonical(dst, &m.Headers[i])
	}
	return appendBody(dst, m)
}

func (m *Message) appendCanonical(dst []byte, h *Header) []byte {
	value := m.Value(h)
	switch h.ID {
	case Via:
		for more := true; more; {
			var one []byte
			one, value, more = Next(value)
			dst = append(dst, "Via: "...)
			dst = append(appendVia(dst, one), "\r\n"...)
		}
	case From, To, Contact, Route, RecordRoute:
		for more := true; more; {
			var one []byte
			if one, value, more = Next(value); len(one) > 0 {
				dst = append(append(dst, names[h.ID]...), ": "...)
				dst = append(appendAddress(dst, one), "\r\n"...)
			}
		}
	case CSeq:
		dst = strconv.AppendUint(append(dst, "CSeq: "...), uint64(m.cseq), 10)
		dst = append(append(append(dst, ' '), m.slice(m.cmethod)...), "\r\n"...)
	case Other:
		dst = append(append(append(dst, m.Name(h)...), ": "...), value...)
		dst = append(dst, "\r\n"...)
	default:
		dst = appendLine(dst, h.ID, value)
	}
	return dst
}

// appendVia writes one Via value plainly; what cannot be read stays as it is.
func appendVia(dst, value []byte) []byte {
	var v ViaValue
	if !ParseVia(value, &v) {
		return append(dst, value...)
	}
	dst = append(append(dst, "SIP/2.0/"...), v.Transport...)
	dst = append(append(dst, ' '), v.Host...)
	if v.Port != 0 {
		dst = strconv.AppendInt(append(dst, ':'), int64(v.Port), 10)
	}
	return appendParams(dst, v.Params)
}

func appendAddress(dst, value []byte) []byte {
	var a Address
	if !ParseAddress(value, &a) {
		return append(dst, value...)
	}
	if len(a.Display) > 0 {
		dst = append(append(dst, a.Display...), ' ')
	}
	dst = append(append(append(dst, '<'), a.URI...), '>')
	return appendParams(dst, a.Params)
}

func appendParams(dst, params []byte) []byte {
	for {
		name, value, rest, ok := NextParam(params)
		if !ok {
			return dst
		}
		if params = rest; len(name) > 0 {
			dst = appendParam(dst, name, value)
		}
	}
}
