//go:build unix

package transport

import (
	"io"

	"golang.org/x/sys/unix"
)

// tryWriteLocked writes as much of b as the kernel takes without waiting.
func (s *sock) tryWriteLocked(b []byte) (int, error) {
	s.out, s.wrote, s.writeE = b, 0, nil
	err := s.raw.Write(s.writeFn)
	s.out = nil
	if err == nil {
		err = s.writeE
	}
	return s.wrote, err
}

func (s *sock) writeOnce(fd uintptr) bool {
	for s.wrote < len(s.out) {
		n, err := fdWrite(fd, s.out[s.wrote:])
		switch err {
		case nil:
			s.wrote += n
		case unix.EINTR:
		case unix.EAGAIN:
			return true
		default:
			s.writeE = err
			return true
		}
	}
	return true
}

// readReady waits until there is something to read and reads it into f, whose buffer is given back while it waits:
// an idle connection holds none.
func (s *sock) readReady(f *framer) (int, error) {
	s.into = f
	if err := s.raw.Read(s.readFn); err != nil {
		return 0, err
	}
	if s.readN > 0 {
		s.lastRead.Store(s.conn.set.now())
	}
	return s.readN, s.readE
}

func (s *sock) readOnce(fd uintptr) bool {
	for {
		n, err := fdRead(fd, s.into.space())
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			s.into.release()
			return false
		case err == nil && n == 0:
			err = io.EOF
		}
		s.readN, s.readE = max(n, 0), err
		return true
	}
}
