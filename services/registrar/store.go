package registrar

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
)

const (
	// linger is how long a record stays in the bucket after its last contact ended, if no registrar lives that would
	// bury it. It must outlast the longest time the platform may be down, or an out-of-service event is missed.
	linger = 7 * 24 * time.Hour

	// buriedTTL is how long the record of a number that went out of service stays: shorter than the time DEVICES
	// remembers message ids, so that a node that starts may publish its event again without harm.
	buriedTTL = time.Minute

	// maxTries bounds a write that loses against other nodes: once, and three times more.
	maxTries = 4

	// maxHolders bounds the requests that wait for one number.
	maxHolders = 16
)

// Reasons of a device event.
const (
	reasonRegistered   = "registered"
	reasonUnregistered = "unregistered"
	reasonExpired      = "expired"
	reasonLost         = "connection-lost"
	reasonRemoved      = "removed"
)

// planner decides what becomes of a number's contacts.
type planner interface {
	// plan puts the contacts that are to be in force into j.next, given those that are, j.old. It returns false when
	// nothing is to be written. It may be called again, after another node was faster.
	plan(j *job, nowMS int64) (change bool)
	// reason is why the number goes out of service, if it does.
	reason() string
}

// job is the working memory of one change; the service keeps a pool of them.
type job struct {
	rec    record
	all    []binding // of the record as stored
	old    []binding // of these, the ones in force
	next   []binding
	buf    []byte
	nowMS  int64 // when the change was worked out
	stored chan stored
	done   func(uint64, error) // sends to stored
	lost   bool                // a put was given up; buf and stored are not ours any more

	reg   registration
	reply reply
}

type stored struct {
	rev uint64
	err error
}

func newJobs() *sync.Pool {
	return &sync.Pool{New: func() any {
		j := &job{stored: make(chan stored, 1), buf: make([]byte, 0, 1024)}
		j.done = func(rev uint64, err error) { j.stored <- stored{rev, err} }
		return j
	}}
}

// free gives j back to the pool without what it points at.
func (s *Service) free(j *job) {
	if j.lost {
		return
	}
	clear(j.all)
	clear(j.old)
	clear(j.next)
	j.rec, j.all, j.old, j.next = record{}, j.all[:0], j.old[:0], j.next[:0]
	j.reg.reset()
	j.reply.reset()
	s.jobs.Put(j)
}

// load reads a record into j.
func (j *job) load(data string, nowMS int64) error {
	j.nowMS = nowMS
	clear(j.old)
	j.rec, j.all, j.old = record{}, j.all[:0], j.old[:0]
	if data == "" {
		return nil
	}
	var err error
	if j.rec, j.all, err = decodeRecord(data, j.all); err != nil {
		return err
	}
	for i := range j.all {
		if j.all[i].live(nowMS) {
			j.old = append(j.old, j.all[i])
		}
	}
	return nil
}

// change lets p decide and stores what it decided. When it returns nil, the bucket has it, and j.old is what is in
// force. a.write is held, so that changes of one number on this node go one after the other; against other nodes it
// compares and sets.
func (s *Service) change(ctx context.Context, a *aor, j *job, p planner) error {
	for try := 1; ; try++ {
		data, rev := s.index.recordOf(a)
		if err := j.load(data, s.nowMS()); err != nil {
			return voice.Errorf(voice.ErrInternal, "record of %s/%s: %v", a.tenant.name, a.dn, err)
		}
		j.next = j.next[:0]
		if !p.plan(j, j.nowMS) {
			return nil
		}
		inService := data != "" && j.rec.flags&flagBuried == 0 // as the events have it
		if len(j.next) == 0 && !inService {
			return nil
		}
		rec := s.outline(j, inService, p.reason())
		revision, err := s.put(ctx, a, j, rec, rev, data != "")
		if err == nil {
			s.adopt(a, rec, j, revision)
			j.old, j.next = j.next, j.old
			return nil
		}
		if !errors.Is(err, voice.ErrConflict) || try == maxTries {
			return err
		}
		s.metrics.conflicts.Inc()
		if err := s.reload(ctx, a); err != nil {
			return err
		}
	}
}

// outline says what a write means for the number's service.
func (s *Service) outline(j *job, inService bool, reason string) record {
	rec := record{writer: s.node}
	switch {
	case len(j.next) == 0:
		rec.flags, rec.reason = flagBuried, reason
		if len(j.all) > 0 {
			rec.contact = newest(j.all).contact
		}
	case !inService:
		rec.flags, rec.reason, rec.contact = flagBorn, reasonRegistered, newest(j.next).contact
	}
	return rec
}

func newest(bs []binding) *binding {
	b := &bs[0]
	for i := range bs {
		if bs[i].expires > b.expires {
			b = &bs[i]
		}
	}
	return b
}

// put stores j.next and waits. exists tells whether the index has a record, at revision rev.
func (s *Service) put(ctx context.Context, a *aor, j *job, rec record, rev uint64, exists bool) (uint64, error) {
	j.buf = appendRecord(j.buf[:0], rec, j.next)
	o := fabric.PutOptions{CAS: true, TTL: buriedTTL}
	if exists {
		o.Revision = rev
	}
	if len(j.next) > 0 {
		o.TTL = time.Duration(newest(j.next).expires-j.nowMS)*time.Millisecond + linger
	}
	s.bucket.PutAsync(fabric.Key(a.tenant.name, a.dn), j.buf, o, j.done)
	select {
	case r := <-j.stored:
		return r.rev, r.err
	case <-ctx.Done():
		j.lost = true
		return 0, voice.Errorf(voice.ErrTimeout, "store the registration of %s/%s: %v", a.tenant.name, a.dn, context.Cause(ctx))
	}
}

// adopt shows a stored write in the index and publishes its event, if it has one.
func (s *Service) adopt(a *aor, rec record, j *job, revision uint64) {
	u := update{rev: revision, data: string(j.buf), bs: j.next, dueMS: s.dueMS(rec, j.next)}
	s.index.apply(aorKey{a.tenant, a.dn}, u, j.nowMS)
	s.announce(a.tenant.name, a.dn, rec, revision)
}

// reload brings the index up to what the bucket has for a.
func (s *Service) reload(ctx context.Context, a *aor) error {
	e, err := s.bucket.Get(ctx, fabric.Key(a.tenant.name, a.dn))
	if errors.Is(err, voice.ErrNotFound) {
		s.index.forget(a)
		return nil
	}
	if err != nil {
		return err
	}
	return s.take(aorKey{a.tenant, a.dn}, e)
}

// take shows an entry of the bucket in the index.
func (s *Service) take(k aorKey, e fabric.Entry) error {
	if e.Op != fabric.EntryPut {
		s.index.apply(k, update{rev: e.Revision}, s.nowMS())
		return nil
	}
	data := string(e.Value)
	rec, bs, err := decodeRecord(data, nil)
	if err != nil {
		return voice.Errorf(voice.ErrInternal, "record of %s/%s at revision %d: %v", k.tenant.name, k.dn, e.Revision, err)
	}
	s.index.apply(k, update{rev: e.Revision, data: data, bs: bs, dueMS: s.dueMS(rec, bs)}, s.nowMS())
	return nil
}

// dueMS is when this node should bury a record whose last contact has ended: its writer at once, the others
// only when the writer seems to be dead.
//
// A record without bindings is nobody's work: its key expires, and the watch tells. Where there is none (see follow),
// the record is forgotten when its time is over.
func (s *Service) dueMS(rec record, bs []binding) int64 {
	if len(bs) == 0 && s.sole {
		return s.nowMS() + buriedTTL.Milliseconds()
	}
	if len(bs) == 0 {
		return 0
	}
	at := newest(bs).expires
	if rec.writer != s.node {
		at += takeOver.Milliseconds()
	}
	return at
}

// follow keeps the index in step with the bucket until ctx ends; synced is called when all of it has been read.
// Where no other process can write to the bucket, there is nothing to learn from it after that, and hearing of each own
// write again would cost as much as a fifth of the write.
func (s *Service) follow(ctx context.Context, synced func()) error {
	loading := true
	watched, enough := context.WithCancel(ctx)
	defer enough()
	err := s.bucket.Watch(watched, "", func(e fabric.Entry) {
		k, ok := s.keyOf(e.Key)
		if !ok {
			s.log.Error("key of another making in the bucket", "bucket", fabric.BucketRegistrations, "key", e.Key)
			return
		}
		if err := s.take(k, e); err != nil {
			s.log.Error("unreadable registration", "err", err)
			return
		}
		if loading && e.Op == fabric.EntryPut {
			s.announceAgain(k, e)
		}
	}, func() {
		loading = false
		synced()
		if s.sole {
			enough()
		}
	})
	if err == nil {
		<-ctx.Done()
	}
	return err
}

func (s *Service) keyOf(key string) (aorKey, bool) {
	tokens := fabric.SplitKey(key)
	if len(tokens) != 2 {
		return aorKey{}, false
	}
	return aorKey{s.index.tenant(tokens[0]), tokens[1]}, true
}

// announce publishes the event of a write. The message id holds the revision, so whoever publishes the event of
// this write again, here or on another node, adds nothing.
func (s *Service) announce(tenant, dn string, rec record, revision uint64) {
	name := voice.EventDNBackInService
	switch {
	case rec.flags&flagBuried != 0:
		name = voice.EventDNOutOfService
	case rec.flags&flagBorn == 0:
		return
	}
	err := s.fabric.Publish(fabric.Event{
		Subject: fabric.Subject("device", tenant, dn, string(name)),
		MsgID:   messageID(tenant, dn, revision, name),
		Payload: voice.DeviceEvent{
			ID: name, Server: "registrar", ThisDN: strings.Clone(dn), Tenant: tenant, Seq: revision, Time: s.now(),
			Node: s.node, Reason: strings.Clone(rec.reason), Contact: strings.Clone(rec.contact),
		},
	})
	if err != nil {
		s.metrics.eventsLost.Inc()
		s.log.Error("device event lost", "tenant", tenant, "dn", dn, "event", name, "err", err)
		return
	}
	s.metrics.event(name)
}

// announceAgain publishes the event of a recent write found at the start: whoever wrote it may have died before its
// event was stored. If it was stored, the message id makes this a duplicate.
func (s *Service) announceAgain(k aorKey, e fabric.Entry) {
	if s.now().Sub(e.Time) > buriedTTL {
		return
	}
	data, rev := s.index.record(k)
	if rev != e.Revision {
		return
	}
	if rec, _, err := decodeRecord(data, nil); err == nil {
		s.announce(k.tenant.name, k.dn, rec, rev)
	}
}

func messageID(tenant, dn string, revision uint64, name voice.EventName) string {
	return fabric.Key(tenant, dn) + "/" + strconv.FormatUint(revision, 10) + "/" + string(name)
}
