package sipua

import (
	"bytes"
	"encoding/base64"
	"net/netip"

	"parley/internal/sipua/transport"
)

// Pass is what one front door tells another of a request it gives to it. It is the topmost Route of that request, is
// signed like a flow, and is good for one Call-ID only. Nobody outside the cluster ever sees one: the front door that gets it
// takes it off.
type Pass struct {
	From, To  string              // nodes
	Transport transport.Transport // how the request reached From
	Source    netip.AddrPort      // from whom; invalid when the SIP node of From sent it, to a phone at To
}

// FromNode tells whether a SIP node made the request, and no phone.
func (p Pass) FromNode() bool { return !p.Source.IsValid() }

const (
	passVersion = 2
	passPrefix  = "Ag" // what base64 makes of a first byte 2 and a second below 16
)

// EncodePass writes p for a request with that Call-ID; names must be shorter than 256 bytes.
func (t *Tokens) EncodePass(p Pass, callID []byte) string {
	b := make([]byte, 0, 96)
	b = append(b, passVersion, byte(transportIndex(p.Transport)))
	for _, s := range []string{p.From, p.To} {
		s = s[:min(len(s), maxName)]
		b = append(append(b, byte(len(s))), s...)
	}
	b = appendAddr(b, p.Source)
	return base64.RawURLEncoding.EncodeToString(append(b, t.macWith(b, callID)...))
}

// DecodePass reads a pass for a request with that Call-ID; ErrToken for anything that was not made by EncodePass with the same
// key and Call-ID. What is no pass is known at once.
func (t *Tokens) DecodePass(token, callID []byte) (Pass, error) {
	if !bytes.HasPrefix(token, []byte(passPrefix)) {
		return Pass{}, ErrToken
	}
	b, mac, ok := open(token)
	if !ok || b[0] != passVersion || int(b[1]) >= len(transports) || !t.signed(b, callID, mac) {
		return Pass{}, ErrToken
	}
	p := Pass{Transport: transports[b[1]]}
	if b, ok = cutNames(b[2:], &p.From, &p.To); !ok {
		return Pass{}, ErrToken
	}
	if p.Source, b, ok = cutAddr(b); !ok || len(b) != 0 {
		return Pass{}, ErrToken
	}
	return p, nil
}
