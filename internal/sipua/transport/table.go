package transport

import (
	"net/netip"
	"sync"
)

// peerKey names a connection for Dial.
type peerKey struct {
	transport Transport
	addr      netip.AddrPort
	name      string // what the certificate had to say; tls only
	blind     bool   // nobody looked at the certificate; tls only
}

// connTable is all connections of a set.
type connTable struct {
	mu       sync.RWMutex // guards all below
	closed   bool         // no connection comes in any more
	serial   uint64
	bySerial map[uint64]*conn
	byPeer   map[peerKey]*conn
	bySource map[sourceKey]int // accepted ones
	accepted int
}

func (t *connTable) init() {
	t.bySerial = make(map[uint64]*conn)
	t.byPeer = make(map[peerKey]*conn)
	t.bySource = make(map[sourceKey]int)
}

// add enters c, counts it in work and gives it its serial number, unless a cap stands against it. Dialled
// connections are ours and count against none.
func (t *connTable) add(c *conn, l Limits, work *sync.WaitGroup) dropReason {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return dropConnections
	}
	if c.listener != nil {
		source := keyOf(c.remote.Addr())
		switch {
		case t.accepted >= l.MaxConnections:
			return dropConnections
		case !c.trusted && t.bySource[source] >= l.MaxPerSource:
			return dropPerSource
		}
		t.accepted++
		t.bySource[source]++
	}
	t.serial++
	c.serial = t.serial
	t.bySerial[c.serial] = c
	if c.peer != (peerKey{}) && t.byPeer[c.peer] == nil {
		t.byPeer[c.peer] = c
	}
	work.Add(1)
	return accepted
}

// remove takes c out.
func (t *connTable) remove(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.bySerial, c.serial)
	if t.byPeer[c.peer] == c {
		delete(t.byPeer, c.peer)
	}
	if c.listener == nil {
		return
	}
	t.accepted--
	source := keyOf(c.remote.Addr())
	if t.bySource[source]--; t.bySource[source] <= 0 {
		delete(t.bySource, source)
	}
}

// find returns the connection with a serial number that is ready for messages, or nil.
func (t *connTable) find(serial uint64) *conn {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return usable(t.bySerial[serial])
}

// findPeer returns a connection Dial may use, or nil.
func (t *connTable) findPeer(k peerKey) *conn {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return usable(t.byPeer[k])
}

func usable(c *conn) *conn {
	if c == nil || !c.isReady() || c.closing() {
		return nil
	}
	return c
}

// all appends every connection to buf.
func (t *connTable) all(buf []*conn) []*conn {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, c := range t.bySerial {
		buf = append(buf, c)
	}
	return buf
}

// shut lets no connection in from now on.
func (t *connTable) shut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// start runs fn on a goroutine counted in work, unless the table is shut.
func (t *connTable) start(work *sync.WaitGroup, fn func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	work.Go(fn)
	return true
}
