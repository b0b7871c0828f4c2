package media

import (
	"sync"
	"testing"
)

// partner is what a leg is joined with.
func (l *Leg) partner() *Leg {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.joined
}

// However many join and part at once, whom a leg hears is who hears it.
func TestJoiningIsMutual(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	legs := []*Leg{openLeg(t, p, Hooks{}), openLeg(t, p, Hooks{}), openLeg(t, p, Hooks{})}
	for round := range 5000 {
		var wg sync.WaitGroup
		begin := make(chan struct{})
		for i, a := range legs {
			b := legs[(i+1)%len(legs)]
			wg.Go(func() {
				<-begin
				Join(a, b)
			})
		}
		close(begin)
		wg.Wait()
		for i, l := range legs {
			if o := l.partner(); o != nil && o.partner() != l {
				t.Fatalf("round %d: leg %d is joined with one that is not joined with it", round, i)
			}
		}
	}
}

// A leg that is closed is joined with none, and none with it.
func TestClosedLegsAreNotJoined(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	stays := openLeg(t, p, Hooks{})
	for range 200 {
		goes := openLeg(t, p, Hooks{})
		var wg sync.WaitGroup
		wg.Go(func() { Join(stays, goes) })
		wg.Go(goes.Close)
		wg.Wait()
		if stays.partner() != nil || goes.partner() != nil {
			t.Fatal("joined with a closed leg")
		}
	}
}

// What is agreed on after the end is let go of.
func TestAgreeingAfterTheEnd(t *testing.T) {
	p := startPlane(t, testConfig(), newDriver)
	c := newCall(t, p, Hooks{})
	c.legA.Close()
	g := &provenGuard{begun: nil}
	late := c.a.agrees()
	late.Guard = g
	if err := c.legA.Agree(late); err == nil || g.closed != 1 {
		t.Errorf("Agree = %v, the guard was closed %d times", err, g.closed)
	}
}
