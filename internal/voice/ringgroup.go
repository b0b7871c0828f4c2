package voice

// RingGroup is a number whose calls ring at several extensions.
type RingGroup struct {
	Strategy    RingStrategy `json:"strategy,omitempty"`     // default simultaneous
	Members     []RingMember `json:"members"`                // in the order in which they are called
	RingSeconds int          `json:"ring_seconds,omitempty"` // all of them at once, or each that has no time of its own; 0 = the node's default
	RingBusy    bool         `json:"ring_busy,omitempty"`    // those in a call ring, too; else they are passed over
	Overflow    string       `json:"overflow,omitempty"`     // number to go to when nobody answers, or voicemail:MAILBOX; "" = the call ends
}

// RingMember is an extension of a ring group.
type RingMember struct {
	DN      string `json:"dn"`
	Weight  int    `json:"weight,omitempty"`  // least-loaded: so many calls weigh as much as one of another; default 1
	Seconds int    `json:"seconds,omitempty"` // it rings when called in turn; 0 = as the group says
}

// RingStrategy is how the members of a group are called.
type RingStrategy string

// The strategies.
const (
	RingSimultaneous RingStrategy = "simultaneous" // all at once; the first who answers has the call
	RingSequential   RingStrategy = "sequential"   // one after the other, in order
	RingLeastLoaded  RingStrategy = "least-loaded" // one after the other: fewest calls first, of those who is free for longest
)
