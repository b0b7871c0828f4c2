package sip

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"parley/internal/media"
	"parley/internal/media/sdp"
	"parley/internal/media/secure"
	"parley/internal/voice"
)

// keys are what protects the audio of one side, by what both say about it.
type keys struct {
	party *secure.Party // nil: nothing was said yet
	lines *secure.Said  // keys that are offered; the same to all phones that ring, since one leg waits for them
	told  bool          // keys from SDP are in use
	shook func(error)   // told how each handshake ended, from any goroutine
}

// Why a side is not talked with.
var (
	errMustEncrypt = errors.New("this device has to encrypt its audio, and did not offer to")
	errPlainAnswer = errors.New("encrypted audio was offered, and the answer is without")
	errNoKeys      = errors.New("encrypted audio without keys that could be used")
)

func (k *keys) with(id *secure.Identity) *secure.Party {
	if k.party == nil {
		k.party = secure.NewParty(id, k.shook)
	}
	return k.party
}

// offer puts what an offer of a profile needs into t. RTP/AVP gets keys, too, if the device may encrypt: many phones that can
// do both want it so.
func (k *keys) offer(t *sdp.Terms, d device, id *secure.Identity) {
	switch t.Profile {
	case sdp.SAVP, sdp.SAVPF:
		say(t, k.offerLines(id))
	case sdp.AVP, sdp.AVPF:
		if d.srtp == voice.SRTPOptional || k.told {
			say(t, k.offerLines(id))
		} else {
			say(t, secure.Said{})
		}
	case sdp.DTLS, sdp.WebRTC:
		t.Mux = true
		say(t, k.with(id).Offer(secure.Handshake, true))
	}
}

func (k *keys) offerLines(id *secure.Identity) secure.Said {
	if k.lines == nil {
		said := k.with(id).Offer(secure.Told, false)
		k.lines = &said
	}
	return *k.lines
}

// say writes what we say about keys.
func say(t *sdp.Terms, s secure.Said) {
	t.Crypto, t.Fingerprint, t.Setup, t.Ufrag, t.Pwd, t.Candidate = s.Crypto, "", string(s.Setup), s.Ufrag, s.Pwd, ""
	if len(s.Fingerprints) > 0 {
		t.Fingerprint = s.Fingerprints[0]
	}
	if s.Ufrag != "" {
		t.Candidate = secure.Candidate(netip.AddrPortFrom(t.Addr, t.RTP), 1)
	}
}

// heard is what a side says about keys.
func heard(au *sdp.Audio) secure.Said {
	return secure.Said{Crypto: au.Crypto, Fingerprints: au.Fingerprints, Setup: secure.Setup(au.Setup), Ufrag: au.Ufrag, Pwd: au.Pwd}
}

// accept takes the answer to an offer of ours, and returns what guards the leg.
func (k *keys) accept(offered *sdp.Terms, au *sdp.Audio, id *secure.Identity) (media.Guard, error) {
	way := secure.Plain
	switch ways := au.Keys(); {
	case ways == sdp.Handshake && offered.Fingerprint != "":
		way = secure.Handshake
	case ways == sdp.Told && offered.Crypto != nil:
		way = secure.Told
	case offered.Profile.Encrypted():
		return nil, errPlainAnswer
	case au.Profile.Encrypted():
		return nil, errNoKeys
	case k.party == nil:
		return nil, nil
	}
	guard, err := k.with(id).Accept(way, heard(au))
	return k.use(way, guard, err)
}

// answer puts what answers an offer into t, and returns what guards the leg.
func (k *keys) answer(t *sdp.Terms, au *sdp.Audio, d device, id *secure.Identity) (media.Guard, error) {
	way := secure.Plain
	switch ways := au.Keys(); {
	case ways == sdp.Handshake:
		way = secure.Handshake
	case ways == sdp.Told && (au.Profile.Encrypted() || d.srtp != voice.SRTPOff):
		way = secure.Told
	case au.Profile.Encrypted():
		return nil, errNoKeys
	}
	if way == secure.Plain && k.party == nil {
		say(t, secure.Said{})
		return nil, nil
	}
	said, guard, err := k.with(id).Answer(way, heard(au))
	if way == secure.Told && err != nil && !au.Profile.Encrypted() && d.srtp != voice.SRTPRequired { // plain RTP is what the m= line says
		way = secure.Plain
		said, guard, err = k.party.Answer(way, secure.Said{})
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoKeys, err)
	}
	say(t, said)
	return k.use(way, guard, nil)
}

func (k *keys) use(way secure.Way, guard secure.Guard, err error) (media.Guard, error) {
	if err != nil || guard == nil {
		return nil, err // a nil guard of one kind is none of the other
	}
	k.told, k.lines = way == secure.Told, nil
	return guard, nil
}

// forget overwrites what is known of keys when the call is over; the leg has its own.
func (k *keys) forget() {
	if k.party != nil {
		k.party.Forget()
	}
}

// own is the format of a list that has the payload type of f.
func own(list []sdp.Format, f *sdp.Format) sdp.Format {
	if i := slices.IndexFunc(list, func(g sdp.Format) bool { return g.Type == f.Type }); i >= 0 {
		return list[i]
	}
	return *f
}
