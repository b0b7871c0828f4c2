package sdp

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	pion "github.com/pion/sdp/v3"
)

// Local is where we want the audio.
type Local struct {
	Addr netip.Addr
	RTP  uint16
	RTCP uint16
}

// Terms are what we say about the audio of a leg.
type Terms struct {
	Local
	Profile   Profile // of an offer; an answer has that of what it answers
	Formats   []Format
	Direction Direction
	PTime     time.Duration // 0 = nothing is said
	MaxPTime  time.Duration
	Mux       bool // in an answer: if it was offered
	Reports   bool // we take extended reports

	Crypto      []string // values of a=crypto
	Fingerprint string   // value of a=fingerprint, "" = no DTLS
	Setup       string
	Ufrag, Pwd  string // of ICE; we are its lite half (RFC 8445 §2.5)
	Candidate   string // value of a=candidate
}

// Author is our end of the SDP with one peer: what it hears of all others comes under one session id, with a version
// that rises by one whenever the body differs from the one before (RFC 3264 §8).
type Author struct {
	ID      uint64 // session id; the same for the whole dialog
	Version uint64 // of the last body
	seed    maphash.Seed
	last    uint64 // hash of the last body without its origin

	slots []slot   // the m= lines that this session has
	audio int      // index in slots of the audio
	types []Format // what payload types meant: they may not come to mean something else (RFC 3264 §8.3.2)
}

// NewAuthor returns an Author whose session has the given id, which should be unique, a time or a random number below
// 2^62, since there are peers that read it as a signed number. The first body has it as its version, too.
func NewAuthor(id uint64) *Author { return &Author{ID: id, seed: maphash.MakeSeed()} }

// Number gives the formats of an offer the payload types under which this peer knows them already, and others of their own
// where another format had theirs. The order stays.
func (a *Author) Number(formats []Format) []Format {
	out := slices.Clone(formats)
	used := func(n uint8, f *Format) bool { // by another format, now or before
		return slices.ContainsFunc(a.types, func(g Format) bool { return g.Type == n && !Same(&g, f) }) ||
			slices.ContainsFunc(out, func(g Format) bool { return g.Type == n && !Same(&g, f) })
	}
	for i := range out {
		f := &out[i]
		if at := slices.IndexFunc(a.types, func(g Format) bool { return Same(&g, f) }); at >= 0 && f.Encoding != "" {
			n := a.types[at].Type
			if !slices.ContainsFunc(out[:i], func(g Format) bool { return g.Type == n }) {
				f.Type = n
				continue
			}
		}
		if !slices.ContainsFunc(a.types, func(g Format) bool { return g.Type == f.Type && !Same(&g, f) }) &&
			!slices.ContainsFunc(out[:i], func(g Format) bool { return g.Type == f.Type }) {
			continue
		}
		for n := range dynamics {
			if d := dynamic(n); !used(d, f) {
				f.Type = d
				break
			}
		}
	}
	a.remember(out)
	return out
}

// The payload types without a meaning of their own: the usual ones first, then those that RTCP on the same port leaves
// (RFC 3551 §3, RFC 5761 §4).
const dynamics = 32 + 29

func dynamic(i int) uint8 {
	if i < 32 {
		return uint8(96 + i)
	}
	return uint8(35 + i - 32)
}

// maxTypes is how many meanings of payload types are remembered; there are 128 of them.
const maxTypes = 128

func (a *Author) remember(formats []Format) {
	for i := range formats {
		f := &formats[i]
		known := slices.ContainsFunc(a.types, func(g Format) bool { return g.Type == f.Type && Same(&g, f) })
		if !known && len(a.types) < maxTypes {
			a.types = append(a.types, *f)
		}
	}
}

// Offer writes an offer. Its formats should come from Number.
func (a *Author) Offer(t *Terms) []byte {
	if len(a.slots) == 0 {
		a.slots, a.audio = []slot{{kind: "audio"}}, 0
		if t.Ufrag != "" {
			a.slots[0].mid = "0"
		}
	}
	own := &a.slots[a.audio]
	own.kind, own.proto = "audio", t.Profile.String()
	return a.write(t, t.Mux, own.mid != "" && t.Ufrag != "", false)
}

// Restart forgets the m= lines, for an offer that begins another dialog.
func (a *Author) Restart() { a.slots, a.audio, a.types = nil, 0, nil }

// Answer writes the answer to an offer that has an audio to be carried: the others are refused at their places
// (RFC 3264 §6).
func (a *Author) Answer(offer *Session, t *Terms) []byte {
	a.learn(offer)
	a.remember(t.Formats)
	said := &offer.said
	return a.write(t, t.Mux && said.Mux, said.bundled, true)
}

// learn takes over the m= lines of an offer.
func (a *Author) learn(offer *Session) {
	a.slots, a.audio = slices.Clone(offer.media), max(offer.audio, 0)
	for i := range a.slots { // they stay, the body does not
		s := &a.slots[i]
		s.kind, s.proto, s.formats, s.mid = strings.Clone(s.kind), strings.Clone(s.proto), strings.Clone(s.formats), strings.Clone(s.mid)
	}
}

// Forward passes s on to the peer as it came, with an origin of ours, for media that goes directly.
func (a *Author) Forward(s *Session) []byte {
	if len(s.media) > 0 {
		a.learn(s)
		a.remember(s.said.Formats)
	}
	addr := s.said.Addr
	if !addr.IsValid() {
		addr = netip.IPv4Unspecified()
	}
	a.changed(maphash.String(a.seed, s.raw[:s.origin[0]]) ^ maphash.String(a.seed, s.raw[s.origin[1]:]))
	return []byte(s.raw[:s.origin[0]] + a.origin(addr) + s.raw[s.origin[1]:])
}

// changed makes the version one that fits a body with that sum.
func (a *Author) changed(sum uint64) {
	switch {
	case a.Version == 0:
		a.Version = a.ID
	case sum != a.last:
		a.Version++
	}
	a.last = sum
}

func family(addr netip.Addr) string {
	if addr.Is4() {
		return "IP4"
	}
	return "IP6"
}

// write writes a body with the m= lines that the session has.
func (a *Author) write(t *Terms, mux, bundle, answer bool) []byte {
	addr := t.Addr.Unmap().WithZone("")
	d := pion.SessionDescription{
		SessionName: "-", // the origin is written below, when it is known whether anything changed
		ConnectionInformation: &pion.ConnectionInformation{NetworkType: "IN", AddressType: family(addr),
			Address: &pion.Address{Address: addr.String()}},
		TimeDescriptions:  []pion.TimeDescription{{}},
		MediaDescriptions: make([]*pion.MediaDescription, 0, len(a.slots)),
	}
	if bundle {
		d.Attributes = append(d.Attributes, pion.NewAttribute("group", "BUNDLE "+a.slots[a.audio].mid))
	}
	if t.Ufrag != "" {
		d.Attributes = append(d.Attributes, pion.NewPropertyAttribute("ice-lite"))
	}
	for i := range a.slots {
		s := &a.slots[i]
		if i == a.audio {
			d.MediaDescriptions = append(d.MediaDescriptions, t.section(s, mux))
		} else {
			d.MediaDescriptions = append(d.MediaDescriptions, s.refused())
		}
	}
	body, _ := d.Marshal() // into memory, which does not fail
	rest := body[bytes.Index(body, []byte("\r\ns=")):]
	a.changed(maphash.Bytes(a.seed, rest))
	return append([]byte("v=0\r\no="+a.origin(addr)), rest...)
}

// origin is the value of the o= line.
func (a *Author) origin(addr netip.Addr) string {
	return "- " + strconv.FormatUint(a.ID, 10) + " " + strconv.FormatUint(a.Version, 10) + " IN " + family(addr) + " " + addr.String()
}

// refused is an m= line with port 0. Of its attributes only its name is of use to anybody.
func (s *slot) refused() *pion.MediaDescription {
	m := &pion.MediaDescription{MediaName: pion.MediaName{Media: s.kind, Protos: []string{s.proto}, Formats: []string{s.formats}}}
	if s.formats == "" {
		m.MediaName.Formats = []string{"0"}
	}
	if s.mid != "" {
		m.Attributes = []pion.Attribute{pion.NewAttribute("mid", s.mid)}
	}
	return m
}

// section is the m= line of the audio and what belongs to it.
func (t *Terms) section(s *slot, mux bool) *pion.MediaDescription {
	m := &pion.MediaDescription{
		MediaName:  pion.MediaName{Media: "audio", Port: pion.RangedPort{Value: int(t.RTP)}, Protos: []string{s.proto}, Formats: make([]string, len(t.Formats))},
		Attributes: make([]pion.Attribute, 0, 2*len(t.Formats)+12),
	}
	add := func(key, value string) { m.Attributes = append(m.Attributes, pion.Attribute{Key: key, Value: value}) }
	for i := range t.Formats {
		f := &t.Formats[i]
		n := strconv.Itoa(int(f.Type))
		m.MediaName.Formats[i] = n
		if f.Encoding != "" {
			add("rtpmap", n+" "+f.Encoding+"/"+strconv.FormatUint(uint64(f.Clock), 10)+f.many())
		}
		if f.Params != "" {
			add("fmtp", n+" "+f.Params)
		}
	}
	if s.mid != "" {
		add("mid", s.mid)
	}
	t.times(add)
	add(t.Direction.String(), "")
	if mux {
		add("rtcp-mux", "")
	}
	if t.Reports {
		add("rtcp-xr", "voip-metrics")
	}
	t.protection(add)
	return m
}

func (f *Format) many() string {
	if f.Channels <= 1 {
		return ""
	}
	return "/" + strconv.Itoa(int(f.Channels))
}

func (t *Terms) times(add func(key, value string)) {
	if t.PTime > 0 {
		add("ptime", inMilliseconds(t.PTime))
	}
	if t.MaxPTime > 0 {
		add("maxptime", inMilliseconds(t.MaxPTime))
	}
}

func inMilliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', -1, 64)
}

// protection writes keys, fingerprint and ICE.
func (t *Terms) protection(add func(key, value string)) {
	for _, c := range t.Crypto {
		add("crypto", c)
	}
	if t.Fingerprint != "" {
		add("fingerprint", t.Fingerprint)
		add("setup", t.Setup)
	}
	if t.Ufrag != "" {
		add("ice-ufrag", t.Ufrag)
		add("ice-pwd", t.Pwd)
		if t.Candidate != "" {
			add("candidate", t.Candidate)
			add("end-of-candidates", "")
		}
	}
}
