package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"parley/internal/voice"
)

const (
	publishWindow = 1024            // events under way to the JetStream
	publishAck    = 5 * time.Second // an acknowledgement later than this counts as none
	retryFirst    = 50 * time.Millisecond
	retryMost     = 2 * time.Second
	lostLogEvery  = time.Second // a flood of losses is one line a second
	headerMsgID   = "Nats-Msg-Id"
)

// publisher stores events in the background.
//
// Order is kept by lanes: the events of one lane (see route) are under way one at a
// time, so neither a retry nor a change of leader can let a later one overtake. Lanes are independent, and a lane
// exists only while it has events. One goroutine sends; callers only append to lists under mu. Each stream has its own
// number of events under way, so that one without a leader does not hold up the others.
//
// An item is in list `all` from Publish until it is stored or lost; the oldest is at its head, which answers both
// "how old is the oldest" and "has everything before my Flush gone".
type publisher struct {
	acks  *acks
	log   *slog.Logger
	limit int
	id    string // first part of the message ids made here
	wake  chan struct{}
	done  chan struct{} // closed when the sender has ended

	flushing atomic.Int32 // who waits in flush: promises go to disk without delay

	mu       sync.Mutex // guards what follows
	lanes    map[string]*lane
	all      itemList
	waiting  int // items in all
	topics   map[string]*topic
	retry    []*item // heads of lanes that failed
	retryIn  time.Duration
	timer    *time.Timer // moves retry to ready
	ticket   uint64      // of the last item added
	flushers []flusher
	closing  bool // no more items
	stopped  bool // nothing is sent any more
	counts   producerCounts
	lostSaid time.Time
	lostMore int // losses not yet said
}

type item struct {
	subject, msgID string
	topic, tenant  string
	laneKey        string
	data           []byte
	queued         time.Time
	done           func(seq uint64, err error) // may be nil
	ticket         uint64
	abandoned      bool // nobody wants it any more; set before it was sent
	sent           bool // was under way at least once
	settled        bool // stored, lost or taken back; nothing more happens to it
	prev, next     *item
	follows        *item // next in the lane
}

// topic is what waits for one stream.
type topic struct {
	ready    []*item    // heads of lanes, to be sent
	underWay int        // handed to the sender and not settled
	sync     *groupSync // asked before an acknowledged event counts as stored; nil = the server has seen to it
}

// lane is a queue of items that must not overtake each other. Its first is ready, under way or to be retried, and links
// to the others.
type lane struct{ tail *item }

type itemList struct{ head, tail *item }

type flusher struct {
	upTo uint64
	done chan struct{}
}

// newPublisher starts the sender. server is nil when an acknowledgement alone says that a promise is on disk.
func newPublisher(nc *nats.Conn, limit int, server Syncer, log *slog.Logger) (*publisher, error) {
	a, err := newAcks(nc, publishWindow*len(streamSpecs))
	if err != nil {
		return nil, err
	}
	p := &publisher{
		acks: a, log: log, limit: limit, id: nuid.Next() + ":",
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		lanes: map[string]*lane{}, topics: map[string]*topic{}, retryIn: retryFirst, counts: newProducerCounts(),
	}
	for _, s := range streamSpecs {
		t := &topic{}
		if s.class == promise && server != nil {
			t.sync = newGroupSync(server, s.name)
		}
		p.topics[s.name] = t
	}
	p.timer = time.AfterFunc(time.Hour, p.retryNow)
	p.timer.Stop()
	go p.send()
	return p, nil
}

// add queues it, or refuses it when the buffer is full.
func (p *publisher) add(it *item) error {
	p.mu.Lock()
	if p.closing || p.waiting >= p.limit {
		err := errFull
		if p.closing {
			err = errClosed
		}
		p.counts.errors++
		p.lostLocked(it, err)
		p.mu.Unlock()
		return err
	}
	p.ticket++
	it.ticket = p.ticket
	p.waiting++
	p.all.push(it)
	if l := p.lanes[it.laneKey]; l != nil {
		l.tail.follows = it
		l.tail = it
		p.mu.Unlock()
		return nil
	}
	p.lanes[it.laneKey] = &lane{tail: it}
	p.readyLocked(it)
	p.mu.Unlock()
	p.signal()
	return nil
}

var errFull = voice.Errorf(voice.ErrOverloaded, "too many events wait to be published")

// refused counts an event that could not even be queued.
func (p *publisher) refused(subject string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.errors++
	p.lostLocked(&item{subject: subject}, err)
}

// readyLocked has it sent when its stream's turn comes.
func (p *publisher) readyLocked(it *item) {
	t := p.topics[it.topic]
	t.ready = append(t.ready, it)
}

// takeLocked gives what may be sent now.
func (p *publisher) takeLocked() (batch []*item) {
	for _, t := range p.topics {
		n := min(len(t.ready), publishWindow-t.underWay)
		batch = append(batch, t.ready[:n]...)
		t.underWay += n
		if t.ready = t.ready[n:]; len(t.ready) == 0 {
			t.ready = nil
		}
	}
	return batch
}

func (p *publisher) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// send is the one goroutine that hands events to the connection.
func (p *publisher) send() {
	defer close(p.done)
	for range p.wake {
		for {
			p.mu.Lock()
			batch := p.takeLocked()
			stop := p.stopped
			p.mu.Unlock()
			if stop {
				return
			}
			if len(batch) == 0 {
				break
			}
			for _, it := range batch {
				p.sendOne(it)
			}
		}
	}
}

func (p *publisher) sendOne(it *item) {
	p.mu.Lock()
	if it.abandoned {
		p.mu.Unlock()
		p.settle(it, 0, errAbandoned)
		return
	}
	it.sent = true
	if it.msgID == "" {
		it.msgID = p.id + strconv.FormatUint(it.ticket, 36)
	}
	p.mu.Unlock()
	m := &nats.Msg{Subject: it.subject, Data: it.data, Header: nats.Header{headerMsgID: {it.msgID}}}
	err := p.acks.send(nil, m, publishAck, func(seq uint64, err error) { p.acknowledged(it, seq, err) })
	if err != nil {
		p.settle(it, 0, err)
	}
}

// acknowledged settles it, a promise only when it is on disk too. The map of topics never changes.
func (p *publisher) acknowledged(it *item, seq uint64, err error) {
	group := p.topics[it.topic].sync
	if err != nil || group == nil {
		p.settle(it, seq, err)
		return
	}
	group.then(it.done != nil || p.flushing.Load() > 0, func(err error) {
		if err != nil {
			seq = 0
		}
		p.settle(it, seq, err)
	})
}

var errAbandoned = errors.New("taken back by its publisher")

// settle ends it, or has it sent again when the failure may pass.
func (p *publisher) settle(it *item, seq uint64, err error) {
	p.mu.Lock()
	if it.settled { // counted as lost when the publisher closed, and the acknowledgement came after all
		p.mu.Unlock()
		return
	}
	t := p.topics[it.topic]
	t.underWay--
	if err != nil && !errors.Is(err, errAbandoned) {
		p.counts.errors++
		if transient(err) && !p.stopped {
			p.retryLocked(it, err)
			more := len(t.ready) > 0
			p.mu.Unlock()
			if more {
				p.signal()
			}
			return
		}
	}
	it.settled = true
	switch {
	case err == nil:
		p.retryIn = retryFirst
		p.counts.stored(it)
	case !errors.Is(err, errAbandoned):
		p.lostLocked(it, err)
	}
	p.all.remove(it)
	p.waiting--
	next := it.follows
	if next == nil {
		delete(p.lanes, it.laneKey)
	} else {
		p.readyLocked(next)
	}
	p.flushedLocked()
	more := len(t.ready) > 0
	p.mu.Unlock()
	if more {
		p.signal()
	}
	if it.done != nil {
		it.done(seq, err)
	}
}

// retryLocked has it sent again a little later, all failed ones together and the later the longer nothing succeeds.
func (p *publisher) retryLocked(it *item, err error) {
	p.retry = append(p.retry, it)
	if len(p.retry) > 1 {
		return
	}
	p.timer.Reset(p.retryIn)
	if p.retryIn == retryMost {
		p.log.LogAttrs(context.Background(), slog.LevelWarn, "events wait for the JetStream", slog.Int("waiting", p.waiting),
			slog.String("subject", it.subject), slog.Any("err", err))
	}
	p.retryIn = min(2*p.retryIn, retryMost)
}

// transient tells a failure that may pass: no leader, no connection, no room, no answer.
func transient(err error) bool {
	return !errors.Is(err, voice.ErrInvalid) && !errors.Is(err, voice.ErrConflict) && !errors.Is(err, errClosed) &&
		!errors.Is(err, errNotSynced)
}

// lostLocked counts an event that will never be stored and says so.
func (p *publisher) lostLocked(it *item, err error) {
	p.counts.lost++
	if now := time.Now(); now.Sub(p.lostSaid) >= lostLogEvery {
		p.log.LogAttrs(context.Background(), slog.LevelError, "event lost", slog.String("subject", it.subject),
			slog.Any("err", err), slog.Int("unsaid", p.lostMore))
		p.lostSaid, p.lostMore = now, 0
		return
	}
	p.lostMore++
}

func (p *publisher) retryNow() {
	p.mu.Lock()
	for _, it := range p.retry {
		p.readyLocked(it)
	}
	p.retry = nil
	p.mu.Unlock()
	p.signal()
}

// kick sends what failed at once: the connection is back.
func (p *publisher) kick() {
	p.mu.Lock()
	p.retryIn = retryFirst
	p.mu.Unlock()
	p.retryNow()
}

// abandon takes it back unless it is under way.
func (p *publisher) abandon(it *item) {
	p.mu.Lock()
	it.abandoned = !it.sent
	p.mu.Unlock()
}

func (p *publisher) flush(ctx context.Context) error {
	p.mu.Lock()
	if p.all.head == nil {
		p.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	p.flushers = append(p.flushers, flusher{p.ticket, done})
	p.mu.Unlock()
	p.flushing.Add(1)
	defer p.flushing.Add(-1)
	for _, t := range p.topics {
		if t.sync != nil {
			t.sync.ring()
		}
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctxError(ctx)
	}
}

func (p *publisher) flushedLocked() {
	for len(p.flushers) > 0 && (p.all.head == nil || p.all.head.ticket > p.flushers[0].upTo) {
		close(p.flushers[0].done)
		p.flushers = p.flushers[1:]
	}
}

// close takes no more events, waits for those there are until ctx ends, and counts the rest as lost.
func (p *publisher) close(ctx context.Context) error {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	_ = p.flush(ctx) // what is left is counted below
	p.mu.Lock()
	p.stopped = true
	p.timer.Stop()
	before := p.counts.lost
	p.mu.Unlock()
	p.acks.close() // settles what is under way
	p.signal()
	<-p.done
	for _, t := range p.topics {
		if t.sync != nil {
			t.sync.close() // settles what waits for the disk
		}
	}
	if left := p.dropAll() - before; left > 0 {
		return fmt.Errorf("fabric: %d events could not be published before the end", left)
	}
	return nil
}

// dropAll counts what is left as lost and returns how many were lost ever.
func (p *publisher) dropAll() (lost uint64) {
	p.mu.Lock()
	var told []func(uint64, error)
	for it := p.all.head; it != nil; it = it.next {
		it.settled = true
		p.counts.errors++
		p.lostLocked(it, errClosed)
		if it.done != nil {
			told = append(told, it.done)
		}
	}
	p.all, p.lanes, p.waiting = itemList{}, map[string]*lane{}, 0
	p.flushedLocked()
	lost = p.counts.lost
	p.mu.Unlock()
	for _, done := range told {
		done(0, errClosed)
	}
	return lost
}

func (l *itemList) push(it *item) {
	it.prev = l.tail
	if l.tail == nil {
		l.head = it
	} else {
		l.tail.next = it
	}
	l.tail = it
}

func (l *itemList) remove(it *item) {
	if it.prev == nil {
		l.head = it.next
	} else {
		it.prev.next = it.next
	}
	if it.next == nil {
		l.tail = it.prev
	} else {
		it.next.prev = it.prev
	}
	it.prev, it.next = nil, nil
}
