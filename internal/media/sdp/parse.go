package sdp

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/netip"
	"strconv"
	"strings"

	pion "github.com/pion/sdp/v3"
)

// What is accepted of a body.
const (
	MaxSize    = 16 << 10 // bytes
	MaxLines   = 512
	MaxMedia   = 16 // m= lines
	MaxFormats = 64 // formats of one m= line
	maxCrypto  = 16 // a=crypto and a=fingerprint lines that are looked at, of one m= line
)

// ErrSyntax is what every error of Parse wraps.
var ErrSyntax = errors.New("bad SDP")

func syntax(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrSyntax, fmt.Errorf(format, args...))
}

// Session is a body that was understood. It does not change.
type Session struct {
	raw    string
	origin [2]int // where the value of o= stands in raw
	desc   pion.SessionDescription
	media  []slot // the m= lines, as many as desc has
	audio  int    // index of the audio that is carried, -1 for none
	said   Audio  // about it
}

// slot is an m= line: its place among the others is its name (RFC 3264 §5.1).
type slot struct {
	kind    string // audio, video, image, application ...
	port    int
	proto   string
	formats string // as written
	mid     string // a=mid (RFC 9143), "" = none
}

// Parse reads a body. A body without audio that can be carried is no error; see [Session.Audio].
func Parse(body []byte) (*Session, error) {
	if len(body) > MaxSize {
		return nil, syntax("%d bytes, at most %d are taken", len(body), MaxSize)
	}
	s := &Session{raw: string(body), audio: -1}
	clean, err := s.guard()
	if err != nil {
		return nil, err
	}
	if err := s.desc.UnmarshalString(clean); err != nil {
		return nil, syntax("%w", err)
	}
	if len(s.desc.MediaDescriptions) != len(s.media) {
		return nil, syntax("%d m= lines were read as %d", len(s.media), len(s.desc.MediaDescriptions))
	}
	for i, m := range s.desc.MediaDescriptions {
		s.media[i].mid, _ = m.Attribute("mid")
	}
	for i, m := range s.media {
		if _, carried := profileOf(m.proto); m.kind == "audio" && m.port != 0 && carried {
			s.audio = i
			break
		}
	}
	if s.audio >= 0 {
		if s.said, err = s.readAudio(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Audio returns what the body says about its first audio, and false when it has none that can be carried: none at
// all, only refused ones, or none over RTP.
func (s *Session) Audio() (Audio, bool) { return s.said, s.audio >= 0 }

// Media is the number of m= lines.
func (s *Session) Media() int { return len(s.media) }

// Origin is the o= line's value.
func (s *Session) Origin() string { return s.raw[s.origin[0]:s.origin[1]] }

// Sum is a digest of all that the body says but for its origin. Of two bodies of one peer with the same sum, the second says
// nothing new, whatever its version: it refreshes the session (RFC 4028 §7.4).
func (s *Session) Sum() uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, s.raw[:s.origin[0]]) // a hash takes everything
	_, _ = io.WriteString(h, s.raw[s.origin[1]:])
	return h.Sum64()
}

// cleaner writes what pion gets to read: v, o, s and t lines that cannot be misread, then c and a lines of the header as
// they came, then the media.
type cleaner struct {
	connection string          // of the header
	attributes strings.Builder // of the header
	media      strings.Builder
	n, origins int // lines, and o= lines among them
	inMedia    bool
}

// guard looks at every line of the body, and writes it anew for pion. Lines end with CRLF or, from careless senders, with LF.
func (s *Session) guard() (string, error) {
	var c cleaner
	c.media.Grow(len(s.raw))
	at := 0
	for text := strings.TrimRight(s.raw, "\r\n"); ; {
		raw, rest, more := strings.Cut(text, "\n")
		next := at + len(raw) + 1
		raw = strings.TrimSuffix(raw, "\r")
		if err := c.check(raw); err != nil {
			return "", err
		}
		if raw[0] == 'o' && !c.inMedia {
			c.origins++
			s.origin = [2]int{at + 2, at + len(raw)}
		} else if err := s.keep(&c, raw[0], raw[2:]); err != nil {
			return "", err
		}
		if !more {
			break
		}
		text, at = rest, next
	}
	if c.origins != 1 {
		return "", syntax("%d o= lines, want one", c.origins)
	}
	head := "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\n"
	if c.connection != "" {
		head += "c=" + c.connection + "\r\n"
	}
	return head + "t=0 0\r\n" + c.attributes.String() + c.media.String(), nil
}

// check refuses what is no line of SDP.
func (c *cleaner) check(raw string) error {
	c.n++
	switch {
	case len(raw) < 2 || raw[1] != '=' || raw[0] < 'a' || raw[0] > 'z':
		return syntax("line %d: want a letter and =", c.n)
	case c.n == 1 && raw != "v=0":
		return syntax("line 1: want v=0")
	case c.n > MaxLines:
		return syntax("more than %d lines", MaxLines)
	}
	for i := range len(raw) {
		if b := raw[i]; b < ' ' && b != '\t' || b == 0x7f {
			return syntax("line %d: a control character", c.n)
		}
	}
	return nil
}

// keep gives pion a line, if it is of a kind that is needed.
func (s *Session) keep(c *cleaner, kind byte, value string) error {
	to := &c.attributes
	if c.inMedia {
		to = &c.media
	}
	switch kind {
	case 'm':
		m, err := parseMedia(value)
		if err != nil {
			return err
		}
		if len(s.media) == MaxMedia {
			return syntax("more than %d m= lines", MaxMedia)
		}
		c.inMedia = true
		s.media = append(s.media, m)
		c.media.WriteString("m=")
		if _, carried := profileOf(m.proto); carried && m.kind == "audio" {
			c.media.WriteString("audio " + strconv.Itoa(m.port) + " " + m.proto + " " + m.formats)
		} else { // which pion might not know, and which is refused whatever it says
			c.media.WriteString("application 0 TCP 0")
		}
		c.media.WriteString("\r\n")
	case 'c':
		if _, err := parseConnection(value); err != nil {
			return err
		}
		if !c.inMedia {
			c.connection = value
			break
		}
		to.WriteString("c=" + value + "\r\n")
	case 'a':
		to.WriteString("a=")
		to.WriteString(value)
		to.WriteString("\r\n")
	}
	return nil
}

// parseMedia reads "audio 49170/1 RTP/AVP 0 8 101".
func parseMedia(value string) (slot, error) {
	f := strings.Fields(value)
	if len(f) < 3 {
		return slot{}, syntax("m=%s: want media, port, protocol and formats", value)
	}
	port, count, several := strings.Cut(f[1], "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return slot{}, syntax("m=%s: the port is no number below 65536", value)
	}
	if several {
		if c, err := strconv.ParseUint(count, 10, 8); err != nil || c != 1 {
			return slot{}, syntax("m=%s: several ports for one media are not taken", value)
		}
	}
	if len(f)-3 > MaxFormats {
		return slot{}, syntax("m=%s …: more than %d formats", f[0], MaxFormats)
	}
	return slot{kind: f[0], port: int(n), proto: f[2], formats: strings.Join(f[3:], " ")}, nil
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
