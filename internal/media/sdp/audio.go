package sdp

import (
	"hash/fnv"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// Direction is which way media flows, seen from the side whose SDP it stands in (RFC 3264 §5.1).
type Direction uint8

// The directions. Bit 0 is send, bit 1 is receive.
const (
	Inactive Direction = iota
	SendOnly
	RecvOnly
	SendRecv
)

// Sends tells whether the side sends media.
func (d Direction) Sends() bool { return d&SendOnly != 0 }

// Receives tells whether the side wants media.
func (d Direction) Receives() bool { return d&RecvOnly != 0 }

// Held tells whether the side put the other one on hold: it does not want to hear it.
func (d Direction) Held() bool { return !d.Receives() }

func (d Direction) String() string {
	return [...]string{"inactive", "sendonly", "recvonly", "sendrecv"}[d&SendRecv]
}

// direction is the Direction that an attribute names.
func direction(attribute string) (Direction, bool) {
	for d := Inactive; d <= SendRecv; d++ {
		if d.String() == attribute {
			return d, true
		}
	}
	return 0, false
}

// Format is one RTP payload type of an m= line.
type Format struct {
	Type     uint8  // payload type, 0 to 127
	Encoding string // "PCMA", "opus", "telephone-event"; "" for a static type without a=rtpmap
	Clock    uint32 // RTP clock rate in Hz
}

// Audio is what a body says about the audio that is relayed.
type Audio struct {
	Addr      netip.Addr // where RTP is wanted; zero when Host is a name; unspecified in the old way to hold
	Host      string     // as written in the c= line
	Port      uint16     // where RTP is wanted
	RTCP      netip.AddrPort
	Mux       bool // a=rtcp-mux: RTCP on the port of RTP (RFC 5761)
	Encrypted bool // SRTP, so that only headers can be read
	Direction Direction
	Formats   []Format
}

// Audio returns what the body says about its first audio, and false when it has none that can be relayed: none at
// all, only refused ones, or none over RTP.
func (s *Session) Audio() (Audio, bool) {
	if s.audio < 0 {
		return Audio{}, false
	}
	a, err := s.readAudio()
	return a, err == nil
}

// Origin is the o= line's value. Equal origins of one peer mean that nothing changed (RFC 3264 §8).
func (s *Session) Origin() string {
	for _, l := range s.header {
		if l.kind == 'o' {
			return l.value
		}
	}
	return ""
}

// Sum is a digest of all that the body says but for its origin. Of two bodies of one peer with the same sum, the second says
// nothing new, whatever its version: it refreshes the session (RFC 4028 §7.4).
func (s *Session) Sum() uint64 {
	h := fnv.New64a()
	write := func(kind byte, value string) {
		_, _ = h.Write([]byte{kind, '='}) // a hash takes everything
		_, _ = io.WriteString(h, value)
		_, _ = h.Write([]byte{'\n'})
	}
	for _, l := range s.header {
		if l.kind != 'o' {
			write(l.kind, l.value)
		}
	}
	for _, m := range s.media {
		write('m', m.head(m.port))
		for _, l := range m.lines {
			write(l.kind, l.value)
		}
	}
	return h.Sum64()
}

// readAudio reads the section of the audio; without one it is the zero Audio.
func (s *Session) readAudio() (Audio, error) {
	if s.audio < 0 {
		return Audio{}, nil
	}
	m := s.media[s.audio]
	a := Audio{Port: uint16(m.port), Encrypted: strings.Contains(m.proto, "SAVP"), Direction: SendRecv}
	connection := ""
	for _, part := range [][]line{s.header, m.lines} { // what stands in the section is stronger
		for _, l := range part {
			if l.kind == 'c' {
				connection = l.value
			} else if d, ok := direction(l.value); ok && l.kind == 'a' {
				a.Direction = d
			}
		}
	}
	var err error
	if a.Addr, err = parseConnection(connection); err != nil {
		return Audio{}, err
	}
	a.Host = strings.Fields(connection)[2]
	if a.Addr.IsUnspecified() {
		a.Direction &^= RecvOnly // the way to hold of RFC 2543
	}
	if a.Formats, err = readFormats(m); err != nil {
		return Audio{}, err
	}
	if err := a.readRTCP(m); err != nil {
		return Audio{}, err
	}
	return a, nil
}

// readRTCP finds out where RTCP is wanted (RFC 3605, RFC 5761); without a word it is the port above.
func (a *Audio) readRTCP(m section) error {
	addr, port := a.Addr, a.Port+1
	for _, l := range m.lines {
		switch name, value := l.attribute(); name {
		case "rtcp-mux":
			a.Mux = true
		case "rtcp":
			number, where, _ := strings.Cut(value, " ")
			n, err := strconv.ParseUint(number, 10, 16)
			if err != nil {
				return syntax("a=rtcp:%s: the port is no number below 65536", value)
			}
			port = uint16(n)
			if where != "" {
				if addr, err = parseConnection(where); err != nil {
					return err
				}
			}
		}
	}
	if addr.IsValid() && port != 0 {
		a.RTCP = netip.AddrPortFrom(addr, port)
	}
	return nil
}

// readFormats reads the payload types of an m= line and their a=rtpmap lines.
func readFormats(m section) ([]Format, error) {
	var formats []Format
	for _, f := range strings.Fields(m.formats) {
		n, err := strconv.ParseUint(f, 10, 7)
		if err != nil {
			return nil, syntax("m=%s: format %q is no payload type", m.kind, f)
		}
		formats = append(formats, Format{Type: uint8(n), Clock: 8000}) // the rate of nearly all static types of audio
	}
	for _, l := range m.lines {
		name, value := l.attribute()
		if name != "rtpmap" {
			continue
		}
		number, encoding, _ := strings.Cut(value, " ")
		encoding, rest, _ := strings.Cut(strings.TrimSpace(encoding), "/")
		rate, _, _ := strings.Cut(rest, "/")
		n, err := strconv.ParseUint(number, 10, 7)
		clock, errClock := strconv.ParseUint(rate, 10, 32)
		if err != nil || errClock != nil || clock == 0 || encoding == "" {
			return nil, syntax("a=rtpmap:%s: want payload type, encoding and clock rate", value)
		}
		for i := range formats {
			if formats[i].Type == uint8(n) {
				formats[i].Encoding, formats[i].Clock = encoding, uint32(clock)
			}
		}
	}
	return formats, nil
}
