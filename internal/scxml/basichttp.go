package scxml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"parley/internal/scxml/markup"
)

// BasicHTTP is the Basic HTTP Event I/O Processor (§C.2): its sending half, while [ReadHTTP] makes events of requests
// for whoever has the listener. Both sides speak forms.
type BasicHTTP struct {
	// Where gives the address at which a session takes requests.
	Where func(session string) string
	// Post sends a body. It may do so later, and post an event error.communication through h if that fails.
	Post func(h *Handle, m Message, url, contentType string, body []byte) error
}

var _ Processor = (*BasicHTTP)(nil)

// Types implements [Processor].
func (*BasicHTTP) Types() []string { return []string{TypeBasicHTTP, "basichttp"} }

// Location implements [Processor].
func (p *BasicHTTP) Location(session string) string { return p.Where(session) }

// Send implements [Processor].
func (p *BasicHTTP) Send(h *Handle, m Message) error {
	if m.Target == "" {
		return errors.New("an event by HTTP needs a target")
	}
	u, err := url.Parse(m.Target)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("target %q is no address for HTTP", m.Target)
	}
	contentType, body := m.httpBody()
	return p.Post(h, m, m.Target, contentType, body)
}

// eventField carries the name of the event in a form.
const eventField = "_scxmleventname"

// httpBody is a form of the parameters, or the content as it is.
func (m *Message) httpBody() (contentType string, body []byte) {
	if !m.HasBody {
		params := m.Params
		if m.Event != "" {
			params = append([]Param{{Name: eventField, Value: m.Event}}, params...)
		}
		return "application/x-www-form-urlencoded", []byte(encoded(params))
	}
	text := m.Text
	if text == "" {
		text = Text(m.Body)
	}
	switch m.Body.(type) {
	case *markup.Node:
		return "application/xml; charset=utf-8", []byte(text)
	case map[string]any, []any:
		return "application/json", []byte(text)
	}
	return "text/plain; charset=utf-8", []byte(text)
}

// ReadHTTP makes an event of a request to a session's location. The event is named by _scxmleventname in the form or
// in the query, else by the method, as in HTTP.POST. limit bounds the body. The session answers nothing: a 2xx says
// that the event is in its queue (§C.2.2).
func ReadHTTP(r *http.Request, limit int64) (Event, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return Event{}, fmt.Errorf("read body: %w", err)
	}
	if int64(len(body)) > limit {
		return Event{}, fmt.Errorf("body is longer than %d bytes", limit)
	}
	ev := Event{Name: "HTTP." + r.Method, Type: External, OriginType: TypeBasicHTTP}
	form := r.URL.Query()
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case kind == "application/x-www-form-urlencoded":
		posted, err := url.ParseQuery(string(body))
		if err != nil {
			return Event{}, fmt.Errorf("read form: %w", err)
		}
		for k, v := range posted {
			form[k] = append(form[k], v...)
		}
	case len(bytes.TrimSpace(body)) == 0:
	case kind == "text/plain":
		ev.Data = strings.TrimSpace(string(body))
	case strings.HasSuffix(kind, "xml"):
		root, err := markup.Parse("body", body, markup.Limits{Bytes: int(limit)})
		if err != nil {
			return Event{}, err
		}
		ev.Data = root
	default:
		ev.Data = plain(string(body))
	}
	if name := form.Get(eventField); name != "" {
		ev.Name = name
		delete(form, eventField)
	}
	if ev.Data == nil && len(form) > 0 {
		ev.Data = formData(form)
	}
	ev.Raw = rawRequest(r, body)
	return ev, nil
}

func formData(form url.Values) any {
	m := make(map[string]any, len(form))
	for k, list := range form {
		if len(list) == 1 {
			m[k] = list[0]
			continue
		}
		all := make([]any, len(list))
		for i, v := range list {
			all[i] = v
		}
		m[k] = all
	}
	return m
}

// rawRequest shows the request as text: its first line, its type, and its body, in which blanks and what cannot be
// printed are percent-encoded, as they are in a form.
func rawRequest(r *http.Request, body []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\nContent-Type: %s\r\n\r\n", r.Method, r.URL.RequestURI(), r.Proto, r.Header.Get("Content-Type"))
	for _, c := range body {
		if c <= ' ' || c == 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
