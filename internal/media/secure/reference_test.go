package secure

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/pion/rtp"
)

// What RFC 3711 and RFC 7714 say, written down a second time and as plainly as can be, to hold the guards to. The
// tests below hold it to the vectors of the RFCs, which are of session keys and so are out of reach from outside.

// sessionKeys are what a master key is turned into (RFC 3711 §4.3).
type sessionKeys struct{ key, salt, auth []byte }

// derive makes n bytes of a master key for one purpose.
func derive(t testing.TB, master, salt []byte, label byte, n int) []byte {
	t.Helper()
	iv := make([]byte, aes.BlockSize)
	copy(iv, salt)
	iv[7] ^= label
	return keystream(t, master, iv, make([]byte, n))
}

func keystream(t testing.TB, key, iv, data []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, len(data))
	cipher.NewCTR(block, iv).XORKeyStream(out, data)
	return out
}

// keysFor are the session keys of RTP.
func keysFor(t testing.TB, k Key) sessionKeys {
	t.Helper()
	return sessionKeys{derive(t, k.master(), k.salt(), 0, 16), derive(t, k.master(), k.salt(), 2, len(k.salt())), derive(t, k.master(), k.salt(), 1, 20)}
}

// protectCM is RFC 3711 §4.1.1 and §4.2 for a packet with a header of 12 bytes.
func protectCM(t testing.TB, k sessionKeys, packet []byte, roc uint32, tag int) []byte {
	t.Helper()
	iv := make([]byte, aes.BlockSize)
	copy(iv, k.salt)
	xor(iv[4:], packet[8:12]) // SSRC
	xor(iv[8:], binary.BigEndian.AppendUint32(nil, roc))
	xor(iv[12:], packet[2:4])
	out := append(bytes.Clone(packet[:12]), keystream(t, k.key, iv, packet[12:])...)
	mac := hmac.New(sha1.New, k.auth)
	mac.Write(out)
	mac.Write(binary.BigEndian.AppendUint32(nil, roc))
	return append(out, mac.Sum(nil)[:tag]...)
}

// protectGCM is RFC 7714 §8 for a packet with a header of 12 bytes.
func protectGCM(t testing.TB, k sessionKeys, packet []byte, roc uint32) []byte {
	t.Helper()
	iv := bytes.Clone(k.salt)
	xor(iv[2:], packet[8:12])
	xor(iv[6:], binary.BigEndian.AppendUint32(nil, roc))
	xor(iv[10:], packet[2:4])
	block, err := aes.NewCipher(k.key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return gcm.Seal(bytes.Clone(packet[:12]), iv, packet[12:], packet[:12])
}

func xor(dst, src []byte) {
	for i := range src {
		dst[i] ^= src[i]
	}
}

// The keys of RFC 3711 B.3.
const (
	b3Master = "E1F97A0D3E018BE0D64FA32C06DE4139"
	b3Salt   = "0EC675AD498AFEEBB6960B3AABE6"
)

func TestReferenceIsThatOfTheRFCs(t *testing.T) {
	key, err := keyOf(CM80, unhex(t, b3Master), unhex(t, b3Salt))
	if err != nil {
		t.Fatal(err)
	}
	derived := keysFor(t, key)
	// RFC 3711 B.2
	stream := keystream(t, unhex(t, "2B7E151628AED2A6ABF7158809CF4F3C"), unhex(t, "F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000"), make([]byte, 48))
	// RFC 7714 §16.1.1
	quid := sessionKeys{key: unhex(t, "000102030405060708090a0b0c0d0e0f"), salt: unhex(t, "517569642070726f2071756f")}
	gcm := protectGCM(t, quid, unhex(t, `8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573`), 0)
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"B.3 cipher key":  {derived.key, "C61E7A93744F39EE10734AFE3FF7A087"},
		"B.3 cipher salt": {derived.salt, "30CBBC08863D8C85D49DB34A9AE1"},
		"B.3 auth key":    {derived.auth, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"},
		"B.2 keystream": {stream, `E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB
			41E95B3BB0A2E8DD477901E4FCA894C0`},
		"7714 16.1.1": {gcm, `8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
			0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce`},
	} {
		if want := unhex(t, c.want); !bytes.Equal(c.got, want) {
			t.Errorf("%s: %x, want %x", name, c.got, want)
		}
	}
}

// Packets of every suite are what the RFCs say, over several turns of the sequence number, and come back.
func TestPacketsAreThoseOfTheRFCs(t *testing.T) {
	for _, s := range Suites() {
		t.Run(s.String(), func(t *testing.T) {
			a, b := pairOf(t, s)
			keys := keysFor(t, a.session.out.key.Key)
			var sent, got []byte
			for i := range 3 * 65536 / 1000 {
				seq := uint32(i * 1000)
				packet := packetOf(t, 7, uint16(seq), 160)
				var want []byte
				switch s {
				case GCM128:
					want = protectGCM(t, keys, packet, seq>>16)
				case CM80:
					want = protectCM(t, keys, packet, seq>>16, 10)
				case CM32:
					want = protectCM(t, keys, packet, seq>>16, 4)
				}
				var err error
				if sent, err = a.Protect(sent[:0], packet, false); err != nil || !bytes.Equal(sent, want) {
					t.Fatalf("packet %d: %x (%v), want %x", seq, sent, err, want)
				}
				if got, err = b.Unprotect(got[:0], sent, false); err != nil || !bytes.Equal(got, packet) {
					t.Fatalf("packet %d came back as %x (%v), want %x", seq, got, err, packet)
				}
			}
		})
	}
}

// pairOf are two guards that talk to each other.
func pairOf(t testing.TB, s Suite) (a, b *SDES) {
	t.Helper()
	ours, theirs := NewCrypto(1, s), NewCrypto(1, s)
	a, err := NewSDES(ours, theirs)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = NewSDES(theirs, ours); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	t.Cleanup(b.Close)
	return a, b
}

// packetOf is a packet of RTP with something in it.
func packetOf(t testing.TB, ssrc uint32, seq uint16, size int) []byte {
	t.Helper()
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 8, SSRC: ssrc, SequenceNumber: seq, Timestamp: uint32(seq) * 160}, Payload: make([]byte, size)}
	for i := range p.Payload {
		p.Payload[i] = byte(rand.Uint32())
	}
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Two packets that another implementation publishes for its own tests (libsrtp, test/srtp_driver.c), from the master key.
func TestPacketsAreThoseOfLibsrtp(t *testing.T) {
	for _, c := range []struct {
		suite        Suite
		master, salt string
		want         string
	}{
		{CM80, b3Master, b3Salt, "4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"},
		{GCM128, "000102030405060708090a0b0c0d0e0f", "a0a1a2a3a4a5a6a7a8a9aaab", "c5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392"},
	} {
		key, err := keyOf(c.suite, unhex(t, c.master), unhex(t, c.salt))
		if err != nil {
			t.Fatal(err)
		}
		line := Crypto{Tag: 1, Suite: c.suite, Key: key}
		g, err := NewSDES(line, line)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		head := "800f1234decafbadcafebabe"
		got, err := g.Protect(nil, unhex(t, head+"abababababababababababababababab"), false)
		if err != nil || fmt.Sprintf("%x", got) != head+c.want {
			t.Errorf("%v: %x (%v), want %s", c.suite, got, err, head+c.want)
		}
	}
}
