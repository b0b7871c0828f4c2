package transport

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Set is the sockets of one node.
type Set struct {
	opts       Options
	limits     Limits
	log        *slog.Logger
	boot       string    // first part of flow ids, new in each process
	born       time.Time // times in the limiter and of connections count from here
	limiter    *limiter
	streamRate rate
	conns      connTable
	dials      dialer
	routes     routes
	abuse      chan abuseReport
	endpoints  []endpoint

	udp    []*udpListener // in the order of Options.Listen, as streams
	stream []*streamListener
	bound  []string

	opened   atomic.Bool // the listeners above are set
	stopping atomic.Bool
	stopped  chan struct{}  // closed when stopping becomes true
	work     sync.WaitGroup // readers of connections, dials, queue writers

	stats      [len(transports)]transportStats
	stun       atomic.Uint64
	floods     atomic.Uint64 // connections read more slowly because they sent too fast
	waits      atomic.Uint64 // sends that had to be queued
	lostAbuse  atomic.Uint64
	dialFaults [len(transports)]atomic.Uint64 // of dialled connections
	faults     faultLog
}

// New checks o and opens nothing. The error names everything that is wrong.
func New(o Options) (*Set, error) {
	var errs []error
	var endpoints []endpoint
	secure := false
	for _, raw := range o.Listen {
		e, err := parseEndpoint(raw)
		errs = append(errs, err)
		endpoints = append(endpoints, e)
		secure = secure || e.transport.Secure()
	}
	o.Limits = o.Limits.withDefaults()
	o.Sockets = max(o.Sockets, 0)
	if err := errors.Join(errors.Join(errs...), o.validate(secure)); err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var boot [5]byte
	rand.Read(boot[:]) // never fails
	s := &Set{
		opts:       o,
		limits:     o.Limits,
		log:        o.Log,
		boot:       hex.EncodeToString(boot[:]),
		born:       time.Now(),
		limiter:    newLimiter(o.Limits),
		streamRate: newRate(o.Limits.StreamRate, 2*o.Limits.StreamRate),
		abuse:      make(chan abuseReport, abuseQueue),
		endpoints:  endpoints,
		stopped:    make(chan struct{}),
	}
	s.conns.init()
	s.dials.init()
	if o.Registerer != nil {
		if err := o.Registerer.Register(&collector{set: s}); err != nil {
			return nil, fmt.Errorf("transport: %w", err)
		}
	}
	return s, nil
}

// Open binds all sockets, or none: a *ListenError names the URL at fault and the way out. From here on datagrams
// and connections wait in the kernel until Run.
func (s *Set) Open() error {
	for _, e := range s.endpoints {
		var bound netip.AddrPort
		if e.transport == UDP {
			l, err := openUDP(context.Background(), s, e, max(s.opts.Sockets, 1))
			if err != nil {
				s.closeListeners()
				return err
			}
			s.udp, bound = append(s.udp, l), l.bound
		} else {
			l, err := openStream(context.Background(), s, e)
			if err != nil {
				s.closeListeners()
				return err
			}
			s.stream, bound = append(s.stream, l), l.bound
		}
		s.bound = append(s.bound, e.boundTo(bound))
	}
	s.opened.Store(true)
	return nil
}

// closeListeners closes all listening sockets, UDP ones too.
func (s *Set) closeListeners() {
	for _, l := range s.stream {
		l.close()
	}
	for _, l := range s.udp {
		l.close()
	}
}

// Run serves until ctx ends: then it stops to listen, closes the connections once what is queued has left
// (DrainTimeout at most), waits for every handler to return, and returns nil. Call it once, after Open.
// What answers requests should stop before ctx ends, since nothing can be sent afterwards.
func (s *Set) Run(ctx context.Context) error {
	edge, edgeCtx := errgroup.WithContext(ctx)
	for _, l := range s.udp {
		for _, sock := range l.sockets {
			edge.Go(func() error { sock.read(); return nil })
		}
	}
	for _, l := range s.stream {
		edge.Go(l.serve)
	}
	helpers, stopHelpers := context.WithCancel(context.WithoutCancel(ctx))
	var core sync.WaitGroup
	core.Go(func() { s.sweep(helpers) })
	core.Go(func() { s.reportAbuse(helpers) })

	<-edgeCtx.Done() // the caller's end, or a listener that failed
	s.stop()
	err := edge.Wait()
	s.drain()
	stopHelpers()
	core.Wait()
	s.closeListeners()
	return err
}

// stop ends accepting and reading of datagrams; UDP sockets stay open for what is still to be sent.
func (s *Set) stop() {
	if s.stopping.Swap(true) {
		return
	}
	close(s.stopped)
	for _, l := range s.stream {
		l.close()
	}
	for _, l := range s.udp {
		for _, sock := range l.sockets {
			sock.conn.SetReadDeadline(s.born) // wakes the reader
		}
	}
}

// drain closes all connections and waits for their goroutines.
func (s *Set) drain() {
	s.conns.shut()
	for _, c := range s.conns.all(nil) {
		c.closeGently(ClosedShutdown)
	}
	late := time.AfterFunc(s.limits.DrainTimeout, func() {
		for _, c := range s.conns.all(nil) {
			c.abort(ClosedShutdown)
		}
	})
	defer late.Stop()
	s.work.Wait()
}

// Close frees the sockets of a Set that is opened and never run; after Run it does nothing.
func (s *Set) Close() error {
	s.stop()
	s.drain()
	s.closeListeners()
	return nil
}

// pause waits, and tells whether the set is still running after that.
func (s *Set) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.stopped:
		return false
	}
}

// since is t on the clock of the limiter: nanoseconds since the set was made.
func (s *Set) since(t time.Time) int64 { return int64(t.Sub(s.born)) }

// now is the present on that clock.
func (s *Set) now() int64 { return int64(time.Since(s.born)) }

// deliver gives a message to the handler.
func (s *Set) deliver(m Message) {
	defer s.rescue(m.Flow, "handler panicked on a message")
	s.opts.Handler(m)
}

// tellClosed gives the end of a connection to the caller.
func (s *Set) tellClosed(f Flow, why CloseReason) {
	defer s.rescue(f, "handler panicked on a closed connection")
	s.opts.Closed(f, why)
}

// rescue stops a panic: what comes from outside must not end the process, whatever it finds in the parsers behind
// the handler. It costs the message.
func (s *Set) rescue(f Flow, msg string) {
	if r := recover(); r != nil {
		s.stats[f.Transport().index()].drop(dropPanic)
		s.log.Error(msg, "transport", f.Transport(), "source", f.Remote(), "panic", r, "stack", string(debug.Stack()))
	}
}

// faultLog lets one line of a kind of trouble through every ten seconds: under attack the log is not the casualty.
type faultLog struct{ next atomic.Int64 }

func (f *faultLog) log(log *slog.Logger, msg string, args ...any) {
	now := time.Now().UnixNano()
	next := f.next.Load()
	if now < next || !f.next.CompareAndSwap(next, now+int64(10*time.Second)) {
		return
	}
	log.Warn(msg, args...)
}
