package txn

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/sipua/transport"
	"parley/internal/sipua/wire"
)

// What a transaction ends with when no final response came.
var (
	ErrTimeout = errors.New("txn: no answer in time")
	ErrSend    = errors.New("txn: could not be sent")
	ErrEnded   = errors.New("txn: transaction has ended")
)

// Path is where messages of a transaction are sent: a transport.Flow, or in tests whatever a test wants.
type Path interface {
	// Send sends one whole message without waiting for the peer and does not keep b.
	Send(b []byte) error
	// Transport decides about retransmissions.
	Transport() transport.Transport
}

// Message is one message on its way through a shard. It owns its bytes.
type Message struct {
	wire.Message
	Flow     transport.Flow // where it came from
	Reply    Path           // where answers to it go (RFC 3261 §18.2.2)
	Received time.Time
	Shard    *Shard
}

// Core is what transactions are for: the proxy. Its methods run on a shard and must not wait.
type Core interface {
	// Request gets each new server transaction. Sooner or later it must be answered with a final response.
	Request(tx *Server)
	// Cancel says that the sender of tx no longer wants it; the CANCEL itself has been answered. Only for an INVITE
	// without final response. m is the CANCEL.
	Cancel(tx *Server, m *Message)
	// Ack gets each ACK that belongs to no transaction here: the one to a 2xx (RFC 3261 §13.2.2.4).
	Ack(m *Message)
	// Stray gets a response that no client transaction waits for.
	Stray(m *Message)
	// Answer answers m without a transaction.
	Answer(m *Message, status int)
}

// Timers are the times of RFC 3261 §17.1.1.1 and how long a transaction may stay without final response.
type Timers struct {
	T1, T2, T4 time.Duration
	MaxAge     time.Duration // of an INVITE nobody answers; above Timer C of the proxy
}

// DefaultTimers are those of RFC 3261, and ten minutes.
func DefaultTimers() Timers {
	return Timers{T1: 500 * time.Millisecond, T2: 4 * time.Second, T4: 5 * time.Second, MaxAge: 10 * time.Minute}
}

// Options describe a Layer. Core is required.
type Options struct {
	Core       Core
	Timers     Timers // zero: DefaultTimers
	Shards     int    // 0: four a processor
	Queue      int    // messages waiting at a shard; 0: 2048
	MaxServer  int    // server transactions at once; 0: 100,000
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// Layer is the transactions of one front door. Receive may be called from anywhere.
type Layer struct {
	core    Core
	timers  Timers
	shards  []*Shard
	seed    maphash.Seed
	queue   int
	max     int64
	servers atomic.Int64
	clients atomic.Int64
	m       *metrics
	log     *slog.Logger
}

// New returns a Layer; Run sets it going.
func New(o Options) *Layer {
	if o.Timers == (Timers{}) {
		o.Timers = DefaultTimers()
	}
	if o.Shards == 0 {
		o.Shards = 4 * runtime.GOMAXPROCS(0)
	}
	if o.Queue == 0 {
		o.Queue = 2048
	}
	if o.MaxServer == 0 {
		o.MaxServer = 100_000
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Layer{core: o.Core, timers: o.Timers, seed: maphash.MakeSeed(), queue: o.Queue, max: int64(o.MaxServer), log: o.Log}
	l.m = newMetrics(o.Registerer, l)
	for range o.Shards {
		l.shards = append(l.shards, newShard(l))
	}
	return l
}

// Run works until ctx ends; what is open then is dropped without a word.
func (l *Layer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, s := range l.shards {
		wg.Go(func() { s.run(ctx) })
	}
	wg.Wait()
	return nil
}

// Shard is the shard that handles a Call-ID.
func (l *Layer) Shard(callID []byte) *Shard {
	return l.shards[maphash.Bytes(l.seed, callID)%uint64(len(l.shards))]
}

// Each runs fn on every shard.
func (l *Layer) Each(fn func(*Shard)) {
	for _, s := range l.shards {
		s.Do(func() { fn(s) })
	}
}

// Receive copies m and hands it to its shard; false says that the shard has too much to do already.
func (l *Layer) Receive(m *wire.Message, flow transport.Flow, reply Path, received time.Time) bool {
	s := l.Shard(m.Get(wire.CallID))
	msg := &Message{Flow: flow, Reply: reply, Received: received, Shard: s}
	m.CopyTo(&msg.Message)
	if !s.offer(msg) {
		l.m.overflow.Inc()
		return false
	}
	return true
}

// Servers is how many server transactions there are.
func (l *Layer) Servers() int { return int(l.servers.Load()) }

// Clients is how many client transactions there are.
func (l *Layer) Clients() int { return int(l.clients.Load()) }

// Waiting is how many messages wait at the shards.
func (l *Layer) Waiting() (n int) {
	for _, s := range l.shards {
		n += int(s.waiting.Load())
	}
	return n
}
