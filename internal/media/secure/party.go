package secure

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
)

// Guard is what a leg puts before the wire; package media says what its methods are for.
type Guard interface {
	Handle(b []byte, from netip.AddrPort, reply func(b []byte, to netip.AddrPort))
	Protect(dst, packet []byte, rtcp bool) ([]byte, error)
	Unprotect(dst, packet []byte, rtcp bool) ([]byte, error)
	Peer() netip.AddrPort
	Close()
}

// Way is how the keys of a leg are agreed on.
type Way uint8

// The ways.
const (
	Plain     Way = iota // not encrypted
	Told                 // both sides tell theirs in SDP (SDES)
	Handshake            // between the peers (DTLS)
)

// Said is what a description says about keys, and with ICE about the path: values that stand behind "a=crypto:" and so on.
// It holds secrets, and hides all of itself from every verb of fmt.
type Said struct {
	Crypto       []string // in order
	Fingerprints []string
	Setup        Setup
	Ufrag, Pwd   string // of ICE, "" without
}

// String hides what was said.
func (Said) String() string { return hidden }

// Format hides what was said.
func (Said) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// errUnoffered is an answer to what was not offered.
var errUnoffered = errors.New("an answer without an offer of ours")

// Party agrees with one peer on how its leg is guarded, over all offers and answers of a call, whoever makes them. What
// stays the same in a re-INVITE keeps its keys, its guard and its rollover counters. One goroutine at a time uses it. A guard
// is the leg's, which closes it; the party goes on to change it until it returns another.
type Party struct {
	identity *Identity
	outcome  func(error)

	offered       []Crypto    // by us, last
	local, remote Crypto      // keys in use, zero without
	ours, theirs  Credentials // of ICE, zero without
	sdes          *SDES       // at most one of the two guards
	dtls          *DTLS
}

// NewParty makes a party that has agreed on nothing. outcome, which may be nil, is told how each handshake ended.
func NewParty(identity *Identity, outcome func(error)) *Party {
	return &Party{identity: identity, outcome: outcome}
}

// Offer is what we offer. Keys that are in use are offered again, alone; ICE is of use with a handshake only.
func (p *Party) Offer(way Way, ice bool) Said {
	switch way {
	case Told:
		if p.offered = Offer(); p.sdes != nil {
			p.offered = []Crypto{p.local}
		}
		var said Said
		for _, c := range p.offered {
			said.Crypto = append(said.Crypto, c.Attribute())
		}
		return said
	case Handshake:
		return p.sayHandshake(ActPass, ice)
	}
	return Said{}
}

// sayHandshake is our side of DTLS and ICE.
func (p *Party) sayHandshake(s Setup, ice bool) Said {
	said := Said{Fingerprints: []string{p.identity.Fingerprint().String()}, Setup: s}
	if ice {
		if p.ours.Ufrag == "" {
			p.ours = NewCredentials()
		}
		said.Ufrag, said.Pwd = p.ours.Ufrag, p.ours.pwd
	}
	return said
}

// Answer takes what the peer offered, and returns what we answer and the guard from now on, nil for none. After an error all
// is as it was.
func (p *Party) Answer(way Way, theirs Said) (ours Said, guard Guard, err error) {
	switch way {
	case Told:
		remote, local, err := Choose(theirs.Crypto)
		if err != nil {
			return Said{}, nil, err
		}
		if p.sdes != nil && p.local.Suite == remote.Suite {
			local.Key = p.local.Key
		}
		guard, err := p.guardTold(local, remote)
		return Said{Crypto: []string{local.Attribute()}}, guard, err
	case Handshake:
		role, err := p.role(theirs.Setup)
		if err != nil {
			return Said{}, nil, err
		}
		before := p.ours
		if theirs.Ufrag != p.theirs.Ufrag || theirs.Pwd != p.theirs.pwd {
			p.ours = Credentials{} // ICE starts, or starts again (RFC 8445 §9)
		}
		said := p.sayHandshake(role, theirs.Ufrag != "")
		guard, err := p.guardHandshake(role, theirs)
		if err != nil {
			p.ours = before
			return Said{}, nil, err
		}
		return said, guard, nil
	}
	return Said{}, p.guardNone(), nil
}

// role is ours when the peer offers theirs: the one that we have, where it allows that.
func (p *Party) role(offered Setup) (Setup, error) {
	role, err := AnswerSetup(offered)
	if err == nil && p.dtls != nil && offered == ActPass {
		role = p.dtls.setup()
	}
	return role, err
}

// Accept takes the peer's answer to our last offer, or another one of somebody else who got the same offer, and returns the
// guard from now on. After an error all is as it was.
func (p *Party) Accept(way Way, theirs Said) (Guard, error) {
	switch way {
	case Told:
		if len(theirs.Crypto) != 1 {
			return nil, fmt.Errorf("an answer with %d lines of a=crypto, want one: %w", len(theirs.Crypto), errCrypto)
		}
		local, remote, err := Accept(p.offered, theirs.Crypto[0])
		if err != nil {
			return nil, err
		}
		return p.guardTold(local, remote)
	case Handshake:
		role, err := AcceptSetup(theirs.Setup)
		if err != nil {
			return nil, err
		}
		if theirs.Ufrag != "" && p.ours.Ufrag == "" {
			return nil, fmt.Errorf("ICE: %w", errUnoffered)
		}
		return p.guardHandshake(role, theirs)
	}
	return p.guardNone(), nil
}

func (p *Party) guardNone() Guard {
	p.sdes, p.dtls, p.local, p.remote = nil, nil, Crypto{}, Crypto{}
	return nil
}

func (p *Party) guardTold(local, remote Crypto) (Guard, error) {
	var err error
	if p.sdes == nil {
		p.sdes, err = NewSDES(local, remote)
	} else {
		err = p.sdes.Agree(local, remote)
	}
	if err != nil {
		return nil, err
	}
	p.dtls, p.local, p.remote = nil, local, remote
	return p.sdes, nil
}

func (p *Party) guardHandshake(role Setup, theirs Said) (Guard, error) {
	t := Terms{Setup: role}
	var refused error
	for _, f := range theirs.Fingerprints {
		if f, err := ParseFingerprint(f); err == nil {
			t.Fingerprints = append(t.Fingerprints, f)
		} else {
			refused = errors.Join(refused, err)
		}
	}
	if len(t.Fingerprints) == 0 {
		return nil, errors.Join(fmt.Errorf("DTLS without a fingerprint that we can check: %w", ErrUnsupported), refused)
	}
	if theirs.Ufrag != "" {
		var err error
		if t.Remote, err = ParseCredentials(theirs.Ufrag, theirs.Pwd); err != nil {
			return nil, err
		}
		t.Local = p.ours
	}
	if p.dtls == nil || p.dtls.Agree(t) != nil {
		d, err := NewDTLS(p.identity, t, p.outcome)
		if err != nil {
			return nil, err
		}
		p.dtls = d
	}
	p.sdes, p.local, p.remote, p.theirs = nil, Crypto{}, Crypto{}, t.Remote
	return p.dtls, nil
}

// Forget overwrites the keys that the party knows. The guard has its own.
func (p *Party) Forget() {
	p.local.Key.Wipe()
	p.remote.Key.Wipe()
	for i := range p.offered {
		p.offered[i].Key.Wipe()
	}
	p.offered, p.ours, p.theirs = slices.Clip(p.offered[:0]), Credentials{}, Credentials{}
}

// setup is our role.
func (d *DTLS) setup() Setup {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.terms.Setup
}
