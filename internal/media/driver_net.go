package media

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"parley/internal/voice"
)

// maxDatagram is the most that is taken of a datagram; what is longer is no audio.
const maxDatagram = 2048

// netDriver moves packets with the standard library, a goroutine a socket. It serves where there is no other.
type netDriver struct {
	wg sync.WaitGroup

	mu    sync.Mutex // guards ended, and that nothing joins wg after it
	ended bool
}

// netSocket is one socket of it.
type netSocket struct{ conn *net.UDPConn }

func (d *netDriver) open(s *socket, bind netip.AddrPort) (socketIO, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(bind))
	if err != nil {
		return nil, bindError(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return nil, errors.Join(voice.ErrUnavailable, conn.Close())
	}
	d.wg.Go(func() { s.read(conn) })
	return netSocket{conn}, nil
}

// read hands every datagram to the leg until the socket is closed.
func (s *socket) read(conn *net.UDPConn) {
	b := make([]byte, maxDatagram+1)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n > maxDatagram {
			continue // an ICMP answer to something sent before, or no audio
		}
		s.leg.mu.Lock()
		s.leg.arrived(s, b[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), s.leg.plane.now())
	}
}

func (d *netDriver) run(ctx context.Context) error {
	<-ctx.Done()
	d.mu.Lock()
	d.ended = true
	d.mu.Unlock()
	d.wg.Wait() // the plane closes the sockets
	return nil
}

func (s netSocket) send(b []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(b, to)
	return err
}

func (s netSocket) close() { _ = s.conn.Close() } // UDP has nothing left to write

// bindError tells an occupied port and a lack of descriptors from the rest.
func bindError(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return errors.Join(errOccupied, err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOBUFS):
		return errors.Join(voice.ErrOverloaded, err)
	}
	return err
}
