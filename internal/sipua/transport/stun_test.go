package transport

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"net/netip"
	"testing"
)

// stunMessage makes a Binding request with attributes given as hex.
func stunMessage(t testing.TB, attributes string) []byte {
	t.Helper()
	attrs, err := hex.DecodeString(attributes)
	if err != nil {
		t.Fatal(err)
	}
	b := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	binary.BigEndian.PutUint16(b[2:], uint16(len(attrs)))
	return append(b, attrs...)
}

// withFingerprint appends FINGERPRINT.
func withFingerprint(b []byte) []byte {
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-stunHeader+8))
	sum := crc32.ChecksumIEEE(b) ^ stunFingerXOR
	return binary.BigEndian.AppendUint32(append(b, 0x80, 0x28, 0, 4), sum)
}

func TestSTUNOverUDP(t *testing.T) {
	for _, listen := range []string{"udp://127.0.0.1:0", "udp://[::1]:0"} {
		s := start(t, echoOptions(listen))
		c := dialUDP(t, at(t, s, UDP))
		for name, req := range map[string][]byte{
			"bare":             stunMessage(t, ""),
			"software":         stunMessage(t, "8022000370617200"), // optional: ignored
			"with fingerprint": withFingerprint(stunMessage(t, "")),
		} {
			c.Write(req)
			buf := make([]byte, 200)
			n, err := c.Read(buf)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got, want := mapped(t, buf[:n]), addrPort(c.LocalAddr()); got != want {
				t.Errorf("%s: mapped address %s, want %s", name, got, want)
			}
		}
		for _, bad := range [][]byte{
			stunMessage(t, "0001"), stunMessage(t, "000100ff00000000"), append(stunMessage(t, ""), 0),
			{0x01, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, // an answer
			stunMessage(t, "80280004deadbeef"),                                                // a wrong fingerprint
		} {
			c.Write(bad)
		}
		expectDropped(t, s, UDP, dropSTUN, 5)
		if n := s.stun.Load(); n != 3 {
			t.Errorf("answered %d, want 3", n)
		}
	}
}

// mapped reads the XOR-MAPPED-ADDRESS of an answer and checks the answer's frame.
func mapped(t *testing.T, b []byte) netip.AddrPort {
	t.Helper()
	if len(b) < 28 || binary.BigEndian.Uint16(b) != stunSuccess || int(binary.BigEndian.Uint16(b[2:])) != len(b)-stunHeader {
		t.Fatalf("answer % x", b)
	}
	attr := b[stunHeader:]
	size := int(binary.BigEndian.Uint16(attr[2:]))
	ip := make([]byte, size-4)
	for i := range ip {
		ip[i] = attr[8+i] ^ b[4+i]
	}
	if rest := attr[4+size:]; len(rest) > 0 {
		sum := crc32.ChecksumIEEE(b[:len(b)-8]) ^ stunFingerXOR
		if len(rest) != 8 || binary.BigEndian.Uint32(rest[4:]) != sum {
			t.Errorf("fingerprint % x, want % x", rest, sum)
		}
	}
	addr, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(attr[6:])^0x2112)
}

func TestSTUNUnknownAttributeIsRefused(t *testing.T) {
	r, ok := parseSTUN(stunMessage(t, "00060003616c6900"+"7fff0000")) // USERNAME and something new
	if !ok || len(r.unknown) != 2 {
		t.Fatalf("parseSTUN = %+v, %t", r, ok)
	}
	b := appendSTUNAnswer(nil, r, netip.MustParseAddrPort("192.0.2.1:5060"))
	want := "0111" + "0010" + "2112a442" + "0102030405060708090a0b0c" + "00090004" + "00000414" + "000a0004" + "00067fff"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
}

// RFC 5769 §2.2 and §2.3: the sample responses have these addresses.
func TestSTUNXORMappedSamples(t *testing.T) {
	id := [12]byte{0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae}
	for addr, want := range map[string]string{
		"192.0.2.1:32853": "002000080001a147e112a643",
		"[2001:db8:1234:5678:11:2233:4455:6677]:32853": "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9",
	} {
		if got := hex.EncodeToString(appendXORMapped(nil, id, netip.MustParseAddrPort(addr))); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

// FuzzSTUN: a value or a refusal, never a panic, and an answer never much longer than the request.
func FuzzSTUN(f *testing.F) {
	f.Add(stunMessage(f, ""))
	f.Add(withFingerprint(stunMessage(f, "8022000370617200")))
	f.Add(stunMessage(f, "00060003616c6900"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := parseSTUN(b)
		if !ok {
			return
		}
		if len(r.unknown)*4 > len(b) {
			t.Fatalf("%d attributes in %d bytes", len(r.unknown), len(b))
		}
		if a := appendSTUNAnswer(nil, r, netip.MustParseAddrPort("[2001:db8::1]:5060")); len(a) > len(b)+32 || len(a)%4 != 0 {
			t.Fatalf("an answer of %d bytes to %d", len(a), len(b))
		}
	})
}
