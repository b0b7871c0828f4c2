//go:build linux && (amd64 || arm64)

package media

import (
	"fmt"
	"net/netip"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readOne is recvfrom(2), which the driver would read with if there were no batches.
func readOne(in *inbox, fd int) int {
	length := uint32(unix.SizeofSockaddrInet6)
	_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&in.data[0])), maxDatagram,
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&in.names[0])), uintptr(unsafe.Pointer(&length)))
	if errno != 0 {
		return 0
	}
	return 1
}

// sendTogether is sendmmsg(2) for n datagrams to where the socket sent before.
func sendTogether(in *inbox, s *epollSocket, n, size int) int {
	for i := range n {
		in.names[i] = s.name
		in.headers[i].hdr.Namelen = uint32(s.length)
		in.vectors[i].SetLen(size)
	}
	sent, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&in.headers[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(sent)
}

// BenchmarkBatch is what a datagram costs that is read or sent together with others on one socket, and what one by one. The
// comment of datagramsAtOnce draws the conclusion.
func BenchmarkBatch(b *testing.B) {
	for _, n := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprintf("read=%d/one", n), func(b *testing.B) { benchmarkReads(b, n, readOne) })
		b.Run(fmt.Sprintf("read=%d/together", n), func(b *testing.B) { benchmarkReads(b, n, (*inbox).read) })
		b.Run(fmt.Sprintf("send=%d/one", n), func(b *testing.B) { benchmarkSends(b, n, false) })
		b.Run(fmt.Sprintf("send=%d/together", n), func(b *testing.B) { benchmarkSends(b, n, true) })
	}
}

// sentSize is that of G.711 of 20 ms.
const sentSize = headerSize + 160

// openSocket opens a socket of the driver that belongs to no call, towards one that fill sends from.
func openSocket(b *testing.B) (s *epollSocket, fill func(datagrams int)) {
	b.Helper()
	d, err := newDriver(testConfig())
	if err != nil {
		b.Fatal(err)
	}
	io, err := d.open(&socket{leg: &Leg{}}, netip.AddrPortFrom(loopback, 0))
	if err != nil {
		b.Fatal(err)
	}
	s = io.(*epollSocket)
	b.Cleanup(func() {
		s.close()
		if err := d.(*epollDriver).close(); err != nil {
			b.Error(err)
		}
	})
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		b.Fatal(err)
	}
	to := netip.AddrPortFrom(loopback, uint16(name.(*unix.SockaddrInet4).Port))
	peer, packet := listen(b), make([]byte, sentSize)
	s.setName(addrOf(peer))
	return s, func(datagrams int) {
		for range datagrams {
			if _, err := peer.WriteToUDPAddrPort(packet, to); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// benchmarkReads has a datagram as its iteration, with a share of asking the epoll set, which names a socket as long as
// something is left on it.
func benchmarkReads(b *testing.B, waiting int, read func(in *inbox, fd int) int) {
	s, fill := openSocket(b)
	p := s.poller
	b.ResetTimer()
	for done := 0; done < b.N; done += waiting {
		b.StopTimer()
		fill(waiting)
		b.StartTimer()
		for got := 0; got < waiting; {
			if _, err := epollNow(p.set, p.events[:]); err != nil {
				b.Fatal(err)
			}
			got += read(p.inbox, s.fd)
		}
	}
}

func benchmarkSends(b *testing.B, n int, together bool) {
	s, _ := openSocket(b)
	in, packet := newInbox(), make([]byte, sentSize)
	b.ResetTimer()
	before := cpu(b)
	for done := 0; done < b.N; done += n {
		if together {
			if sent := sendTogether(in, s, n, len(packet)); sent != n {
				b.Fatalf("%d of %d sent", sent, n)
			}
			continue
		}
		for range n {
			if err := s.send(packet, s.to); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}
