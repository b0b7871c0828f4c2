package voice

import "fmt"

// Options of any device, trunks too, in section TServer, that say how its audio is carried.
const (
	OptionSRTP      = "srtp"
	OptionWebRTC    = "webrtc"     // "true" or "false"; default: whether it registered over WebSocket
	OptionHoldAudio = "hold-audio" // what the one hears whom this device puts on hold
	OptionRecord    = "record"     // "true": its calls are recorded
)

// SRTP says whether a device encrypts its audio. Whoever offers to is answered so, whatever this says.
type SRTP string

// The ways.
const (
	SRTPOff      SRTP = ""         // it is offered plain RTP
	SRTPOptional SRTP = "optional" // it is offered plain RTP with keys, and may choose
	SRTPRequired SRTP = "required" // without encryption there is no call
)

// HoldAudio is what is heard on hold.
type HoldAudio string

// The choices.
const (
	HoldMusic   HoldAudio = "" // music of the platform
	HoldOwn     HoldAudio = "own"
	HoldSilence HoldAudio = "silence"
)

// AudioOptions is what the options of a device mean for its audio.
type AudioOptions struct {
	SRTP   SRTP
	Hold   HoldAudio
	WebRTC *bool // nil = as it registered
	Record bool
}

// ParseAudioOptions reads them, and says of each that cannot be what is wrong.
func ParseAudioOptions(o map[string]string) (AudioOptions, []FieldError) {
	var a AudioOptions
	var bad []FieldError
	wrong := func(name, want string) {
		bad = append(bad, FieldError{Field: name, Reason: fmt.Sprintf("%.64q is not %s", o[name], want)})
	}
	switch v := o[OptionSRTP]; v {
	case "", "off":
	case string(SRTPOptional), string(SRTPRequired):
		a.SRTP = SRTP(v)
	default:
		wrong(OptionSRTP, "off, optional or required")
	}
	switch v := o[OptionHoldAudio]; v {
	case "", "music":
	case string(HoldOwn), string(HoldSilence):
		a.Hold = HoldAudio(v)
	default:
		wrong(OptionHoldAudio, "music, own or silence")
	}
	switch v := o[OptionWebRTC]; v {
	case "":
	case "true", "false":
		is := v == "true"
		a.WebRTC = &is
	default:
		wrong(OptionWebRTC, "true or false")
	}
	switch v := o[OptionRecord]; v {
	case "", "false":
	case "true":
		a.Record = true
	default:
		wrong(OptionRecord, "true or false")
	}
	return a, bad
}
