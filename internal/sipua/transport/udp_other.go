//go:build !(linux && (amd64 || arm64))

package transport

import (
	"net"
	"net/netip"
	"syscall"
)

// Elsewhere than on Linux the standard library reads one datagram at a time. A wildcard listener does not learn
// there which of our addresses a datagram was sent to, and answers leave from the one the system chooses.

type udpBatchBuffers struct {
	data []byte
	got  packet
}

func newUDPBatch() *udpBatchBuffers { return &udpBatchBuffers{data: make([]byte, udpBuffer)} }

func (b *udpBatchBuffers) packet(int) packet { return b.got }

type udpIO struct{ conn *net.UDPConn }

func newUDPIO(conn *net.UDPConn, _ bool) (*udpIO, error) { return &udpIO{conn: conn}, nil }

func (u *udpIO) recv(b *udpBatchBuffers) (int, error) {
	n, from, err := u.conn.ReadFromUDPAddrPort(b.data)
	if err != nil {
		return 0, err
	}
	b.got = packet{data: b.data[:n:n], from: netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}
	return 1, nil
}

func (u *udpIO) send(b []byte, _ netip.Addr, to netip.AddrPort) error {
	_, err := u.conn.WriteToUDPAddrPort(b, to)
	return err
}

// udpControl leaves the socket alone: several sockets on one port are for Linux.
func udpControl(bool) func(network, address string, c syscall.RawConn) error { return nil }

func (u *udpIO) kernelDrops() (uint64, bool) { return 0, false }
