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
	timers  timers
	key     []byte // scratch for lookups

	Local any // the core's own state on this shard
}

// job is a message, or something else to do.
type job struct {
	msg *Message
	fn  func()
}

func newShard(l *Layer) *Shard {
	return &Shard{l: l, wake: make(chan struct{}, 1), servers: map[string]*Server{}, clients: map[string]*Client{}, timers: timers{start: time.Now()}}
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
	for at := now.Sub(s.timers.start); ; {
		t := s.timers.next()
		if t == nil {
			return time.Hour
		}
		if d := t.at - at; d > 0 {
			return d
		}
		t.Stop()
		s.fireOne(t)
	}
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
