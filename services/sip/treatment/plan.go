package treatment

import (
	"time"

	"parley/internal/voice"
)

// Plan is what a treatment comes to.
type Plan struct {
	Type     voice.TreatmentType
	Language string        // of prompts; "" = the platform's
	Music    string        // name of the music of Music; "" = music on hold
	Duration time.Duration // of Music and the tones; 0 = until the next treatment
	Say      []Piece       // of announcements
	Collect  *Rules        // nil = no digits are asked for
	Record   *Recording    // of RecordUserAnnouncement
	Clear    bool          // keys pressed before do not count
}

// Piece is a part of an announcement. Exactly one of Prompt, Digits, Text and User is set.
type Piece struct {
	Interruptable bool   // a key ends it
	Prompt        string // name in the library of prompts
	Digits        string // a number that is spoken; its first digit says how
	Text          string // said if there is a prompt of exactly these words
	User          string // whose recording
	Announcement  string // which of his
}

// Recording says how a user's announcement is recorded.
type Recording struct {
	User  string
	Abort string // keys that end it and keep nothing
	Term  string // keys that end it
	Start time.Duration
	Total time.Duration
}

// Continuous tells whether the treatment lasts until the next one, without an EventTreatmentEnd.
func (p *Plan) Continuous() bool {
	switch p.Type {
	case voice.TreatmentMusic, voice.TreatmentRingBack, voice.TreatmentSilence, voice.TreatmentBusy, voice.TreatmentFastBusy:
		return p.Duration == 0
	}
	return false
}

// Interruptable tells whether a key ends the announcement before its pieces from index i on have been heard: those up to
// the next that must be heard are skipped. It returns the index to go on with; len(p.Say) = none is left.
func (p *Plan) Interruptable(i int) (next int, ok bool) {
	if i >= len(p.Say) || !p.Say[i].Interruptable {
		return i, false
	}
	for i < len(p.Say) && p.Say[i].Interruptable {
		i++
	}
	return i, true
}

// Why an announcement was not heard to its end, the INTERRUPTED of EventTreatmentEnd.
const (
	InterruptedNo     = "NO"
	InterruptedKeypad = "KEYPAD"
)

// Keys of Extensions of EventTreatmentEnd.
const (
	KeyInterrupted  = "INTERRUPTED"
	KeyCompletion   = "COMPLETION_STATUS"
	KeyAnnouncement = "USER_ANN_ID"
	KeyUser         = "USER_ID"
	KeyLength       = "LENGTH" // of a recording, in seconds
)
