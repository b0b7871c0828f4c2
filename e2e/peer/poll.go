package peer

import (
	"testing"
	"time"
)

// Poll calls try until it returns nil, and fails the test with its last error when that takes longer than within.
func Poll(t testing.TB, within time.Duration, try func() error) {
	t.Helper()
	timeout := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("not within %v: %v", within, err)
		}
	}
}
