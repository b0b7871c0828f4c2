package cdr

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"parley/internal/fabric"
	"parley/internal/store/cdrs"
	"parley/internal/voice"
)

// write stores a batch of events. They are confirmed when it returns nil, and come again when it does not.
func (s *Service) write(ctx context.Context, batch []fabric.Message) error {
	records := make([]voice.CDR, 0, len(batch))
	for _, m := range batch {
		var r voice.CDR
		err := json.Unmarshal(m.Data, &r)
		if err == nil {
			err = cdrs.Check(&r)
		}
		if err != nil { // it would be no record the next time either
			s.metrics.rejected.Inc()
			s.log.LogAttrs(ctx, slog.LevelError, "event is no call detail record", slog.String("subject", strings.Join(m.Subject, ".")),
				slog.Uint64("seq", m.Seq), slog.Any("err", err))
			continue
		}
		records = append(records, r)
	}
	if len(records) == 0 {
		return nil
	}
	added, err := s.store.Insert(ctx, records)
	if err != nil {
		s.metrics.failures.Inc()
		if s.failed.set(s.now()) {
			s.log.LogAttrs(ctx, slog.LevelError, "call detail records wait for the database", slog.Any("err", err))
		}
		return err
	}
	if since, was := s.failed.clear(); was {
		s.log.LogAttrs(ctx, slog.LevelInfo, "call detail records are written again", slog.Duration("after", s.now().Sub(since)))
	}
	s.metrics.stored.Add(float64(added))
	s.metrics.repeated.Add(float64(int64(len(records)) - added))
	now := time.Now()
	for _, m := range batch {
		s.metrics.lag.Observe(max(now.Sub(m.Time), 0).Seconds())
	}
	return nil
}

// failing knows since when nothing can be written.
type failing struct {
	mu sync.Mutex
	at time.Time // zero while all is well
}

// set notes a failure; it is true for the first one.
func (f *failing) set(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := f.at.IsZero()
	if first {
		f.at = now
	}
	return first
}

func (f *failing) clear() (since time.Time, was bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	since, f.at = f.at, time.Time{}
	return since, !since.IsZero()
}

func (f *failing) since() (time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at, !f.at.IsZero()
}

// placeOf makes the id of a node fit into the name of a place in the stream, which takes fewer characters.
func placeOf(node string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
	}
	const most = 48
	if len(node) <= most && strings.IndexFunc(node, func(r rune) bool { return !plain(r) }) < 0 {
		return node
	}
	sum := sha256.Sum256([]byte(node))
	return hex.EncodeToString(sum[:12])
}

const (
	expireEvery = time.Hour
	expireStep  = 500 // records deleted in one transaction
	expirePause = 50 * time.Millisecond
)

// expire deletes records that are too old, soon after the start and then once an hour.
func (s *Service) expire(ctx context.Context) {
	if s.cfg.RetentionDays == 0 {
		return
	}
	for {
		s.expireOnce(ctx)
		if !pause(ctx, expireEvery) {
			return
		}
	}
}

// expireOnce deletes in small steps with pauses between, so that new records do not wait.
func (s *Service) expireOnce(ctx context.Context) {
	before := s.now().AddDate(0, 0, -s.cfg.RetentionDays)
	var sum int64
	for {
		n, err := s.store.Expire(ctx, before, expireStep)
		sum += n
		s.metrics.expired.Add(float64(n))
		if err != nil && ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "delete old call detail records", slog.Any("err", err))
		}
		if err != nil || n < expireStep || !pause(ctx, expirePause) {
			break
		}
	}
	if sum > 0 {
		s.log.LogAttrs(ctx, slog.LevelInfo, "old call detail records are deleted", slog.Int64("records", sum), slog.Time("before", before))
	}
}

// pause is false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
