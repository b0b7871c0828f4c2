package secure

import (
	"context"
	"net/netip"
	"runtime"
	"testing"

	"github.com/pion/dtls/v3"
)

// BenchmarkSDES is what a packet of G.711, 160 bytes of audio, costs: to protect, and to open again.
func BenchmarkSDES(b *testing.B) {
	for _, s := range Suites() {
		for _, rtcp := range []bool{false, true} {
			name := s.String()
			if rtcp {
				name += "/rtcp"
			}
			out, in := pairOf(b, s)
			packet := packetOf(b, 7, 0, 160)
			if rtcp {
				packet = reports(b, 7)
			}
			b.Run(name+"/protect", func(b *testing.B) {
				dst := make([]byte, 0, 2048)
				b.ReportAllocs()
				seq := uint16(0)
				for b.Loop() {
					if seq++; !rtcp {
						packet[2], packet[3] = byte(seq>>8), byte(seq)
					}
					if _, err := out.Protect(dst, packet, rtcp); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(name+"/both", func(b *testing.B) {
				dst, back := make([]byte, 0, 2048), make([]byte, 0, 2048)
				out, in := pairOf(b, s) // in step with each other
				seq := uint16(packet[2])<<8 | uint16(packet[3])
				b.ReportAllocs()
				for b.Loop() {
					if seq++; !rtcp {
						packet[2], packet[3] = byte(seq>>8), byte(seq)
					}
					sent, err := out.Protect(dst, packet, rtcp)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := in.Unprotect(back, sent, rtcp); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(name+"/forged", func(b *testing.B) {
				back := make([]byte, 0, 2048)
				forged := append(packet[:len(packet):len(packet)], make([]byte, 20)...)
				forged[ssrcAt(rtcp)] ^= 1 // a known source's would be taken for a replay, which costs less
				b.ReportAllocs()
				for b.Loop() {
					if _, err := in.Unprotect(back, forged, rtcp); err == nil {
						b.Fatal("taken")
					}
				}
			})
		}
	}
}

// BenchmarkHandshake is a whole handshake, both sides of it, without a network; ours is a little more than half. What a
// guard takes while the peer may still ask for our last message is told beside it.
func BenchmarkHandshake(b *testing.B) {
	ours, theirs := identities(b)
	terms := Terms{Setup: Passive, Fingerprints: []Fingerprint{theirs.Fingerprint()}}
	shake := func() (*DTLS, *dtls.Conn) {
		d, outcomes := guardFor(b, ours, terms)
		var w *wire
		w = newWire(peerAddr, func(p []byte, _ netip.AddrPort) {
			d.Handle(p, peerAddr, func(p []byte, to netip.AddrPort) { w.put(p, to, w.reply) })
		})
		var opts []dtls.ClientOption
		for _, o := range peerOptions(theirs, ours, bothProfiles...) {
			opts = append(opts, o)
		}
		c, err := dtls.ClientWithOptions(w, w.RemoteAddr(), opts...)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.HandshakeContext(context.Background()); err != nil {
			b.Fatal(err)
		}
		if err := receive(b, "the outcome", outcomes); err != nil {
			b.Fatal(err)
		}
		return d, c
	}
	end := func(d *DTLS, c *dtls.Conn) {
		d.Close()
		d.running.Wait()
		_ = c.Close()
	}
	b.ReportAllocs()
	for b.Loop() {
		end(shake())
	}
	const standing = 50
	var guards []*DTLS
	before := memory()
	for range standing {
		d, c := shake()
		_ = c.Close()
		guards = append(guards, d)
	}
	b.ReportMetric(float64(memory()-before)/standing, "B/fresh")
	for _, d := range guards {
		d.Close()
		d.running.Wait()
	}
}

// memory is what the heap and the stacks take.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkCheck is a check of ICE: the peer's, one that a stranger forged, and one of somebody who knows no name.
func BenchmarkCheck(b *testing.B) {
	ours, theirs := NewCredentials(), NewCredentials()
	for name, datagram := range map[string][]byte{
		"good": ask(b, ours, theirs, controlling, nominating), "forged": ask(b, Credentials{ours.Ufrag, theirs.pwd}, theirs, controlling),
		"stranger": ask(b, theirs, ours, controlling),
	} {
		b.Run(name, func(b *testing.B) {
			a := newAgent(ours, theirs)
			defer a.close()
			b.ReportAllocs()
			for b.Loop() {
				a.verifies.tokens = checkBurst
				a.handle(datagram, peerAddr, func([]byte, netip.AddrPort) {})
			}
		})
	}
}
