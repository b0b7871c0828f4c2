package transport

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// A phone behind a NAT may keep its binding open with STUN on the SIP port (RFC 5626 §4.4.2). This is as much of
// RFC 5389 as that needs: Binding requests without credentials, answered with where they came from.

const (
	stunHeader      = 20
	stunCookie      = 0x2112A442
	stunFingerXOR   = 0x5354554e
	stunBinding     = 0x0001
	stunSuccess     = 0x0101
	stunFailure     = 0x0111
	stunErrorCode   = 0x0009
	stunUnknown     = 0x000a
	stunXORMapped   = 0x0020
	stunFingerprint = 0x8028
	// stunMaxUnknown bounds what an answer lists, so that it is never longer than the request by more than the address.
	stunMaxUnknown = 8
)

// isSTUN tells whether a datagram is STUN rather than SIP: two zero bits and the magic cookie (RFC 5389 §6, §8).
func isSTUN(b []byte) bool {
	return len(b) >= stunHeader && b[0]&0xc0 == 0 && binary.BigEndian.Uint32(b[4:]) == stunCookie
}

// stunRequest is what we need to know of a Binding request.
type stunRequest struct {
	id          [12]byte
	unknown     []uint16 // attributes that must be understood and are not
	fingerprint bool
}

// parseSTUN reads a Binding request; ok is false for any other message and for a broken one.
func parseSTUN(b []byte) (r stunRequest, ok bool) {
	if !isSTUN(b) || binary.BigEndian.Uint16(b) != stunBinding || int(binary.BigEndian.Uint16(b[2:])) != len(b)-stunHeader {
		return r, false
	}
	copy(r.id[:], b[8:stunHeader])
	for rest := b[stunHeader:]; len(rest) > 0; {
		if len(rest) < 4 || r.fingerprint { // the fingerprint is the last attribute
			return r, false
		}
		kind, size := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		padded := 4 + (size+3)&^3
		if padded > len(rest) {
			return r, false
		}
		switch {
		case kind == stunFingerprint:
			sum := crc32.ChecksumIEEE(b[:len(b)-len(rest)]) ^ stunFingerXOR
			if size != 4 || binary.BigEndian.Uint32(rest[4:]) != sum {
				return r, false
			}
			r.fingerprint = true
		case kind < 0x8000 && len(r.unknown) < stunMaxUnknown: // must be understood (RFC 5389 §15), and none is
			r.unknown = append(r.unknown, kind)
		}
		rest = rest[padded:]
	}
	return r, true
}

// appendSTUNAnswer appends the answer to r, which came from an address.
func appendSTUNAnswer(b []byte, r stunRequest, from netip.AddrPort) []byte {
	start := len(b)
	kind := uint16(stunSuccess)
	if len(r.unknown) > 0 {
		kind = stunFailure
	}
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, 0) // the length, set below
	b = binary.BigEndian.AppendUint32(b, stunCookie)
	b = append(b, r.id[:]...)
	if kind == stunSuccess {
		b = appendXORMapped(b, r.id, from)
	} else {
		b = appendUnknown(b, r.unknown)
	}
	length := func(extra int) {
		binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start-stunHeader+extra))
	}
	length(0)
	if r.fingerprint {
		length(8) // the sum covers a length that counts the fingerprint itself (RFC 5389 §15.5)
		sum := crc32.ChecksumIEEE(b[start:]) ^ stunFingerXOR
		b = binary.BigEndian.AppendUint16(b, stunFingerprint)
		b = binary.BigEndian.AppendUint16(b, 4)
		b = binary.BigEndian.AppendUint32(b, sum)
	}
	return b
}

// appendXORMapped appends XOR-MAPPED-ADDRESS (RFC 5389 §15.2).
func appendXORMapped(b []byte, id [12]byte, from netip.AddrPort) []byte {
	family, ip := byte(1), from.Addr().AsSlice()
	if len(ip) == 16 {
		family = 2
	}
	b = binary.BigEndian.AppendUint16(b, stunXORMapped)
	b = binary.BigEndian.AppendUint16(b, uint16(4+len(ip)))
	b = append(b, 0, family)
	b = binary.BigEndian.AppendUint16(b, from.Port()^stunCookie>>16)
	key := append(binary.BigEndian.AppendUint32(nil, stunCookie), id[:]...)
	for i, c := range ip {
		b = append(b, c^key[i])
	}
	return b
}

// appendUnknown appends ERROR-CODE 420 and the attributes it is about (RFC 5389 §7.3.1).
func appendUnknown(b []byte, unknown []uint16) []byte {
	b = binary.BigEndian.AppendUint16(b, stunErrorCode)
	b = binary.BigEndian.AppendUint16(b, 4)
	b = append(b, 0, 0, 4, 20)
	b = binary.BigEndian.AppendUint16(b, stunUnknown)
	b = binary.BigEndian.AppendUint16(b, uint16(2*len(unknown)))
	for _, u := range unknown {
		b = binary.BigEndian.AppendUint16(b, u)
	}
	if len(unknown)%2 != 0 {
		b = append(b, 0, 0) // attributes are padded to four bytes
	}
	return b
}

// answerSTUN answers a datagram that isSTUN.
func (u *udpSocket) answerSTUN(f Flow, b []byte) {
	st := &u.set.stats[UDP.index()]
	r, ok := parseSTUN(b)
	if !ok {
		st.drop(dropSTUN)
		return
	}
	u.set.stun.Add(1)
	if err := u.send(appendSTUNAnswer(make([]byte, 0, 96), r, f.remote), f.local, f.remote); err != nil {
		u.set.faults.log(u.set.log, "STUN answer failed", "err", err)
	}
}
