package media

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtp"

	"parley/internal/media/sdp"
	"parley/internal/media/secure"
)

// keyed are the guards of a leg and of its peer.
func keyed(t testing.TB, suite secure.Suite) (ours, theirs *secure.SDES) {
	t.Helper()
	a, b := secure.NewCrypto(1, suite), secure.NewCrypto(1, suite)
	ours, errOurs := secure.NewSDES(a, b)
	theirs, errTheirs := secure.NewSDES(b, a)
	if err := errors.Join(errOurs, errTheirs); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// One side of a call is encrypted and the other is not; nobody without the key is heard.
func TestEncryptedLegAndPlainLeg(t *testing.T) {
	for _, suite := range secure.Suites() {
		t.Run(suite.String(), func(t *testing.T) {
			eachDriver(t, func(t *testing.T, p *Plane) { encryptedAndPlain(t, p, suite) })
		})
	}
}

func encryptedAndPlain(t *testing.T, p *Plane, suite secure.Suite) {
	c := newCall(t, p, Hooks{})
	ours, theirs := keyed(t, suite)
	secret := c.a.agrees()
	secret.Guard = ours
	agree(t, c.legA, secret)
	for range 3 {
		clear := c.a.next(0, []byte("what nobody else may hear"))
		sealed, err := theirs.Protect(nil, clear, false)
		if err != nil {
			t.Fatal(err)
		}
		c.a.send(c.a.rtp, c.portA, sealed)
		c.b.hears(c.b.rtp, clear, c.portB)

		sent := c.b.audio(c.portB)
		opened, err := theirs.Unprotect(nil, c.a.datagram(c.a.rtp, c.portA), false)
		if err != nil {
			t.Fatal(err)
		}
		var got, want rtp.Packet
		if err := errors.Join(got.Unmarshal(opened), want.Unmarshal(sent)); err != nil || string(got.Payload) != string(want.Payload) {
			t.Fatalf("heard %v, %v; want %v", got, err, want)
		}
		agree(t, c.legA, secret) // a re-INVITE with the same keys goes on where it was
	}
	c.a.audio(c.portA) // not encrypted
	other, _ := keyed(t, suite)
	forged, err := other.Protect(nil, c.a.next(0, []byte("forged")), false)
	if err != nil {
		t.Fatal(err)
	}
	c.a.send(c.a.rtp, c.portA, forged)
	c.a.send(c.a.rtcp, c.portA+1, receiverReport(t, 0xA))
	eventually(t, "all three to be dropped", func() bool { return c.legA.Stats().Dropped == 3 })
	c.b.silence(c.b.rtp)
	if s := c.legA.Stats(); s.Packets != 3 || s.RTCP != 0 {
		t.Errorf("%+v, want 3 packets and no report taken", s)
	}
	report, err := theirs.Protect(nil, receiverReport(t, 0xA), true)
	if err != nil {
		t.Fatal(err)
	}
	c.a.send(c.a.rtcp, c.portA+1, report)
	eventually(t, "the report to be read", func() bool { return c.legA.Stats().RTCP == 1 })
	c.legA.sweep(time.Now())
	c.legA.sweep(time.Now().Add(10 * time.Second))
	if _, err := theirs.Unprotect(nil, c.a.datagram(c.a.rtcp, c.portA+1), true); err != nil {
		t.Errorf("our report: %v", err)
	}
}

// Reports and audio of an encrypted peer come to two sockets, which two goroutines may read at once.
func TestEncryptedReportsMeetAudio(t *testing.T) {
	eachDriver(t, func(t *testing.T, p *Plane) {
		c := newCall(t, p, Hooks{})
		ours, theirs := keyed(t, secure.Suites()[0])
		secret := c.a.agrees()
		secret.Guard = ours
		agree(t, c.legA, secret)
		const packets = 100
		seal := func(b []byte, rtcp bool) []byte {
			sealed, err := theirs.Protect(nil, b, rtcp)
			if err != nil {
				t.Fatal(err)
			}
			return sealed
		}
		for i := range packets {
			clear := c.a.next(0, []byte{byte(i), 1, 2, 3})
			audio, report := seal(clear, false), seal(receiverReport(t, 0xA), true)
			c.a.send(c.a.rtp, c.portA, audio)
			c.a.send(c.a.rtcp, c.portA+1, report)
			c.b.hears(c.b.rtp, clear, c.portB)
		}
		eventually(t, "the reports to be dealt with", func() bool { // most are more than a peer may report in a second
			s := c.legA.Stats()
			return s.RTCP > 0 && s.RTCP+s.Dropped == packets
		})
	})
}

// FuzzSecured has bytes from anybody meet a leg with keys: nothing passes that was not made with them.
func FuzzSecured(f *testing.F) {
	for _, b := range [][]byte{{0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7, 1, 2, 3}, {0x80, 200, 0, 1, 0, 0, 0, 9, 0x80, 0, 0, 1}, {0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42}, {22, 254, 253, 0}} {
		f.Add(b)
	}
	pool, err := NewPool(testConfig())
	if err != nil {
		f.Fatal(err)
	}
	from := netip.MustParseAddrPort("192.0.2.1:4000")
	f.Fuzz(func(t *testing.T, b []byte) {
		var sent wire
		ours, _ := keyed(t, secure.Suites()[0])
		leg := func(g Guard) *Leg {
			l := &Leg{plane: &Plane{cfg: pool.cfg, now: time.Now}, port: 2, out: newNumbering(1)}
			l.rtp, l.rtcp = &socket{leg: l, io: &sent}, &socket{leg: l, control: true, io: &sent}
			agree(t, l, Agreement{Remote: Remote{RTP: from, RTCP: from}, Direction: sdp.SendRecv, Send: audioFormats, Receive: audioFormats, Guard: g})
			return l
		}
		in, out := leg(ours), leg(nil)
		Join(in, out)
		in.mu.Lock()
		in.arrived(in.rtp, b, from, time.Unix(1000, 0))
		if s := in.Stats(); len(sent) > 0 || s.Packets+s.RTCP > 0 {
			t.Errorf("took %x without a key: %+v", b, s)
		}
	})
}

// BenchmarkForwardSecured is our own work for a packet that is decrypted and encrypted again with another key.
func BenchmarkForwardSecured(b *testing.B) {
	for _, suite := range secure.Suites() {
		b.Run(suite.String(), func(b *testing.B) {
			var ours, theirs [2]*secure.SDES
			for i := range ours {
				ours[i], theirs[i] = keyed(b, suite)
			}
			benchmarkForward(b, [2]Guard{ours[0], ours[1]}, func(dst, packet []byte) []byte {
				sealed, err := theirs[0].Protect(dst, packet, false)
				if err != nil {
					b.Fatal(err)
				}
				return sealed
			})
		})
	}
}
