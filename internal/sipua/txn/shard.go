package txn

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Shard is one goroutine and everything it owns. Apart from Do, its methods and those of its transactions are for
// that goroutine only.
type Shard struct {
	l *Layer

	mu      sync.Mutex // guards jobs
	jobs    []job
	waiting atomic.Int64  // messages among jobs
	wake    chan struct{} // capacity 1

	servers map[string]*Server
	clients map[string]*Client
	timers  timerHeap
	key     []byte // scratch for lookups

	Local any // the core's own state on this shard
}

// job is a message, or something else to do.
type job struct {
	msg *Message
	fn  func()
}

func newShard(l *Layer) *Shard {
	return &Shard{l: l, wake: make(chan struct{}, 1), servers: map[string]*Server{}, clients: map[string]*Client{}}
}

// Do runs fn on the shard, after what came before it. It never blocks and never refuses: callers are bounded by the
// transactions they have.
func (s *Shard) Do(fn func()) { s.post(job{fn: fn}) }

// offer queues a message from outside unless too many wait.
func (s *Shard) offer(m *Message) bool {
	if s.waiting.Load() >= int64(s.l.queue) {
		return false
	}
	s.waiting.Add(1)
	s.post(job{msg: m})
	return true
}

func (s *Shard) post(j job) {
	s.mu.Lock()
	s.jobs = append(s.jobs, j)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Shard) run(ctx context.Context) {
	idle := time.NewTimer(time.Hour)
	defer idle.Stop()
	defer s.dropAll()
	var batch []job
	for {
		s.mu.Lock()
		batch, s.jobs = s.jobs, batch[:0]
		s.mu.Unlock()
		for i := range batch {
			s.handle(batch[i])
			batch[i] = job{}
		}
		next := s.fire(time.Now())
		if len(batch) > 0 && ctx.Err() == nil {
			continue
		}
		idle.Reset(next)
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-idle.C:
		}
	}
}

// handle survives a panic: it costs the message it came with, not the node.
func (s *Shard) handle(j job) {
	defer s.rescue()
	if j.msg == nil {
		j.fn()
		return
	}
	s.waiting.Add(-1)
	if j.msg.IsRequest() {
		s.request(j.msg)
	} else {
		s.response(j.msg)
	}
}

func (s *Shard) rescue() {
	if r := recover(); r != nil {
		s.l.m.panics.Inc()
		s.l.log.LogAttrs(context.Background(), slog.LevelError, "panic while handling a SIP message",
			slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
	}
}

// fire runs the timers that are due and returns the time to the next.
func (s *Shard) fire(now time.Time) time.Duration {
	for len(s.timers) > 0 {
		t := s.timers[0]
		if d := t.at.Sub(now); d > 0 {
			return d
		}
		s.timers.remove(t)
		s.fireOne(t)
	}
	return time.Hour
}

func (s *Shard) fireOne(t *Timer) {
	defer s.rescue()
	t.fn()
}

func (s *Shard) dropAll() {
	for _, tx := range s.servers {
		tx.end()
	}
	for _, c := range s.clients {
		c.end()
	}
}

// Timer is something a shard does later.
type Timer struct {
	shard *Shard
	at    time.Time
	index int // in the heap; -1 when it is not there
	fn    func()
}

// After runs fn on the shard in d.
func (s *Shard) After(d time.Duration, fn func()) *Timer {
	t := &Timer{shard: s, at: time.Now().Add(d), fn: fn}
	s.timers.add(t)
	return t
}

// Reset sets the timer anew, whether it has run or not.
func (t *Timer) Reset(d time.Duration) {
	t.shard.timers.remove(t)
	t.at = time.Now().Add(d)
	t.shard.timers.add(t)
}

// Stop takes the timer back; a nil or stopped one may be stopped too.
func (t *Timer) Stop() {
	if t != nil {
		t.shard.timers.remove(t)
	}
}

// timerHeap is a binary heap by time. It keeps each timer's place, so that one that is stopped leaves at once and takes what
// it refers to with it.
type timerHeap []*Timer

func (h *timerHeap) add(t *Timer) {
	t.index = len(*h)
	*h = append(*h, t)
	h.up(t.index)
}

func (h *timerHeap) remove(t *Timer) {
	i := t.index
	if i < 0 || i >= len(*h) || (*h)[i] != t {
		return
	}
	last := len(*h) - 1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	if i < last {
		h.down(i)
		h.up(i)
	}
	t.index = -1
}

func (h timerHeap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h timerHeap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h[i].at.Before(h[parent].at) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h timerHeap) down(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h); c++ {
			if h[c].at.Before(h[least].at) {
				least = c
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
