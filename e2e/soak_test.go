package e2e

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"parley/e2e/bench/swarm"
	"parley/e2e/books"
)

// A thousand calls, answered, abandoned, unanswered and broken in all ways that swarm knows, leave one record each and complete
// events, and the node as it was. Go run ./e2e/bench/soak makes a hundred thousand.
func TestBooksBalanceAfterBadCalls(t *testing.T) {
	t.Parallel()
	const calls, rate = 1000, 100
	s, err := swarm.New(swarm.Options{
		Domain: "bench.test", Seed: 7, Talk: time.Second,
		Carrier: netip.MustParseAddrPort("127.0.12.2:0"), Phones: netip.MustParseAddrPort("127.0.12.3:0"), Stranger: netip.MustParseAddrPort("127.0.12.4:0"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// With a short T1 what is never acknowledged is over in 13 seconds, with short silence a caller who vanished in five.
	p := start(t, "soak", "media: {bind: 127.0.12.5}\ncalls: {silence: 5s, max_wait: 0s}\n"+
		"sipproxy: {t1: 200ms, limits: {stranger_rate: -1, strangers_rate: -1}}\n", "--provision", provision(t, s.Provisioning("bench")))
	s.Aim(netip.MustParseAddrPort(p.sip("udp")))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	results, err := s.Run(ctx, calls, rate)
	if err != nil {
		t.Fatal(err)
	}
	callsAt(t, p, exactly(0))
	p.proc.Stop()
	b, err := books.Open(ctx, filepath.Join(p.dir, "data"), "soak", "bench")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Check(), swarm.Verify(results, b.Records)); err != nil {
		t.Error(err)
	}
	t.Logf("%d records, %d events\n%s", len(b.Records), len(b.Events), swarm.Summary(results))
}
