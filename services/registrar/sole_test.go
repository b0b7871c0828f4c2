package registrar

import (
	"testing"
	"time"

	"parley/internal/fabric/fabrictest"
)

// soleServer is a server that nobody outside the process reaches, as on a single node.
type soleServer struct{ *fabrictest.NATS }

func (soleServer) Sole() bool { return true }

// remembered counts the records in a node's index, those without contacts included.
func (n *node) remembered() (count int) {
	for i := range n.index.shards {
		s := &n.index.shards[i]
		s.mu.RLock()
		count += len(s.aors)
		s.mu.RUnlock()
	}
	return count
}

// A registrar that is alone does without the watch: it knows its own writes, loads the rest at its start, and forgets
// records when their keys expire although nobody tells it.
func TestSoleRegistrarKnowsItsOwnWrites(t *testing.T) {
	p := newPlatform(t, t.TempDir())
	p.server = soleServer{fabrictest.Server(t, t.TempDir())}
	p.back = fabrictest.Connect(t, p.server, "back")
	p.config.serve(t, p.back)
	seen := p.events()
	n := p.node("n1", nil)

	staying, leaving, ending := n.phone("1001"), n.phone("1002"), n.phone("1003")
	staying.register("3600", a1)
	leaving.register("3600", a1)
	ending.register("60", a1)
	if r, c := n.Totals(); r != 3 || c != 3 {
		t.Fatalf("%d numbers with %d contacts, want 3 and 3", r, c)
	}
	leaving.register("0", a1)
	p.clock.Add(61 * time.Second)
	seen.expect(t, "1002", "BackInService/registered", "OutOfService/unregistered")
	seen.expect(t, "1003", "BackInService/registered", "OutOfService/expired")
	eventually(t, "one contact left", func() bool { _, c := n.Totals(); return c == 1 })

	p.clock.Add(buriedTTL + time.Second)
	eventually(t, "the dead are forgotten", func() bool { return n.remembered() == 1 })
	leaving.register("3600", a1) // its key may still be in the bucket, whose clock is the real one
	seen.expect(t, "1002", "BackInService/registered", "OutOfService/unregistered", "BackInService/registered")

	n.stop()
	again := p.node("n1", nil)
	if r, c := again.Totals(); r != 2 || c != 2 {
		t.Errorf("after a restart %d numbers with %d contacts, want 2 and 2", r, c)
	}
}
