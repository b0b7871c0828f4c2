// Package dtmf is the keys of a phone, in the ways in which they come and go: telephone-events in RTP (RFC 4733), by
// [Reader] and [Writer]; bodies of SIP INFO, by [ParseInfo]; and the two tones of a key in the sound itself, by [Detector] and
// [Sound].
//
// State: a Reader remembers one event of one stream, a Writer the keys that wait, [MaxQueue] at most, a Detector its filters,
// 1.5 KB. Concurrency: none. Each belongs to one stream, whose lock guards it. None of them allocates on a packet or frame.
//
// A key is told once, when it is over, whichever way it came. Where keys come as events and are heard in the sound as well,
// one of the two must be left alone: whoever negotiated telephone-events should not listen for tones.
//
// Limits: of the events of RFC 4733 the sixteen keys have a [Digit.Key]; all others (flash, tones of modems) are told with
// their code alone. A packet that carries several events one after the other (RFC 4733 §2.5.1.5) is read up to its first.
package dtmf

import (
	"strings"
	"time"
)

// Encoding is the name of telephone-events in SDP.
const Encoding = "telephone-event"

// Keys are the keys of a phone, each at the place of its event code (RFC 4733 §3.2).
const Keys = "0123456789*#ABCD"

// Digit is one press of a key, or another event.
type Digit struct {
	Key      byte          // '0' to '9', '*', '#', 'A' to 'D'; 0 for an event that is no key, such as a flash
	Event    uint8         // its code
	Duration time.Duration // how long it was held
}

// event returns the code of a key; letters may be small.
func event(key byte) (uint8, bool) {
	if key >= 'a' && key <= 'd' {
		key -= 'a' - 'A'
	}
	i := strings.IndexByte(Keys, key)
	return uint8(i), i >= 0
}

// digit is what an event is to those who wait for keys.
func digit(event uint8, duration time.Duration) Digit {
	d := Digit{Event: event, Duration: duration}
	if int(event) < len(Keys) {
		d.Key = Keys[event]
	}
	return d
}
