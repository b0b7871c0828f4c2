//go:build !unix

package transport

// tryWriteLocked leaves all to the queue's goroutine: there is no portable write that does not wait.
func (s *sock) tryWriteLocked([]byte) (int, error) { return 0, nil }

func (s *sock) writeOnce(uintptr) bool { return true }

// readReady reads into f, whose buffer is held while it waits.
func (s *sock) readReady(f *framer) (int, error) { return s.Read(f.space()) }

func (s *sock) readOnce(uintptr) bool { return true }
