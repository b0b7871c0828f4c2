package peer

import (
	"bytes"
	bits "encoding/binary"
	"testing"
	"time"
)

// Pcap writes RTP packets into a file as tcpdump would, one each so often (libpcap file format, pcap-savefile(5)). sipp plays such
// files; it puts addresses, ports and checksums of its own call into them, so here they are nobody's.
func Pcap(t testing.TB, path string, every time.Duration, packets [][]byte) {
	t.Helper()
	const ethernet, ip, udp = 14, 20, 8
	var b bytes.Buffer
	put := func(order bits.ByteOrder, fields ...any) {
		for _, f := range fields {
			if err := bits.Write(&b, order, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	const magic, most, linkEthernet = 0xa1b2c3d4, 1 << 16, 1
	put(bits.LittleEndian, uint32(magic), uint16(2), uint16(4), uint32(0), uint32(0), uint32(most), uint32(linkEthernet))
	for i, p := range packets {
		at, n := time.Duration(i)*every, ethernet+ip+udp+len(p)
		put(bits.LittleEndian, uint32(at/time.Second), uint32(at%time.Second/time.Microsecond), uint32(n), uint32(n))
		put(bits.BigEndian, [12]byte{}, uint16(0x0800)) // two MAC addresses, IPv4
		const version4, ttl, protocolUDP = 0x45, 64, 17
		loopback := [4]byte{127, 0, 0, 1}
		put(bits.BigEndian, uint8(version4), uint8(0), uint16(n-ethernet), uint32(0), uint8(ttl), uint8(protocolUDP), uint16(0), loopback, loopback)
		put(bits.BigEndian, uint16(4000), uint16(4000), uint16(udp+len(p)), uint16(0), p)
	}
	write(t, path, b.String())
}
