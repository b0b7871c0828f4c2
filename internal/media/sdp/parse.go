package sdp

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// What is accepted of a body.
const (
	MaxSize    = 16 << 10 // bytes
	MaxLines   = 512
	MaxMedia   = 16 // m= lines
	MaxFormats = 64 // formats of one m= line
)

// ErrSyntax is what every error of Parse wraps.
var ErrSyntax = errors.New("bad SDP")

func syntax(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrSyntax, fmt.Errorf(format, args...))
}

// line is one line of a body: its letter and what stands after the "=".
type line struct {
	kind  byte
	value string
}

// attribute splits an a= line into name and value; name is "" for other lines.
func (l line) attribute() (name, value string) {
	if l.kind != 'a' {
		return "", ""
	}
	name, value, _ = strings.Cut(l.value, ":")
	return name, value
}

// Session is a body that was understood. It does not change.
type Session struct {
	header []line    // before the first m= line
	media  []section // in the order of the body
	audio  int       // index in media of the audio that is relayed, -1 for none
}

// section is one m= line and what follows it.
type section struct {
	kind    string // audio, video, image, application ...
	port    int
	proto   string
	formats string // as written
	lines   []line // after the m= line
}

// Parse reads a body. A body without audio that can be relayed is no error; see [Session.Audio].
func Parse(body []byte) (*Session, error) {
	lines, err := split(body)
	if err != nil {
		return nil, err
	}
	s := &Session{audio: -1}
	origins := 0
	for _, l := range lines {
		switch {
		case l.kind == 'm':
			m, err := parseMedia(l.value)
			if err != nil {
				return nil, err
			}
			s.media = append(s.media, m)
		case len(s.media) > 0:
			m := &s.media[len(s.media)-1]
			m.lines = append(m.lines, l)
		default:
			if l.kind == 'o' {
				origins++
			}
			s.header = append(s.header, l)
		}
	}
	if origins != 1 {
		return nil, syntax("%d o= lines, want one", origins)
	}
	if len(s.media) > MaxMedia {
		return nil, syntax("%d m= lines, at most %d are taken", len(s.media), MaxMedia)
	}
	for i, m := range s.media {
		if m.kind == "audio" && m.port != 0 && relayable(m.proto) {
			s.audio = i
			break
		}
	}
	if _, err := s.readAudio(); err != nil {
		return nil, err
	}
	return s, nil
}

// relayable tells whether a protocol is RTP in its own datagrams, encrypted or not.
func relayable(proto string) bool {
	switch proto {
	case "RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF":
		return true
	}
	return false
}

// split cuts a body into lines, which end with CRLF or, from careless senders, with LF.
func split(body []byte) ([]line, error) {
	if len(body) > MaxSize {
		return nil, syntax("%d bytes, at most %d are taken", len(body), MaxSize)
	}
	lines := make([]line, 0, min(64, bytes.Count(body, []byte{'\n'})+1))
	for n, raw := range strings.Split(strings.TrimRight(string(body), "\r\n"), "\n") {
		raw = strings.TrimSuffix(raw, "\r")
		switch {
		case len(raw) < 2 || raw[1] != '=' || raw[0] < 'a' || raw[0] > 'z':
			return nil, syntax("line %d: want a letter and =", n+1)
		case strings.ContainsFunc(raw, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return nil, syntax("line %d: a control character", n+1)
		case n == 0 && raw != "v=0":
			return nil, syntax("line 1: want v=0")
		case n >= MaxLines:
			return nil, syntax("more than %d lines", MaxLines)
		}
		lines = append(lines, line{kind: raw[0], value: raw[2:]})
	}
	return lines, nil
}

// parseMedia reads "audio 49170/2 RTP/AVP 0 8 101".
func parseMedia(value string) (section, error) {
	f := strings.Fields(value)
	if len(f) < 3 {
		return section{}, syntax("m=%s: want media, port, protocol and formats", value)
	}
	port, count, several := strings.Cut(f[1], "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return section{}, syntax("m=%s: the port is no number below 65536", value)
	}
	if several {
		if c, err := strconv.ParseUint(count, 10, 8); err != nil || c != 1 {
			return section{}, syntax("m=%s: several ports for one media are not taken", value)
		}
	}
	if len(f)-3 > MaxFormats {
		return section{}, syntax("m=%s …: more than %d formats", f[0], MaxFormats)
	}
	return section{kind: f[0], port: int(n), proto: f[2], formats: strings.Join(f[3:], " ")}, nil
}

// parseConnection reads "IN IP4 192.0.2.1", or "IN IP4 host.example"; the address is zero for a host name.
func parseConnection(value string) (netip.Addr, error) {
	f := strings.Fields(value)
	if len(f) != 3 || f[0] != "IN" || f[1] != "IP4" && f[1] != "IP6" {
		return netip.Addr{}, syntax("c=%s: want IN IP4 or IN IP6 and an address", value)
	}
	host, _, _ := strings.Cut(f[2], "/") // a TTL, of multicast
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, nil // a host name, which RFC 8866 allows and hardly anybody sends
	}
	if addr.Is4() != (f[1] == "IP4") || addr.Zone() != "" {
		return netip.Addr{}, syntax("c=%s: the address is not of its type", value)
	}
	return addr, nil
}
