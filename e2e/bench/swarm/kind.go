package swarm

// Kind is what becomes of a call.
type Kind int

// The kinds. The comment says what the caller hears in the end.
const (
	Mixed      Kind = iota // no kind: one by chance
	Answered               // 200; the caller hangs up
	HungUp                 // 200; the phone hangs up
	Abandoned              // 487, or 200 when the answer crosses with the CANCEL
	Busy                   // 486
	Unanswered             // 480
	Unknown                // 404: there is no such number
	Dead                   // an error: nobody is where the phone should be
	Twice                  // 200; each request of the caller comes several times
	NoAck                  // 200 and no ACK: the platform has to end it
	NoBye                  // 200, and the caller vanishes: the platform has to end it
	Stranger               // 407: no call, as the password is wrong
	kinds
)

func (k Kind) String() string {
	return [...]string{"mixed", "answered", "hung up by the phone", "abandoned", "busy", "unanswered", "unknown number", "dead phone",
		"everything twice", "no ACK", "no BYE", "wrong password"}[k]
}

// weights are how many of a hundred calls are of each kind.
var weights = [kinds]int{Answered: 37, HungUp: 15, Abandoned: 15, Busy: 8, Unanswered: 5, Unknown: 5, Dead: 2, Twice: 8, NoAck: 2, NoBye: 2, Stranger: 1}

// numbers are the numbers that a tenant needs, each with the user of its contact on the socket of the phones; "" is a number
// whose contact leads to Nowhere.
var numbers = map[string]string{"2000": talks, "2001": hangsUp, "2002": busy, "2003": rings, "2004": ""}

// Nowhere is an address where nobody is.
const Nowhere = "127.0.0.3:9"

// RingSeconds is how long 2003 and 2004 are to ring at most.
const RingSeconds = 2

// What phones do, by the user they are called as.
const (
	talks   = "talks"
	hangsUp = "hangs-up"
	busy    = "busy"
	rings   = "rings"
)

// number is what a call of a kind dials.
func (k Kind) number() string {
	switch k {
	case HungUp:
		return "2001"
	case Busy:
		return "2002"
	case Unanswered:
		return "2003"
	case Dead:
		return "2004"
	case Unknown:
		return "2999"
	}
	return "2000"
}
