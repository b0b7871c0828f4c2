package secure

import (
	"testing"
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
				for b.Loop() {
					packet[3]++
					if _, err := out.Protect(dst, packet, rtcp); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(name+"/both", func(b *testing.B) {
				dst, back := make([]byte, 0, 2048), make([]byte, 0, 2048)
				seq := uint16(packet[3])
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
