package sipproxy

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

// maxOffenders bounds the sources one second of misbehaviour is told apart for; a flood from more forged sources than
// that is a matter of the transport's rate limits, not of bans.
const maxOffenders = 2048

// abuse gathers misbehaviour and reports it to the registrar once a second and source, which may then ban.
type abuse struct {
	mu   sync.Mutex // guards seen
	seen map[netip.Addr]*contract.AbuseReport
}

// report adds weight failures of a source; it never blocks.
func (a *abuse) report(source netip.Addr, reason string, weight int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.seen[source]; r != nil {
		r.Weight += weight
		return
	}
	if a.seen == nil {
		a.seen = map[netip.Addr]*contract.AbuseReport{}
	}
	if len(a.seen) < maxOffenders {
		a.seen[source] = &contract.AbuseReport{Source: source, Reason: reason, Weight: weight}
	}
}

func (a *abuse) take() map[netip.Addr]*contract.AbuseReport {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.seen
	a.seen = nil
	return seen
}

// run reports until ctx ends. A registrar that is away hears nothing of what happened meanwhile: bans are for sources
// that go on.
func (a *abuse) run(ctx context.Context, f *fabric.Fabric, m *metrics, log *slog.Logger) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, r := range a.take() {
			_, err := fabric.Call(ctx, f, contract.ReportAbuse, *r)
			if err != nil && ctx.Err() == nil {
				m.abuseLost.Inc()
				log.LogAttrs(ctx, slog.LevelDebug, "abuse not reported", slog.String("source", r.Source.String()), slog.Any("err", err))
				if errors.Is(err, voice.ErrUnavailable) || errors.Is(err, voice.ErrTimeout) {
					break
				}
			}
		}
	}
}
