package object

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua/wire"
)

// ErrUnreadable is what sipgo cannot read though the scanner can.
var ErrUnreadable = errors.New("object: message not readable as an object")

// buffers are for canonical forms, which live as long as it takes to make a string of them.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// maxKept is the largest buffer that goes back to the pool.
const maxKept = 16 << 10

// Request makes the object of a request; it keeps nothing of m.
func Request(m *wire.Message) (*sip.Request, error) {
	head, body := text(m)
	_, head, _ = strings.Cut(head, "\r\n")
	var uri sip.Uri
	if err := sip.ParseUri(string(m.URI()), &uri); err != nil {
		return nil, fmt.Errorf("%w: Request-URI: %w", ErrUnreadable, err)
	}
	req := sip.NewRequest(sip.RequestMethod(m.Method()), uri)
	fill(req, head, body)
	return req, complete(req)
}

// Response makes the object of a response; it keeps nothing of m.
func Response(m *wire.Message) (*sip.Response, error) {
	head, body := text(m)
	_, head, _ = strings.Cut(head, "\r\n")
	res := sip.NewResponse(m.Status(), string(m.Reason()))
	fill(res, head, body)
	return res, complete(res)
}

// text is the canonical form of a message: its lines as one string, and its body.
func text(m *wire.Message) (head string, body []byte) {
	buf := buffers.Get().(*[]byte)
	b := m.Canonical((*buf)[:0])
	head = string(b[:len(b)-len(m.Body())])
	if len(m.Body()) > 0 {
		body = bytes.Clone(m.Body())
	}
	keep(buf, b)
	return head, body
}

// fill takes the lines one by one. In the canonical form none is folded and each has a colon and a blank.
func fill(to sip.Message, lines string, body []byte) {
	for {
		line, rest, ok := strings.Cut(lines, "\r\n")
		if !ok || line == "" {
			break
		}
		lines = rest
		if name, value, ok := strings.Cut(line, ": "); ok && name != "Content-Length" {
			to.AppendHeader(sip.NewHeader(name, value))
		}
	}
	setBody(to, body)
}

// setBody is sipgo's SetBody for a message that has no Content-Length yet, which that would look for in every field.
func setBody(to sip.Message, body []byte) {
	length := sip.ContentLengthHeader(len(body))
	to.AppendHeader(&length)
	to.SetBody(body)
}

// complete reads the fields that every message must have.
func complete(m sip.Message) error {
	for _, f := range []struct {
		name string
		ok   bool
	}{{"From", m.From() != nil}, {"To", m.To() != nil}, {"Call-ID", m.CallID() != nil}, {"CSeq", m.CSeq() != nil}} {
		if !f.ok {
			return fmt.Errorf("%w: %s", ErrUnreadable, f.name)
		}
	}
	return nil
}

// Append appends the bytes of a message.
func Append(dst []byte, m sip.Message) []byte {
	w := writer{dst}
	switch m := m.(type) {
	case *sip.Request:
		m.StartLineWrite(&w)
	case *sip.Response:
		m.StartLineWrite(&w)
	}
	w.b = append(w.b, "\r\n"...)
	for _, h := range Headers(m) {
		h.StringWrite(&w)
		w.b = append(w.b, "\r\n"...)
	}
	w.b = append(w.b, "\r\n"...)
	return append(w.b, m.Body()...)
}

// Bytes are the bytes of a message, with no room behind them: transactions keep them for half a minute.
func Bytes(m sip.Message) []byte {
	buf := buffers.Get().(*[]byte)
	b := Append((*buf)[:0], m)
	out := bytes.Clone(b)
	keep(buf, b)
	return slices.Clip(out)
}

// keep gives a buffer back in the size it grew to.
func keep(buf *[]byte, grown []byte) {
	if cap(grown) <= maxKept {
		*buf = grown
		buffers.Put(buf)
	}
}

// writer is a byte slice as sipgo wants to write to it.
type writer struct{ b []byte }

// WriteString implements io.StringWriter.
func (w *writer) WriteString(s string) (int, error) {
	w.b = append(w.b, s...)
	return len(s), nil
}

// Headers are the header fields of a message in order; they are not to be changed.
func Headers(m sip.Message) []sip.Header {
	switch m := m.(type) {
	case *sip.Request:
		return m.Headers()
	case *sip.Response:
		return m.Headers()
	}
	return nil
}

// Values yields the values of the header fields of that name, in order. sipgo's GetHeaders makes a copy of every name it
// compares.
func Values(m sip.Message, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, h := range Headers(m) {
			if strings.EqualFold(h.Name(), name) && !yield(h.Value()) {
				return
			}
		}
	}
}

// Value is the first value of a header field; "" when there is none.
func Value(m sip.Message, name string) string {
	for v := range Values(m, name) {
		return v
	}
	return ""
}

// Answer makes a response to a request with our tag in To (RFC 3261 §8.2.6): what sip.NewResponseFromRequest does,
// but fields are shared with the request, whose own must not be changed any more. A To that has a tag keeps it.
func Answer(req *sip.Request, status int, reason, tag string) *sip.Response {
	res := sip.NewResponse(status, reason)
	record := !req.IsAck() && req.Method != sip.REGISTER && (status/100 == 2 || status > 100 && status < 200) // §12.1.1
	for _, h := range req.Headers() {
		switch name := h.Name(); {
		case strings.EqualFold(name, "Via"), strings.EqualFold(name, "From"), strings.EqualFold(name, "Call-ID"), strings.EqualFold(name, "CSeq"),
			record && strings.EqualFold(name, "Record-Route"), status == 100 && strings.EqualFold(name, "Timestamp"):
			res.AppendHeader(h)
		case strings.EqualFold(name, "To"):
			if _, tagged := req.To().Params.Get("tag"); !tagged && tag != "" && status != 100 {
				h = sip.NewHeader("To", h.Value()+";tag="+tag)
			}
			res.AppendHeader(h)
		}
	}
	setBody(res, nil)
	return res
}
