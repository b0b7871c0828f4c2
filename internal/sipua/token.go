package sipua

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash"
	"net/netip"
	"slices"
	"sync"

	"parley/internal/sipua/transport"
)

// Flow is a way to a phone and the SIP node of the dialog that uses it.
type Flow struct {
	Door      string              // node whose front door holds the flow
	Transport transport.Transport //
	ID        string              // the connection there; "" for UDP
	Local     netip.AddrPort      // UDP: the address it is reached from, so that its NAT lets us in
	Remote    netip.AddrPort      // where it is
	Node      string              // SIP node of the dialog; "" when there is none yet

	// Of a connection that the door opens itself (ID is "", Transport tcp or tls):
	Name       string // what the certificate must say; "" = the address
	Unverified bool   // whatever the certificate says
}

// ErrToken is returned for everything that is no token of ours.
var ErrToken = errors.New("sipua: no valid flow token")

// Tokens writes flows as the user part of a Route URI (RFC 5626 §5.2) and reads them back. A token is signed with a key that only
// the nodes of the cluster have, so that the front door sends where a node or it itself said, and is no relay for
// anybody else. It holds no secret: whoever sees it learns the address of a phone and the names of two nodes, and a
// phone sees its own only.
//
// A Tokens is safe for use by many goroutines.
type Tokens struct{ macs sync.Pool } // of hash.Hash with the key, whose own work for the key is half of that of a token

// NewTokens returns a Tokens for the cluster's key (contract.ClusterSecret of [TokenSecret]).
func NewTokens(key []byte) *Tokens {
	key = append([]byte(nil), key...)
	return &Tokens{macs: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// TokenSecret names the cluster secret that flow tokens are signed with.
const TokenSecret = "flow-token"

const (
	tokenVersion = 3    // 2 is that of a pass
	unverified   = 0x80 // bit of the byte of the transport
	macSize      = 10   // bytes of the signature; 80 bits are out of reach for somebody who must ask us for each guess
	maxName      = 255
)

var transports = []transport.Transport{transport.UDP, transport.TCP, transport.TLS, transport.WS, transport.WSS}

// Encode writes f; its names must be shorter than 256 bytes.
func (t *Tokens) Encode(f Flow) string {
	b := make([]byte, 0, 96)
	b = append(b, tokenVersion, byte(transportIndex(f.Transport)))
	if f.Unverified {
		b[1] |= unverified
	}
	for _, s := range []string{f.Door, f.ID, f.Node, f.Name} {
		s = s[:min(len(s), maxName)]
		b = append(append(b, byte(len(s))), s...)
	}
	b = appendAddr(appendAddr(b, f.Remote), f.Local)
	return base64.RawURLEncoding.EncodeToString(append(b, t.macWith(b, nil)...))
}

func transportIndex(t transport.Transport) int { return max(slices.Index(transports, t), 0) }

// Decode reads a token; ErrToken for anything that was not made by Encode with the same key.
func (t *Tokens) Decode(token []byte) (Flow, error) {
	b, mac, ok := open(token)
	if !ok || b[0] != tokenVersion || int(b[1]&^unverified) >= len(transports) || !t.signed(b, nil, mac) {
		return Flow{}, ErrToken
	}
	f := Flow{Transport: transports[b[1]&^unverified], Unverified: b[1]&unverified != 0}
	if b, ok = cutNames(b[2:], &f.Door, &f.ID, &f.Node, &f.Name); !ok {
		return Flow{}, ErrToken
	}
	var ok2 bool
	f.Remote, b, ok = cutAddr(b)
	f.Local, b, ok2 = cutAddr(b)
	if !ok || !ok2 || len(b) != 0 {
		return Flow{}, ErrToken
	}
	return f, nil
}

// open takes a token apart: what it says, at least two bytes, and its signature.
func open(token []byte) (b, mac []byte, ok bool) {
	b = make([]byte, base64.RawURLEncoding.DecodedLen(len(token)))
	n, err := base64.RawURLEncoding.Strict().Decode(b, token)
	if err != nil || n < macSize+2 || bytes.ContainsAny(token, "\r\n") { // the decoder passes over line breaks
		return nil, nil, false
	}
	return b[:n-macSize], b[n-macSize : n], true
}

func (t *Tokens) signed(b, with, mac []byte) bool { return hmac.Equal(mac, t.macWith(b, with)) }

// macWith signs b together with something that is not in the token.
func (t *Tokens) macWith(b, with []byte) []byte {
	h := t.macs.Get().(hash.Hash)
	defer t.macs.Put(h)
	h.Reset()
	h.Write(b)
	h.Write(with)
	return h.Sum(nil)[:macSize]
}

// cutNames reads strings that have their length before them.
func cutNames(b []byte, names ...*string) (rest []byte, ok bool) {
	for _, s := range names {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return nil, false
		}
		*s, b = string(b[1:1+b[0]]), b[1+b[0]:]
	}
	return b, true
}

// appendAddr writes length, address and port; length 0 is no address.
func appendAddr(b []byte, a netip.AddrPort) []byte {
	raw := a.Addr().WithZone("").AsSlice()
	b = append(append(b, byte(len(raw))), raw...)
	if len(raw) == 0 {
		return b
	}
	return binary.BigEndian.AppendUint16(b, a.Port())
}

func cutAddr(b []byte) (a netip.AddrPort, rest []byte, ok bool) {
	if len(b) > 0 && b[0] == 0 {
		return a, b[1:], true
	}
	if len(b) == 0 || len(b) < 1+int(b[0])+2 {
		return a, nil, false
	}
	ip, ok := netip.AddrFromSlice(b[1 : 1+b[0]])
	b = b[1+b[0]:]
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b)), b[2:], ok
}
