package sdp

import (
	"slices"
	"strconv"
	"strings"
)

// Format is one RTP payload type of an m= line.
type Format struct {
	Type     uint8  // payload type, 0 to 127
	Encoding string // "PCMA", "opus", "telephone-event"; "" for a static type that we have no name for
	Clock    uint32 // RTP clock rate in Hz
	Channels uint8  // 0 = one
	Params   string // of a=fmtp
}

// TelephoneEvent is the encoding of digits (RFC 4733).
const TelephoneEvent = "telephone-event"

// static are the payload types that need no a=rtpmap (RFC 3551 §6), with the names that matter here.
func static(payload uint8) Format {
	f := Format{Type: payload, Clock: 8000} // the rate of nearly all static types of audio
	switch payload {
	case 0:
		f.Encoding = "PCMU"
	case 3:
		f.Encoding = "GSM"
	case 8:
		f.Encoding = "PCMA"
	case 9:
		f.Encoding = "G722"
	case 13:
		f.Encoding = "CN"
	case 18:
		f.Encoding = "G729"
	}
	return f
}

// Speech tells whether the format carries speech, not just digits, silence or copies of other packets.
func (f *Format) Speech() bool {
	return !f.is(TelephoneEvent) && !f.is("CN") && !f.is("red") && !f.is("rtx") && !f.is("ulpfec")
}

func (f *Format) is(encoding string) bool { return strings.EqualFold(f.Encoding, encoding) }

// Same tells whether two formats are one way of coding, whatever their payload types.
func Same(a, b *Format) bool {
	if a.Encoding == "" || b.Encoding == "" {
		return a.Encoding == b.Encoding && a.Type == b.Type
	}
	return a.Clock == b.Clock && max(a.Channels, 1) == max(b.Channels, 1) && a.is(b.Encoding) && alike(a.Params, b.Params)
}

// coding are the parameters that say how a packet is made. With others in them two formats of one encoding do not
// understand each other (RFC 4867 §8.1, RFC 3952 §4.2, RFC 5577 §6.1); what else stands in a=fmtp are wishes.
var coding = [...]string{"octet-align", "mode", "bitrate", "interleaving", "crc"}

func alike(a, b string) bool {
	if a == b || a == "" && b == "" {
		return true
	}
	for _, name := range coding {
		if parameter(a, name) != parameter(b, name) {
			return false
		}
	}
	return true
}

// parameter is the value of a parameter in a=fmtp, "" when it is not there or is 0, which is the same for those in coding.
func parameter(params, name string) string {
	for p := range strings.SplitSeq(params, ";") {
		if k, v, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(k, name) && v != "0" {
			return v
		}
	}
	return ""
}

// readFormats reads the payload types of an m= line.
func readFormats(list string) ([]Format, error) {
	formats := make([]Format, 0, strings.Count(list, " ")+1)
	for f := range strings.FieldsSeq(list) {
		n, err := strconv.ParseUint(f, 10, 7)
		if err != nil {
			return nil, syntax("m=audio: format %q is no payload type", f)
		}
		if !slices.ContainsFunc(formats, func(g Format) bool { return g.Type == uint8(n) }) {
			formats = append(formats, static(uint8(n)))
		}
	}
	return formats, nil
}

// rtpmap reads "96 opus/48000/2".
func (a *Audio) rtpmap(value string) error {
	number, encoding, _ := strings.Cut(value, " ")
	encoding, rest, _ := strings.Cut(strings.TrimSpace(encoding), "/")
	rate, channels, _ := strings.Cut(rest, "/")
	n, err := strconv.ParseUint(number, 10, 7)
	clock, errClock := strconv.ParseUint(rate, 10, 32)
	if err != nil || errClock != nil || clock == 0 || encoding == "" {
		return syntax("a=rtpmap:%s: want payload type, encoding and clock rate", value)
	}
	many, _ := strconv.ParseUint(channels, 10, 8) // what cannot be read is one
	if many == 1 {
		many = 0
	}
	for i := range a.Formats {
		if f := &a.Formats[i]; f.Type == uint8(n) {
			f.Encoding, f.Clock, f.Channels = known(encoding), uint32(clock), uint8(many)
		}
	}
	return nil
}

// known returns an encoding that does not hold on to the body it was read from.
func known(encoding string) string {
	for _, name := range [...]string{"PCMU", "PCMA", "G722", TelephoneEvent, "opus", "G729", "CN"} {
		if name == encoding {
			return name
		}
	}
	return strings.Clone(encoding)
}

// fmtp reads "101 0-15".
func (a *Audio) fmtp(value string) {
	number, params, _ := strings.Cut(value, " ")
	n, err := strconv.ParseUint(number, 10, 7)
	if err != nil {
		return // of a format that is not there
	}
	for i := range a.Formats {
		if f := &a.Formats[i]; f.Type == uint8(n) {
			f.Params = strings.Clone(strings.TrimSpace(params))
		}
	}
}
