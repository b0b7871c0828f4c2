package sdp

import (
	"hash/maphash"
	"net/netip"
	"strconv"
	"strings"
)

// Local is where we want the audio.
type Local struct {
	Addr netip.Addr
	RTP  uint16
	RTCP uint16
}

// Author is our end of the SDP with one peer: what it hears of all others comes under one session id, with a version
// that rises by one whenever the body differs from the one before (RFC 3264 §8).
type Author struct {
	ID      uint64 // session id; the same for the whole dialog
	Version uint64 // of the last body
	seed    maphash.Seed
	last    uint64 // hash of the last body without its origin
}

// NewAuthor returns an Author whose session has the given id, which should be unique, a time or a random number below
// 2^62, since there are peers that read it as a signed number. The first body has it as its version, too.
func NewAuthor(id uint64) *Author { return &Author{ID: id, seed: maphash.MakeSeed()} }

// Rewrite writes s for the peer: the audio at local, other media refused, the origin ours. With the zero Local it
// changes the origin only, for media that goes directly.
func (a *Author) Rewrite(s *Session, local Local) []byte {
	w := writer{direct: !local.Addr.IsValid(), local: local}
	body := w.session(s)
	sum := maphash.String(a.seed, body)
	switch {
	case a.Version == 0:
		a.Version = a.ID
	case sum != a.last:
		a.Version++
	}
	a.last = sum

	addr := local.Addr
	if w.direct {
		if audio, ok := s.Audio(); ok {
			addr = audio.Addr
		}
	}
	if !addr.IsValid() {
		addr = netip.IPv4Unspecified()
	}
	origin := "- " + strconv.FormatUint(a.ID, 10) + " " + strconv.FormatUint(a.Version, 10) + " " + connection(addr)
	return []byte("v=0\r\no=" + origin + "\r\n" + body)
}

// connection is "IN IP4 192.0.2.1".
func connection(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return "IN IP4 " + addr.String()
	}
	return "IN IP6 " + addr.String()
}

// writer writes a body without its first two lines.
type writer struct {
	strings.Builder
	local  Local
	direct bool
}

func (w *writer) line(kind byte, value string) {
	w.WriteByte(kind)
	w.WriteByte('=')
	w.WriteString(value)
	w.WriteString("\r\n")
}

func (w *writer) session(s *Session) string {
	refusing := !w.direct && len(s.media) > 1
	for _, l := range s.header {
		name, _ := l.attribute()
		_, isDirection := direction(name)
		switch {
		case l.kind == 'v' || l.kind == 'o':
		case w.direct:
			w.line(l.kind, l.value)
		case l.kind == 's': // what phone or system it is
			w.line('s', "-")
		case personal(l.kind, name):
		case l.kind == 'c':
			w.line('c', connection(w.local.Addr))
		case ice(name):
		case name == "group" && refusing: // its members are refused
		case isDirection && s.audio >= 0: // said in the section of the audio, where it is stronger
		default:
			w.line(l.kind, l.value)
		}
	}
	for i, m := range s.media {
		switch {
		case w.direct:
			w.line('m', m.head(m.port))
			for _, l := range m.lines {
				w.line(l.kind, l.value)
			}
		case i == s.audio:
			w.audio(s, m)
		default:
			w.refused(m)
		}
	}
	return w.String()
}

// personal tells whether a line says who or what wrote the body, which only matters to its other end: i, u, e and p lines
// (RFC 8866 §5.4 to §5.6), a=tool.
func personal(kind byte, attribute string) bool {
	return kind == 'i' || kind == 'u' || kind == 'e' || kind == 'p' || attribute == "tool"
}

// head is the value of the m= line with another port.
func (m section) head(port int) string {
	return strings.TrimRight(m.kind+" "+strconv.Itoa(port)+" "+m.proto+" "+m.formats, " ")
}

// audio writes the section that is relayed. The direction is written once: as an attribute of the section where the
// body said one anywhere, or held in the old way, with an address of zeros, which ours replaces.
func (w *writer) audio(s *Session, m section) {
	a, _ := s.Audio() // a session with an audio that cannot be read is not made
	said := a.Addr.IsUnspecified() || s.saysDirection()
	w.line('m', m.head(int(w.local.RTP)))
	for _, l := range m.lines {
		name, value := l.attribute()
		_, isDirection := direction(l.value)
		switch {
		case l.kind == 'c':
			w.line('c', connection(w.local.Addr))
		case name == "rtcp":
			w.line('a', w.rtcp(a, value))
		case ice(name), name == "ssrc": // whose CNAME is an address of the phone (RFC 5576 §6.1)
		case l.kind == 'a' && isDirection:
			if said {
				w.line('a', a.Direction.String())
				said = false
			}
		default:
			w.line(l.kind, l.value)
		}
	}
	if said {
		w.line('a', a.Direction.String())
	}
}

// saysDirection tells whether the header or the audio's section has a direction.
func (s *Session) saysDirection() bool {
	for _, part := range [][]line{s.header, s.media[s.audio].lines} {
		for _, l := range part {
			if _, ok := direction(l.value); ok && l.kind == 'a' {
				return true
			}
		}
	}
	return false
}

// rtcp is the a=rtcp line with our port, and our address if there was one.
func (w *writer) rtcp(a Audio, old string) string {
	port := w.local.RTCP
	if a.Mux && a.RTCP.Port() == a.Port {
		port = w.local.RTP
	}
	value := "rtcp:" + strconv.Itoa(int(port))
	if strings.Contains(old, " ") {
		value += " " + connection(w.local.Addr)
	}
	return value
}

// refused writes a section with port 0 (RFC 3264 §6). Of its lines only the name of the section is of use to anybody.
func (w *writer) refused(m section) {
	w.line('m', m.head(0))
	for _, l := range m.lines {
		if name, _ := l.attribute(); name == "mid" {
			w.line(l.kind, l.value)
		}
	}
}

// ice tells whether an attribute belongs to ICE (RFC 8839).
func ice(name string) bool {
	switch name {
	case "candidate", "remote-candidates", "end-of-candidates", "ice-ufrag", "ice-pwd", "ice-options", "ice-lite", "ice-mismatch", "ice-pacing":
		return true
	}
	return false
}
