package registrar

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

const (
	maxBan      = 365 * 24 * time.Hour
	maxReason   = 200  // bytes of a ban's reason
	maxWeight   = 1000 // of one abuse report
	maxHeavier  = 10   // how much one failure may count when a number is being guessed
	byRegistrar = "registrar"
)

// sourceOf is what failures are counted by and bans name: an IPv4 address, or the /64 of an IPv6 address, as one
// host has all of it to choose from.
func sourceOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// banList is this node's copy of the bucket "bans".
type banList struct {
	max   int
	count atomic.Int64 // of entries; lets banned be free while there is none

	mu sync.RWMutex // guards of
	of map[netip.Addr]entry
}

type entry struct {
	ban contract.Ban
	rev uint64 // 0: made here and not yet stored
}

func newBanList(limit int) *banList {
	return &banList{max: limit, of: map[netip.Addr]entry{}}
}

// banned tells whether source is not to be served now.
func (l *banList) banned(source netip.Addr, now time.Time) bool {
	if l.count.Load() == 0 {
		return false
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	e, ok := l.of[source]
	return ok && now.Before(e.ban.Until)
}

// set shows a ban. It is false when the list is full, or knows a newer state.
func (l *banList) set(b contract.Ban, rev uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, ok := l.of[b.Source]
	if !ok && len(l.of) >= l.max || ok && rev != 0 && rev < old.rev {
		return false
	}
	l.of[b.Source] = entry{b, rev}
	l.count.Store(int64(len(l.of)))
	return true
}

// drop forgets the ban of source, unless it is newer than rev.
func (l *banList) drop(source netip.Addr, rev uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.of[source]; ok && e.rev <= rev {
		delete(l.of, source)
		l.count.Store(int64(len(l.of)))
	}
}

// prune forgets what has ended: bans whose news never came.
func (l *banList) prune(now time.Time) {
	if l.count.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for a, e := range l.of {
		if !now.Before(e.ban.Until) {
			delete(l.of, a)
		}
	}
	l.count.Store(int64(len(l.of)))
}

// list returns the bans in force, newest first.
func (l *banList) list(now time.Time) []contract.Ban {
	l.mu.RLock()
	out := make([]contract.Ban, 0, len(l.of))
	for _, e := range l.of {
		if now.Before(e.ban.Until) {
			out = append(out, e.ban)
		}
	}
	l.mu.RUnlock()
	slices.SortFunc(out, func(a, b contract.Ban) int {
		return cmp.Or(b.Since.Compare(a.Since), a.Source.Compare(b.Source))
	})
	return out
}

// accountOf names a number that is being guessed by a hash, so that what a stranger writes takes no memory.
func (s *Service) accountOf(tenant, user string) uint64 {
	return maphash.Comparable(s.seed, [2]string{tenant, user})
}

// failed counts a wrong answer of source for a number, whether that exists or not. While a number is being guessed from
// many sources, each failure counts more, so that each source has fewer tries; a phone that knows its password is not
// touched by that, because it does not fail.
func (s *Service) failed(source netip.Addr, tenant, user, why string) {
	weight := 1
	if limit := s.cfg.Bans.Account; limit > 0 {
		n := s.guessed.add(s.accountOf(tenant, user), 1, s.nowMS())
		weight = min(1+n/limit, maxHeavier)
	}
	s.offended(source, weight, why)
}

// offended counts weight failures against source and bans it when they are too many.
func (s *Service) offended(source netip.Addr, weight int, why string) {
	if s.cfg.Bans.Failures == 0 || !source.IsValid() || s.exempted(source) {
		return
	}
	n := s.failures.add(source, weight, s.nowMS())
	if n < s.cfg.Bans.Failures {
		return
	}
	now := s.now()
	ban := contract.Ban{
		Source: source, Reason: why, By: byRegistrar, Since: now, Until: now.Add(s.cfg.Bans.Duration), Failures: n,
	}
	if !s.bans.set(ban, 0) { // in force here at once; the others hear of it by the bucket
		s.metrics.bansRefused.Inc()
		return
	}
	s.failures.clear(source)
	s.metrics.bansMade.WithLabelValues("registrar").Inc()
	s.log.Warn("source banned", "source", source, "reason", why, "failures", n, "until", ban.Until)
	value, err := json.Marshal(ban)
	if err != nil {
		s.log.Error("ban not stored", "source", source, "err", err)
		return
	}
	s.banBucket.PutAsync(fabric.Key(source.String()), value, fabric.PutOptions{TTL: s.cfg.Bans.Duration}, func(_ uint64, err error) {
		if err != nil {
			s.log.Error("ban in force on this node only", "source", source, "err", err)
		}
	})
}

func (s *Service) exempted(source netip.Addr) bool {
	for _, p := range s.exempt {
		if p.Contains(source) {
			return true
		}
	}
	return false
}

// followBans keeps the list in step with the bucket until ctx ends.
func (s *Service) followBans(ctx context.Context, synced func()) error {
	return s.banBucket.Watch(ctx, "", func(e fabric.Entry) {
		source, err := sourceOfKey(e.Key)
		if err != nil {
			s.log.Error("key of another making in the bucket", "bucket", fabric.BucketBans, "key", e.Key)
			return
		}
		if e.Op != fabric.EntryPut {
			s.bans.drop(source, e.Revision)
			s.failures.clear(source)
			return
		}
		var b contract.Ban
		if err := json.Unmarshal(e.Value, &b); err != nil || b.Source != source {
			s.log.Error("unreadable ban", "key", e.Key, "err", err)
			return
		}
		s.bans.set(b, e.Revision)
	}, synced)
}

func sourceOfKey(key string) (netip.Addr, error) {
	tokens := fabric.SplitKey(key)
	if len(tokens) != 1 {
		return netip.Addr{}, errors.New("not one token")
	}
	return netip.ParseAddr(tokens[0])
}

// Bans lists the bans in force.
func (s *Service) Bans(context.Context, struct{}) (contract.BansResponse, error) {
	return contract.BansResponse{Bans: s.bans.list(s.now())}, nil
}

// AddBan bans a source by hand. Until zero means the configured duration, Since is now; a ban that is there is
// replaced. An IPv6 source stands for its /64.
func (s *Service) AddBan(ctx context.Context, b contract.Ban) (contract.Ban, error) {
	now := s.now()
	b.Since, b.Failures = now, 0
	if b.Until.IsZero() {
		b.Until = now.Add(s.cfg.Bans.Duration)
	}
	var wrong []voice.FieldError
	if !b.Source.IsValid() {
		wrong = append(wrong, voice.FieldError{Field: "source", Reason: "is not an IP address"})
	}
	if !b.Until.After(now) || b.Until.Sub(now) > maxBan {
		wrong = append(wrong, voice.FieldError{Field: "until", Reason: fmt.Sprintf("is not within %v from now", maxBan)})
	}
	if len(b.Reason) > maxReason {
		wrong = append(wrong, voice.FieldError{Field: "reason", Reason: fmt.Sprintf("is longer than %d bytes", maxReason)})
	}
	if len(wrong) > 0 {
		return contract.Ban{}, voice.Invalid(wrong...)
	}
	b.Source = sourceOf(b.Source)
	value, err := json.Marshal(b)
	if err != nil {
		return contract.Ban{}, err
	}
	rev, err := s.banBucket.Put(ctx, fabric.Key(b.Source.String()), value, fabric.PutOptions{TTL: b.Until.Sub(now)})
	if err != nil {
		return contract.Ban{}, fmt.Errorf("store the ban: %w", err)
	}
	if !s.bans.set(b, rev) {
		return contract.Ban{}, voice.Errorf(voice.ErrOverloaded, "there are %d bans, which is the limit", s.cfg.Bans.Max)
	}
	s.metrics.bansMade.WithLabelValues("operator").Inc()
	s.log.Info("source banned by hand", "source", b.Source, "user", b.By, "until", b.Until)
	return b, nil
}

// LiftBan ends a ban on all nodes, and forgets the failures that led to it.
func (s *Service) LiftBan(ctx context.Context, req contract.LiftBanRequest) (struct{}, error) {
	source := sourceOf(req.Source)
	if !s.bans.banned(source, s.now()) {
		return struct{}{}, voice.Errorf(voice.ErrNotFound, "%s is not banned", req.Source)
	}
	if err := s.banBucket.Delete(ctx, fabric.Key(source.String()), fabric.PutOptions{}); err != nil {
		return struct{}{}, fmt.Errorf("lift the ban: %w", err)
	}
	s.bans.lift(source)
	s.failures.clear(source)
	s.metrics.bansLifted.Inc()
	s.log.Info("ban lifted", "source", source, "user", req.User)
	return struct{}{}, nil
}

// lift forgets the ban of source, whatever its revision.
func (l *banList) lift(source netip.Addr) { l.drop(source, 1<<64-1) }

// ReportAbuse counts what the front door saw against its source.
func (s *Service) ReportAbuse(_ context.Context, r contract.AbuseReport) (struct{}, error) {
	if r.Weight <= 0 {
		return struct{}{}, nil
	}
	why := r.Reason
	if len(why) > maxReason {
		why = why[:maxReason]
	}
	s.offended(sourceOf(r.Source), min(r.Weight, maxWeight), why)
	return struct{}{}, nil
}
