package sdp

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	pion "github.com/pion/sdp/v3"
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

// Within is d, or what is left of it in an answer to an offer of direction offered: nobody sends what is not received, nor
// receives what is not sent (RFC 3264 §6.1).
func (d Direction) Within(offered Direction) Direction {
	return d & (offered>>1 | offered<<1) & SendRecv
}

func (d Direction) String() string {
	return [...]string{"inactive", "sendonly", "recvonly", "sendrecv"}[d&SendRecv]
}

// direction is the Direction that an attribute names.
func direction(attribute string) (Direction, bool) {
	switch attribute {
	case "sendrecv":
		return SendRecv, true
	case "sendonly":
		return SendOnly, true
	case "recvonly":
		return RecvOnly, true
	case "inactive":
		return Inactive, true
	}
	return 0, false
}

// Audio is what a body says about the audio that is carried.
type Audio struct {
	Addr      netip.Addr // where RTP is wanted; zero when the c= line has a name; unspecified in the old way to hold
	Port      uint16     // where RTP is wanted
	RTCP      netip.AddrPort
	Mux       bool // a=rtcp-mux: RTCP on the port of RTP (RFC 5761)
	Profile   Profile
	Direction Direction
	Formats   []Format
	PTime     time.Duration // audio in a packet that is wanted, at most MaxPTime; 0 = not said
	MaxPTime  time.Duration
	Reports   bool // a=rtcp-xr: VoIP metrics are taken (RFC 3611 §5.1)

	Crypto       []string // values of a=crypto (RFC 4568), which are secret
	Fingerprints []string // values of a=fingerprint (RFC 8122)
	Setup        string   // of a=setup (RFC 4145)
	Ufrag, Pwd   string   // of ICE (RFC 8839)
	bundled      bool     // its a=mid is in a group (RFC 9143)
}

// Keys is how the body wants keys for SRTP to be agreed on.
func (a *Audio) Keys() Keys {
	switch {
	case len(a.Fingerprints) > 0 && a.Profile.Encrypted():
		return Handshake
	case len(a.Crypto) > 0: // with RTP/AVP, too: phones that encrypt if the other can offer it so
		return Told
	}
	return NoKeys
}

// readAudio reads the section of the audio.
func (s *Session) readAudio() (Audio, error) {
	m, at := s.desc.MediaDescriptions[s.audio], s.media[s.audio]
	profile, _ := profileOf(at.proto)
	a := Audio{Port: uint16(at.port), Direction: SendRecv, Profile: profile}
	connection := m.ConnectionInformation
	if connection == nil {
		connection = s.desc.ConnectionInformation
	}
	if connection == nil {
		return Audio{}, syntax("no c= line for the audio")
	}
	var err error
	if a.Addr, err = parseConnection(connection.String()); err != nil {
		return Audio{}, err
	}
	if a.Formats, err = readFormats(at.formats); err != nil {
		return Audio{}, err
	}
	a.RTCP = rtcpAt(a.Addr, a.Port+1)
	for _, part := range [][]pion.Attribute{s.desc.Attributes, m.Attributes} { // what stands in the section is stronger
		for i := range part {
			if err := a.attribute(&part[i]); err != nil {
				return Audio{}, err
			}
		}
	}
	a.bundled = at.mid != "" && s.grouped(at.mid)
	if a.Addr.IsUnspecified() && a.Ufrag == "" { // the way to hold of RFC 2543; with ICE, nothing is known yet
		a.Direction &^= RecvOnly
	}
	return a, nil
}

func rtcpAt(addr netip.Addr, port uint16) netip.AddrPort {
	if !addr.IsValid() || port == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr, port)
}

// attribute reads one attribute.
func (a *Audio) attribute(l *pion.Attribute) error {
	switch l.Key {
	case "sendrecv", "sendonly", "recvonly", "inactive":
		a.Direction, _ = direction(l.Key)
	case "rtpmap":
		return a.rtpmap(l.Value)
	case "fmtp":
		a.fmtp(l.Value)
	case "ptime":
		a.PTime = milliseconds(l.Value)
	case "maxptime":
		a.MaxPTime = milliseconds(l.Value)
	case "rtcp-mux":
		a.Mux = true
	case "rtcp":
		return a.rtcp(l.Value)
	case "rtcp-xr":
		a.Reports = strings.Contains(l.Value, "voip-metrics")
	case "crypto":
		if len(a.Crypto) < maxCrypto {
			a.Crypto = append(a.Crypto, l.Value)
		}
	case "fingerprint":
		if len(a.Fingerprints) < maxCrypto {
			a.Fingerprints = append(a.Fingerprints, l.Value)
		}
	case "setup":
		a.Setup = strings.ToLower(strings.TrimSpace(l.Value))
	case "ice-ufrag":
		a.Ufrag = l.Value
	case "ice-pwd":
		a.Pwd = l.Value
	}
	return nil
}

// rtcp reads where RTCP is wanted (RFC 3605); without a word it is the port above.
func (a *Audio) rtcp(value string) error {
	number, where, _ := strings.Cut(value, " ")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return syntax("a=rtcp:%s: the port is no number below 65536", value)
	}
	addr := a.Addr
	if where != "" {
		if addr, err = parseConnection(where); err != nil {
			return err
		}
	}
	a.RTCP = rtcpAt(addr, uint16(n))
	return nil
}

// grouped tells whether a mid is in a group BUNDLE.
func (s *Session) grouped(mid string) bool {
	for _, l := range s.desc.Attributes {
		if members, ok := strings.CutPrefix(l.Value, "BUNDLE "); ok && l.Key == "group" {
			for m := range strings.FieldsSeq(members) {
				if m == mid {
					return true
				}
			}
		}
	}
	return false
}

// maxPacket is more audio than anybody has in one packet.
const maxPacket = 200 * time.Millisecond

// milliseconds reads a time in a packet; what makes no sense was not said. Some phones write fractions (RFC 8866 §6.4 allows).
func milliseconds(value string) time.Duration {
	ms, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	d := time.Duration(ms * float64(time.Millisecond))
	if err != nil || !(ms > 0) || ms > float64(maxPacket/time.Millisecond) || d <= 0 {
		return 0
	}
	return d
}
