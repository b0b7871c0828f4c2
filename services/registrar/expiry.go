package registrar

import (
	"context"
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
)

const (
	// expiryTick is how often the registrar looks for contacts that ended.
	expiryTick = 500 * time.Millisecond

	// takeOver is how long the other nodes leave an ended registration to the node that wrote it. Should they race
	// for it nevertheless, one wins the compare-and-set, and only he publishes.
	takeOver = 10 * time.Second

	// expiryRetry is when an ended registration is tried again that could not be buried.
	expiryRetry = 5 * time.Second

	// expiryBatch is how many registrations are buried at once. Numbers of a batch are held until their events are
	// on their way, so a batch must take milliseconds; a storm of any size is a row of batches.
	expiryBatch = 512

	// expiryLook is how many due records are looked at under one lock.
	expiryLook = 256
)

// expireLoop buries registrations that ended until ctx ends.
func (s *Service) expireLoop(ctx context.Context) {
	tick := time.NewTicker(expiryTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.expire(ctx)
		}
	}
}

// expire deals with everything that is due now.
func (s *Service) expire(ctx context.Context) {
	var batch []*aor
	for i := range s.index.shards {
		for {
			var more bool
			batch, more = s.ended(&s.index.shards[i], batch)
			if len(batch) >= expiryBatch {
				s.bury(ctx, batch)
				batch = batch[:0]
			}
			if !more || ctx.Err() != nil {
				break
			}
		}
	}
	s.bury(ctx, batch)
}

// ended looks at what is due in a shard. It brings the counts up to date and appends the numbers that this node has
// to take out of service, acquired and with their write lock held. more tells whether it stopped before the end.
func (s *Service) ended(sh *shard, batch []*aor) (_ []*aor, more bool) {
	now := s.nowMS()
	var scratch [8]binding
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for n := 0; len(sh.due) > 0 && sh.due[0].due <= now; n++ {
		if n == expiryLook || len(batch) >= expiryBatch {
			return batch, true
		}
		a := sh.due[0]
		rec, bs, err := decodeRecord(a.data, scratch[:0])
		if err != nil { // only what could be decoded comes into the index
			s.log.Error("unreadable registration in memory", "tenant", a.tenant.name, "dn", a.dn, "err", err)
			sh.unscheduleLocked(a)
			continue
		}
		if rec.flags&flagBuried != 0 && len(bs) == 0 { // its key has expired
			s.index.forgetLocked(sh, a)
			sh.dropLocked(a)
			continue
		}
		alive, next := inForce(bs, now)
		a.setAliveLocked(alive)
		switch at := s.dueMS(rec, bs); {
		case alive > 0:
			sh.postponeLocked(a, next)
		case at > now:
			sh.postponeLocked(a, at)
		case !a.write.TryLock(): // a REGISTER is under way; it may bring new life
			sh.postponeLocked(a, now+expiryTick.Milliseconds())
		default:
			a.holders++
			batch = append(batch, a)
			sh.postponeLocked(a, now+expiryRetry.Milliseconds())
		}
	}
	return batch, false
}

// burial is one number of a batch on its way.
type burial struct {
	a   *aor
	rec record
	buf []byte
	stored
}

// bury takes numbers out of service whose contacts have all ended, and lets them go.
func (s *Service) bury(ctx context.Context, batch []*aor) {
	if len(batch) == 0 {
		return
	}
	work := make(chan *burial, len(batch)) // as many as can come: done never blocks
	under := 0
	for _, a := range batch {
		b, rev := s.burial(a)
		if b == nil {
			continue
		}
		under++
		s.bucket.PutAsync(fabric.Key(a.tenant.name, a.dn), b.buf, fabric.PutOptions{CAS: true, Revision: rev, TTL: buriedTTL},
			func(rev uint64, err error) {
				b.stored = stored{rev, err}
				work <- b
			})
	}
	for range under {
		s.buried(<-work)
	}
	// The events are published before the numbers are let go, and stored before the next batch adds to them.
	if err := s.fabric.Flush(ctx); err != nil && ctx.Err() == nil {
		s.log.Warn("events wait for the fabric", "err", err)
	}
	for _, a := range batch {
		a.write.Unlock()
		s.index.release(a)
	}
}

// burial prepares the record that ends a's service; nil if it lives after all.
func (s *Service) burial(a *aor) (b *burial, rev uint64) {
	data, rev := s.index.recordOf(a)
	var scratch [8]binding
	rec, bs, err := decodeRecord(data, scratch[:0])
	if err != nil || rec.flags&flagBuried != 0 || len(bs) == 0 {
		return nil, 0
	}
	if alive, _ := inForce(bs, s.nowMS()); alive > 0 {
		return nil, 0
	}
	end := record{flags: flagBuried, writer: s.node, reason: reasonExpired, contact: newest(bs).contact}
	return &burial{a: a, rec: end, buf: appendRecord(nil, end, nil)}, rev
}

// buried notes that a burial is stored, or was not.
func (s *Service) buried(b *burial) {
	if b.err != nil {
		if voice.CodeOf(b.err) == voice.CodeOf(voice.ErrConflict) { // another node was faster: its write comes by the watch
			s.metrics.conflicts.Inc()
			return
		}
		s.log.Warn("ended registration not stored, will try again", "tenant", b.a.tenant.name, "dn", b.a.dn, "err", b.err)
		return
	}
	s.index.apply(aorKey{b.a.tenant, b.a.dn}, update{rev: b.rev, data: string(b.buf), dueMS: s.dueMS(b.rec, nil)}, s.nowMS())
	s.announce(b.a.tenant.name, b.a.dn, b.rec, b.rev)
}
