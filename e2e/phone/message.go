package phone

import (
	"fmt"
	"strconv"
	"strings"
)

// Message is a request or a response, as it came.
type Message struct {
	Method, URI string // of a request; "" of a response
	Status      int    // of a response; 0 of a request
	Reason      string
	Headers     map[string][]string // values by lower-case long name, lists taken apart where they may be
	Body        string
	Raw         string
}

var longNames = map[string]string{"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type", "k": "supported"}

// ParseMessage reads one whole message.
func ParseMessage(raw []byte) (*Message, error) {
	head, body, _ := strings.Cut(string(raw), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	m := &Message{Headers: map[string][]string{}, Body: body, Raw: string(raw)}
	if rest, ok := strings.CutPrefix(lines[0], "SIP/2.0 "); ok {
		code, reason, _ := strings.Cut(rest, " ")
		status, err := strconv.Atoi(code)
		if err != nil {
			return nil, err
		}
		m.Status, m.Reason = status, reason
	} else if parts := strings.Split(lines[0], " "); len(parts) == 3 && parts[2] == "SIP/2.0" {
		m.Method, m.URI = parts[0], parts[1]
	} else {
		return nil, fmt.Errorf("no SIP: %q", lines[0])
	}
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		name = strings.ToLower(strings.TrimSpace(name))
		if long := longNames[name]; long != "" {
			name = long
		}
		switch name {
		case "via", "route", "record-route", "contact", "supported", "require":
			m.Headers[name] = append(m.Headers[name], list(value)...)
		default:
			m.Headers[name] = append(m.Headers[name], strings.TrimSpace(value))
		}
	}
	return m, nil
}

// list takes a header apart at the commas outside of <> and quotes.
func list(value string) (out []string) {
	depth, quoted, from := 0, false, 0
	for i, c := range value {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			depth++
		case c == '>':
			depth--
		case c == ',' && depth == 0:
			out = append(out, strings.TrimSpace(value[from:i]))
			from = i + 1
		}
	}
	return append(out, strings.TrimSpace(value[from:]))
}

// Get returns the first value of a header, "" if there is none.
func (m *Message) Get(name string) string {
	if v := m.Headers[strings.ToLower(name)]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// CSeq is the number and the method of CSeq.
func (m *Message) CSeq() (uint32, string) {
	n, method, _ := strings.Cut(m.Get("cseq"), " ")
	v, err := strconv.ParseUint(n, 10, 32)
	if err != nil {
		return 0, ""
	}
	return uint32(v), method
}

// branch is the branch of the topmost Via.
func (m *Message) branch() string { return param(m.Get("via"), "branch") }

// param reads ;name=value of a header value, outside of <>.
func param(value, name string) string {
	if i := strings.LastIndexByte(value, '>'); i >= 0 {
		value = value[i:]
	}
	for _, p := range strings.Split(value, ";")[1:] {
		if k, v, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

// uriOf is the URI of an address header.
func uriOf(value string) string {
	if _, rest, ok := strings.Cut(value, "<"); ok {
		uri, _, _ := strings.Cut(rest, ">")
		return uri
	}
	uri, _, _ := strings.Cut(value, ";")
	return strings.TrimSpace(uri)
}
