package tenant

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	testLockout = Lockout{NameFailures: 3, SourceFailures: 5, Window: 10 * time.Minute, Duration: time.Minute, Remember: 100}
	noon        = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func TestGuardLocksANameAndLetsItGo(t *testing.T) {
	g := newGuard(testLockout)
	for i := range 3 {
		if !g.begin(noon, "demo/alice", fmt.Sprint("source", i)) {
			t.Fatalf("attempt %d is locked, want 3 allowed", i+1)
		}
	}
	if g.begin(noon, "demo/alice", "elsewhere") {
		t.Error("a fourth attempt is allowed from another source, want the name locked")
	}
	if !g.begin(noon, "demo/bob", "elsewhere") {
		t.Error("another name is locked too")
	}
	if n, _ := g.lockedNow(noon); n != 1 {
		t.Errorf("locked names = %d, want 1", n)
	}
	if !g.begin(noon.Add(testLockout.Duration), "demo/alice", "elsewhere") {
		t.Error("still locked when the lock has ended")
	}
}

func TestGuardLocksASource(t *testing.T) {
	g := newGuard(testLockout)
	for i := range 5 {
		if !g.begin(noon, fmt.Sprint("demo/user", i), "192.0.2.1") {
			t.Fatalf("attempt %d is locked, want 5 allowed", i+1)
		}
	}
	if g.begin(noon, "demo/somebody", "192.0.2.1") {
		t.Error("a sixth name is allowed from one source")
	}
	if !g.begin(noon, "demo/somebody", "192.0.2.2") {
		t.Error("another source is locked too")
	}
}

func TestGuardForgetsOldFailures(t *testing.T) {
	g := newGuard(testLockout)
	for i := range 10 {
		if at := noon.Add(time.Duration(i) * 6 * time.Minute); !g.begin(at, "demo/alice", "192.0.2.1") {
			t.Fatalf("locked at %v, though no window of 10 minutes holds 3 failures", at)
		}
	}
}

func TestGuardSuccessClearsTheNameButNotTheSource(t *testing.T) {
	g := newGuard(testLockout)
	allowed := 0
	for range 20 { // own account right, another's wrong, from one place
		if !g.begin(noon, "demo/mallory", "192.0.2.1") {
			break
		}
		g.succeeded("demo/mallory", "192.0.2.1")
		if !g.begin(noon, fmt.Sprint("demo/victim", allowed), "192.0.2.1") {
			break
		}
		allowed++
	}
	if allowed != testLockout.SourceFailures {
		t.Errorf("%d guesses allowed between good sign-ins, want %d", allowed, testLockout.SourceFailures)
	}
}

func TestGuardAttemptsAtOnceGetNoMoreGuesses(t *testing.T) {
	g := newGuard(testLockout)
	var allowed atomic.Int32
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if g.begin(noon, "demo/alice", fmt.Sprint("source", i)) {
				allowed.Add(1)
			}
		})
	}
	wg.Wait()
	if got := allowed.Load(); got != 3 {
		t.Errorf("%d attempts at once allowed, want 3", got)
	}
}

func TestGuardUndecidedCostsNothing(t *testing.T) {
	g := newGuard(testLockout)
	for i := range 50 {
		if !g.begin(noon, "demo/alice", "192.0.2.1") {
			t.Fatalf("locked after %d attempts nobody could judge", i)
		}
		g.undecided("demo/alice", "192.0.2.1")
	}
}

func TestGuardMemoryIsBounded(t *testing.T) {
	g := newGuard(testLockout)
	for i := range 10 * testLockout.Remember {
		g.begin(noon, fmt.Sprint("demo/user", i), fmt.Sprint("source", i))
	}
	if n, s := len(g.names.byKey), len(g.sources.byKey); n != testLockout.Remember || s != testLockout.Remember {
		t.Errorf("remembered %d names and %d sources, want %d each", n, s, testLockout.Remember)
	}
	if n := g.names.order.Len(); n != testLockout.Remember {
		t.Errorf("order holds %d, want %d", n, testLockout.Remember)
	}
}

func TestSourceKey(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7":            "192.0.2.7",
		"::ffff:192.0.2.7":     "192.0.2.7",
		"2001:db8:1:2:aaaa::1": "2001:db8:1:2::/64",
		"2001:db8:1:2:bbbb::2": "2001:db8:1:2::/64",
		"fe80::1%eth0":         "fe80::/64",
	} {
		if got := sourceKey(netip.MustParseAddr(in)); got != want {
			t.Errorf("sourceKey(%s) = %s, want %s", in, got, want)
		}
	}
	if got := sourceKey(netip.Addr{}); got != "invalid IP" {
		t.Errorf("sourceKey of no address = %q", got)
	}
}
