package wire

import (
	"bytes"
	"fmt"
	"strings"
)

func (m *Message) slice(s span) []byte { return m.Data[s.from:s.to] }

func (m *Message) header(id ID) *Header {
	if i := m.first[id]; i > 0 {
		return &m.Headers[i-1]
	}
	return nil
}

// IsRequest tells a request from a response.
func (m *Message) IsRequest() bool { return m.status == 0 }

// Status is the status code of a response, 0 in a request.
func (m *Message) Status() int { return m.status }

// Method is the method of a request, as written; nil in a response.
func (m *Message) Method() []byte { return m.slice(m.method) }

// URI is the Request-URI as written; nil in a response.
func (m *Message) URI() []byte { return m.slice(m.uri) }

// Reason is the reason phrase of a response.
func (m *Message) Reason() []byte { return m.slice(m.reason) }

// CSeq is the number and the method of CSeq.
func (m *Message) CSeq() (n uint32, method []byte) { return m.cseq, m.slice(m.cmethod) }

// Body is what follows the headers.
func (m *Message) Body() []byte { return m.Data[m.body:] }

// Has tells whether there is a header id.
func (m *Message) Has(id ID) bool { return m.first[id] != 0 }

// Get is the value of the first header id without its folds, or nil. It is a part of Data unless it was folded.
func (m *Message) Get(id ID) []byte {
	h := m.header(id)
	if h == nil {
		return nil
	}
	return m.Value(h)
}

// Value is the value of h without its folds.
func (m *Message) Value(h *Header) []byte {
	v := m.slice(h.value)
	if h.Folded {
		v = unfold(v)
	}
	return v
}

// Name is the name of h as written.
func (m *Message) Name(h *Header) []byte { return m.Data[h.line:h.name] }

// unfold makes one line of a folded value: each fold with the white space around it becomes one blank.
func unfold(v []byte) []byte {
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] != '\r' {
			out = append(out, v[i])
			continue
		}
		for len(out) > 0 && blank(out[len(out)-1]) {
			out = out[:len(out)-1]
		}
		for i+1 < len(v) && blank(v[i+1]) {
			i++
		}
		out = append(out, ' ')
	}
	return out
}

// Hops is the value of Max-Forwards, and 70 when there is none (RFC 3261 §16.6).
func (m *Message) Hops() int {
	h := m.header(MaxForwards)
	if h == nil {
		return 70
	}
	n, _ := number(m.slice(h.value), 255)
	return n
}

// Tag is the tag parameter of From or To, nil when there is none.
func (m *Message) Tag(id ID) []byte {
	var a Address
	if !ParseAddress(m.Get(id), &a) {
		return nil
	}
	tag, _ := Param(a.Params, "tag")
	return tag
}

// Answerable tells whether a request has what a response must repeat (RFC 3261 §8.2.6). An ACK is never answered.
func (m *Message) Answerable() bool {
	if m.status != 0 || len(m.Method()) == 0 || string(m.Method()) == "ACK" {
		return false
	}
	for _, id := range [...]ID{Via, From, To, CallID, CSeq} {
		if m.first[id] == 0 {
			return false
		}
	}
	var via ViaValue
	return m.TopVia(&via)
}

// Clone copies m and its bytes, so that it outlives the buffer it was read from.
func (m *Message) Clone() *Message {
	c := *m
	c.Data = bytes.Clone(m.Data)
	c.Headers = append([]Header(nil), m.Headers...)
	return &c
}

// CopyTo is Clone into memory that is there already: dst's own buffers are used where they suffice.
func (m *Message) CopyTo(dst *Message) {
	data, headers := append(dst.Data[:0], m.Data...), append(dst.Headers[:0], m.Headers...)
	*dst = *m
	dst.Data, dst.Headers = data, headers
}

// String is for logs: the start line, quoted, without what could be personal behind it.
func (m *Message) String() string {
	if m.status != 0 {
		return fmt.Sprintf("%d to %s", m.status, strings.ToValidUTF8(string(m.slice(m.cmethod)), "?"))
	}
	return fmt.Sprintf("%q", m.Method())
}
