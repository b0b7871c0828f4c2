package secure

import "fmt"

// Setup is who begins a handshake, as a=setup has it (RFC 4145 §4, RFC 5763 §5).
type Setup string

// The roles that matter here.
const (
	ActPass Setup = "actpass" // either; what an offer says
	Active  Setup = "active"
	Passive Setup = "passive"
)

// AnswerSetup is our role when the peer offers theirs: we let the peer begin if it will, since a peer behind a NAT is
// reached only after it spoke. RFC 5763 would rather have the answerer active, and allows both.
func AnswerSetup(offered Setup) (Setup, error) {
	switch offered {
	case ActPass, Active:
		return Passive, nil
	case Passive:
		return Active, nil
	}
	return "", fmt.Errorf("a=setup:%.20s in an offer: want actpass, active or passive", offered)
}

// AcceptSetup is our role when we offered actpass.
func AcceptSetup(answered Setup) (Setup, error) {
	switch answered {
	case Active:
		return Passive, nil
	case Passive:
		return Active, nil
	}
	return "", fmt.Errorf("a=setup:%.20s in an answer: want active or passive", answered)
}

// Terms are what both sides said about DTLS and ICE in one offer and answer.
type Terms struct {
	Setup         Setup         // ours, [Active] or [Passive]
	Fingerprints  []Fingerprint // of the peer's certificate, which must match one
	Local, Remote Credentials   // of ICE; zero when the peer has none
}

func (t Terms) ice() bool { return t.Local.Ufrag != "" && t.Remote.Ufrag != "" }
