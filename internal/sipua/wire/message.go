package wire

import (
	"bytes"
	"math"
)

// Bounds of what Scan takes.
const (
	MaxMessage = math.MaxUint16 // bytes of one message; what a datagram can hold
	maxHeaders = 250            // header lines
	maxCSeq    = math.MaxInt32  // RFC 3261 §8.1.1.5
)

// Message is one SIP message as offsets into Data. The zero value is ready for Scan.
type Message struct {
	Data    []byte   // from the start line to the end of the body
	Headers []Header // header lines in order

	status  int // 0 in a request
	method  span
	uri     span
	reason  span
	body    uint16
	cseq    uint32
	cmethod span
	first   [numIDs]uint8 // index in Headers plus one
}

type span struct{ from, to uint16 }

// Header is one header line: offsets into the message's Data.
type Header struct {
	ID     ID
	Folded bool   // the value holds a line fold (RFC 3261 §7.3.1)
	line   uint16 // first byte of the line
	name   uint16 // end of the name
	value  span   // without white space around it
	end    uint16 // first byte of the next line
}

// Error says what is wrong with a message and how to answer it. Status 0: it is not SIP, or a response or an ACK,
// and gets no answer at all.
type Error struct {
	Status int
	Reason string // reason phrase of the answer; says what is wrong in a few words of ours, never in the sender's
}

func (e *Error) Error() string { return e.Reason }

// What Scan turns away, beyond errors that name a header.
var (
	errNotSIP     = &Error{0, "Not a SIP message"}
	errTooLarge   = &Error{513, "Message Too Large"}
	errVersion    = &Error{505, "Version Not Supported"}
	errStartLine  = &Error{400, "Malformed Request-Line"}
	errScheme     = &Error{416, "Unsupported URI Scheme"}
	errURI        = &Error{400, "Malformed Request-URI"}
	errLine       = &Error{400, "Malformed Header Line"}
	errUnfinished = &Error{400, "Missing End Of Headers"}
	errManyLines  = &Error{400, "Too Many Headers"}
	errLength     = &Error{400, "Wrong Content-Length"}
	errBody       = &Error{400, "Body Shorter Than Content-Length"}
	errCSeq       = &Error{400, "Malformed CSeq"}
	errCSeqMethod = &Error{400, "CSeq Method Does Not Match"}
	errHops       = &Error{400, "Malformed Max-Forwards"}
)

// malformed and friends are made once a header: a scan of garbage allocates nothing.
var malformed, missing, repeated = headerErrors("Malformed "), headerErrors("Missing "), headerErrors("Repeated ")

func headerErrors(what string) (errs [numIDs]*Error) {
	for id := range numIDs {
		errs[id] = &Error{400, what + names[id]}
	}
	return errs
}

// Scan reads data into m, which keeps data. Bytes behind the body are cut off (RFC 3261 §18.3). On an error m holds
// what could be read, so that the request may be answered: see [Message.Answerable].
func Scan(m *Message, data []byte) *Error {
	m.reset()
	if len(data) > MaxMessage {
		data = data[:MaxMessage]
		m.Data = data
		if err := m.scanStart(); err != nil && err.Status == 0 {
			return err
		}
		return errTooLarge
	}
	m.Data = data
	err := m.scanStart()
	if err != nil && err.Status == 0 {
		return err
	}
	keep := func(e *Error) {
		if err == nil {
			err = e
		}
	}
	keep(m.scanHeaders())
	keep(m.check())
	keep(m.cutBody())
	if err == errCSeqMethod && m.KnownMethod() == "other" {
		return &Error{501, "Not Implemented"} // RFC 4475 §3.1.2.18
	}
	return err
}

func (m *Message) reset() {
	*m = Message{Headers: m.Headers[:0]}
}

// scanHeaders reads the lines between the start line and the empty line. A line it cannot read is an error, and is
// left out.
func (m *Message) scanHeaders() (err *Error) {
	d := m.Data
	pos := int(m.body) // scanStart left the end of the start line here
	for {
		if pos >= len(d) {
			m.body = uint16(len(d))
			return first(err, errUnfinished)
		}
		if d[pos] == '\r' && pos+1 < len(d) && d[pos+1] == '\n' {
			m.body = uint16(pos + 2)
			return err
		}
		end, folded, ok := endOfLine(d, pos)
		if !ok {
			m.body = uint16(len(d))
			return first(err, errLine)
		}
		if len(m.Headers) == maxHeaders {
			m.body = uint16(len(d))
			return first(err, errManyLines)
		}
		err = first(err, m.addHeader(pos, end, folded))
		pos = end
	}
}

func first(a, b *Error) *Error {
	if a != nil {
		return a
	}
	return b
}

// endOfLine finds the first byte behind the header line at pos, over all its folds. ok is false when a CR or LF
// stands alone or the line has no end.
func endOfLine(d []byte, pos int) (end int, folded, ok bool) {
	for {
		i := bytes.IndexByte(d[pos:], '\n')
		if i < 1 || d[pos+i-1] != '\r' || bytes.IndexByte(d[pos:pos+i-1], '\r') >= 0 {
			return 0, false, false
		}
		pos += i + 1
		if pos >= len(d) || d[pos] != ' ' && d[pos] != '\t' {
			return pos, folded, true
		}
		folded = true
	}
}

func (m *Message) addHeader(pos, end int, folded bool) *Error {
	line := m.Data[pos : end-2]
	colon := bytes.IndexByte(line, ':')
	if colon < 1 {
		return errLine
	}
	name := line[:colon]
	for len(name) > 0 && (name[len(name)-1] == ' ' || name[len(name)-1] == '\t') {
		name = name[:len(name)-1]
	}
	if !isToken(name) {
		return errLine
	}
	value := trim(line[colon+1:])
	from := pos + colon + 1 + leading(line[colon+1:])
	h := Header{
		ID: lookup(name), Folded: folded, line: uint16(pos), name: uint16(pos + len(name)),
		value: span{uint16(from), uint16(from + len(value))}, end: uint16(end),
	}
	m.Headers = append(m.Headers, h)
	if h.ID == Other {
		return nil
	}
	if m.first[h.ID] == 0 {
		m.first[h.ID] = uint8(len(m.Headers))
	} else if single[h.ID] {
		return repeated[h.ID]
	}
	return nil
}

func leading(b []byte) (n int) {
	for n < len(b) && blank(b[n]) {
		n++
	}
	return n
}

// check holds the message against RFC 3261 §8.1.1: what every message must have, and once only.
func (m *Message) check() *Error {
	for _, id := range [...]ID{Via, From, To, CallID, CSeq} {
		if m.first[id] == 0 {
			return missing[id]
		}
	}
	if !m.goodVias() {
		return malformed[Via]
	}
	for _, id := range [...]ID{From, To} {
		var a Address
		if !ParseAddress(m.Get(id), &a) {
			return malformed[id]
		}
	}
	if !oneWord(m.Get(CallID)) {
		return malformed[CallID]
	}
	if err := m.scanCSeq(); err != nil {
		return err
	}
	if h := m.header(MaxForwards); h != nil {
		if n, ok := number(m.slice(h.value), 255); !ok || n > 255 {
			return errHops
		}
	}
	return nil
}

// oneWord tells whether b is free of blanks and controls: what readers trim differently must not name a call.
// Otherwise any byte will do, as phones use more of them than the grammar of a Call-ID has (§25.1).
func oneWord(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return len(b) > 0
}

// goodVias tells whether every Via value can be read, not only ours: the others are where answers go after us.
func (m *Message) goodVias() bool {
	var via ViaValue
	for i := int(m.first[Via]) - 1; i < len(m.Headers); i++ {
		if m.Headers[i].ID != Via {
			continue
		}
		for rest, more := m.Value(&m.Headers[i]), true; more; {
			var v []byte
			if v, rest, more = Next(rest); !ParseVia(v, &via) {
				return false
			}
		}
	}
	return true
}

func (m *Message) scanCSeq() *Error {
	h := m.header(CSeq)
	v := m.slice(h.value)
	i := 0
	for i < len(v) && !blank(v[i]) {
		i++
	}
	n, ok := number(v[:i], maxCSeq)
	i += leading(v[i:])
	if !ok || !isToken(v[i:]) {
		return errCSeq
	}
	m.cseq = uint32(n)
	m.cmethod = span{h.value.from + uint16(i), h.value.to}
	if m.status == 0 && !bytes.Equal(m.slice(m.cmethod), m.Method()) {
		return errCSeqMethod
	}
	return nil
}

// cutBody cuts Data at the end of the body.
func (m *Message) cutBody() *Error {
	h := m.header(ContentLength)
	if h == nil {
		return nil // by datagram: the rest is the body (§18.3)
	}
	n, ok := number(m.slice(h.value), MaxMessage)
	if !ok {
		return errLength
	}
	if int(m.body)+n > len(m.Data) {
		return errBody
	}
	m.Data = m.Data[:int(m.body)+n]
	return nil
}

// number reads decimal digits; more than limit is not ok.
func number(b []byte, limit int) (n int, ok bool) {
	if len(b) == 0 || len(b) > 10 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, n <= limit
}
