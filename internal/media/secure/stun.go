package secure

import (
	"crypto/hmac"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"net/netip"
)

// What a lite agent has to know of STUN (RFC 8489): one request, and two kinds of answer to it.

const (
	stunHeader = 20 // bytes: type, length, cookie, transaction
	stunCookie = 0x2112A442
	stunMax    = 1280 // bytes; a check of ICE has about 120

	bindingRequest = 0x0001
	bindingSuccess = 0x0101
	bindingError   = 0x0111
)

// Attributes. A receiver must know those below 0x8000 (RFC 8489 §14).
const (
	attrUsername       = 0x0006
	attrIntegrity      = 0x0008
	attrErrorCode      = 0x0009
	attrUnknown        = 0x000A
	attrXORMapped      = 0x0020
	attrPriority       = 0x0024
	attrUseCandidate   = 0x0025
	attrFingerprint    = 0x8028
	attrICEControlled  = 0x8029
	attrICEControlling = 0x802A

	mustUnderstand = 0x8000 // attributes below it

	integritySize   = 20         // HMAC-SHA1
	fingerprintSize = 4          // CRC-32
	fingerprintXOR  = 0x5354554E // "STUN"
	maxUnknown      = 4          // attributes named in an answer
)

// check is a binding request as ICE sends it (RFC 8445 §7.2.2). The slices are of the datagram.
type check struct {
	transaction []byte
	username    []byte
	signed      []byte // what the integrity is over, but for the length in its header
	integrity   []byte
	priority    uint32
	nominates   bool // USE-CANDIDATE
	controlled  bool // the peer has the role that is ours
	unknown     [maxUnknown]uint16
	unknowns    int
}

// read takes a datagram apart and tells whether it is a check: a binding request with a right fingerprint, a name, and
// an integrity whose worth is still to be found out. It costs a stranger's datagram no more than its checksum.
func (c *check) read(b []byte) bool {
	*c = check{}
	if len(b) < stunHeader || len(b) > stunMax || len(b)%4 != 0 ||
		binary.BigEndian.Uint16(b) != bindingRequest || int(binary.BigEndian.Uint16(b[2:])) != len(b)-stunHeader ||
		binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return false
	}
	c.transaction = b[8:stunHeader]
	printed := false
	for at := stunHeader; at < len(b); {
		kind, size := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		value := at + 4
		next := value + (size+3)&^3
		if next > len(b) {
			return false
		}
		switch {
		case kind == attrFingerprint:
			printed = next == len(b) && size == fingerprintSize && binary.BigEndian.Uint32(b[value:]) == fingerprint(b[:at])
			if !printed {
				return false
			}
		case c.integrity != nil: // what stands behind the integrity is nobody's word (RFC 8489 §14.5)
		case kind == attrIntegrity:
			if size != integritySize {
				return false
			}
			c.signed, c.integrity = b[:at], b[value:next]
		default:
			c.attribute(kind, b[value:value+size])
		}
		at = next
	}
	return printed && c.integrity != nil && c.username != nil
}

func (c *check) attribute(kind uint16, value []byte) {
	switch kind {
	case attrUsername:
		c.username = value
	case attrPriority:
		if len(value) == 4 {
			c.priority = binary.BigEndian.Uint32(value)
		}
	case attrUseCandidate:
		c.nominates = true
	case attrICEControlled:
		c.controlled = true
	case attrICEControlling:
	default:
		if kind < mustUnderstand && c.unknowns < maxUnknown {
			c.unknown[c.unknowns] = kind
			c.unknowns++
		}
	}
}

func fingerprint(b []byte) uint32 { return crc32.ChecksumIEEE(b) ^ fingerprintXOR }

// signature is the MESSAGE-INTEGRITY of what stands before it (RFC 8489 §14.5), appended to dst. The length in the header is
// the one that the message has when it ends behind the attribute.
func signature(mac hash.Hash, before, dst []byte) []byte {
	var header [stunHeader]byte
	copy(header[:], before)
	binary.BigEndian.PutUint16(header[2:], uint16(len(before)-stunHeader+4+integritySize))
	mac.Reset()
	_, _ = mac.Write(header[:]) // a hash takes everything
	_, _ = mac.Write(before[stunHeader:])
	return mac.Sum(dst)
}

// genuine tells whether a check is signed with the password in mac.
func (c *check) genuine(mac hash.Hash) bool {
	var sum [integritySize]byte
	return hmac.Equal(signature(mac, c.signed, sum[:0]), c.integrity)
}

// begin starts an answer to the check.
func (c *check) begin(dst []byte, kind uint16) []byte {
	dst = binary.BigEndian.AppendUint16(dst[:0], kind)
	dst = append(dst, 0, 0) // the length, see finish
	dst = binary.BigEndian.AppendUint32(dst, stunCookie)
	return append(dst, c.transaction...)
}

// success answers that a check came, from where (RFC 8489 §14.2).
func (c *check) success(dst []byte, from netip.AddrPort) []byte {
	const familyV4, familyV6 = 1, 2
	dst = c.begin(dst, bindingSuccess)
	addr := from.Addr().Unmap()
	family, size := byte(familyV6), 16
	if addr.Is4() {
		family, size = familyV4, 4
	}
	dst = appendAttribute(dst, attrXORMapped, 4+size)
	dst = append(dst, 0, family)
	dst = binary.BigEndian.AppendUint16(dst, from.Port()^stunCookie>>16)
	mask := dst[4:stunHeader] // cookie and transaction
	if addr.Is4() {
		a := addr.As4()
		for i := range a {
			dst = append(dst, a[i]^mask[i])
		}
		return dst
	}
	a := addr.As16()
	for i := range a {
		dst = append(dst, a[i]^mask[i])
	}
	return dst
}

// Errors that a check may be answered with.
const (
	unknownAttribute = 420 // RFC 8489 §14.8
	roleConflict     = 487 // RFC 8445 §7.3.1.1
)

func (c *check) refuse(dst []byte, code int) []byte {
	dst = c.begin(dst, bindingError)
	dst = appendAttribute(dst, attrErrorCode, 4)
	dst = append(dst, 0, 0, byte(code/100), byte(code%100))
	if code == unknownAttribute {
		dst = appendAttribute(dst, attrUnknown, 2*c.unknowns)
		for _, u := range c.unknown[:c.unknowns] {
			dst = binary.BigEndian.AppendUint16(dst, u)
		}
		for len(dst)%4 != 0 {
			dst = append(dst, 0)
		}
	}
	return dst
}

// finish signs an answer.
func finish(mac hash.Hash, b []byte) []byte {
	var sum [integritySize]byte
	signature(mac, b, sum[:0])
	b = append(appendAttribute(b, attrIntegrity, integritySize), sum[:]...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-stunHeader+4+fingerprintSize))
	sumCRC := fingerprint(b)
	return binary.BigEndian.AppendUint32(appendAttribute(b, attrFingerprint, fingerprintSize), sumCRC)
}

func appendAttribute(dst []byte, kind uint16, size int) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(dst, kind), uint16(size))
}
