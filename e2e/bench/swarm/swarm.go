package swarm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"parley/e2e/phone"
)

// Options say where a Swarm works.
type Options struct {
	Carrier  netip.AddrPort // of the callers; the platform knows it as a trunk. Port 0 is any
	Phones   netip.AddrPort // of the phones; contacts of the numbers lead there
	Stranger netip.AddrPort // of those who are nobody; not an address of the others, as it may be banned
	Domain   string
	Seed     uint64
	Talk     time.Duration // longest conversation
	Only     Kind          // of the calls of Run; Mixed is a mixture of all

	// Audio, if set, is called once for each side of a call that has said where it takes audio: who hears it there, and where
	// audio for the other side goes to. It must not wait.
	Audio func(s Side, to netip.AddrPort)
}

// Side is a side of a call.
type Side int

// The sides, and the ports their session descriptions name, on the addresses of Options.
const (
	Caller Side = iota
	Phone

	CallerPort = 40000
	PhonePort  = 41000
)

// Result is how a call ended for its caller.
type Result struct {
	CallID string
	Kind   Kind
	Status int // final; 0 = none came
	Hangs  bool
}

// Swarm is a carrier and its phones. See [New] and [Swarm.Run].
type Swarm struct {
	o                        Options
	carrier, phones, strange *endpoint
	wg                       sync.WaitGroup

	mu      sync.Mutex // guards what follows
	rng     *rand.Rand
	results []Result
	open    int
	none    chan struct{} // closed when open falls to 0; nil while nobody waits
}

// patience is how long a caller waits for an end of his call before he says that it hangs.
const patience = 90 * time.Second

// New opens the sockets and begins to answer calls, until Close. Their addresses are in Provisioning, so that a platform can be
// started for them; then tell where it is with Aim.
func New(o Options) (*Swarm, error) {
	s := &Swarm{o: o, rng: rand.New(rand.NewPCG(o.Seed, o.Seed+1))}
	for _, e := range []struct {
		end   **endpoint
		at    netip.AddrPort
		serve func(*endpoint, *phone.Message)
	}{{&s.carrier, o.Carrier, s.atCarrier}, {&s.phones, o.Phones, s.atPhones}, {&s.strange, o.Stranger, s.atStranger}} {
		var err error
		if *e.end, err = listen(e.at); err != nil {
			s.Close()
			return nil, err
		}
		end := *e.end
		s.wg.Go(func() { end.read(func(m *phone.Message) { e.serve(end, m) }) })
	}
	return s, nil
}

// Aim says where the platform takes SIP over UDP. Call it before Run.
func (s *Swarm) Aim(platform netip.AddrPort) {
	for _, e := range []*endpoint{s.carrier, s.phones, s.strange} {
		e.to.Store(&platform)
	}
}

// Close ends it; calls in progress are left as they are.
func (s *Swarm) Close() {
	for _, e := range []*endpoint{s.carrier, s.phones, s.strange} {
		if e != nil {
			e.close()
		}
	}
	s.wg.Wait()
}

// Run makes n calls, rate a second, and waits for the last to end.
func (s *Swarm) Run(ctx context.Context, n int, rate float64) ([]Result, error) {
	begun := time.Now()
	for i := range n {
		if wait := time.Until(begun.Add(time.Duration(float64(i) / rate * float64(time.Second)))); wait > 0 {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(wait):
			}
		}
		k := s.o.Only
		if k == Mixed {
			k = s.choose()
		}
		s.Call(k)
		if s.o.Only == Mixed && s.chance(20) {
			s.rubbish()
		}
	}
	s.mu.Lock()
	none := make(chan struct{})
	s.none = none
	s.endedLocked()
	s.mu.Unlock()
	select {
	case <-none:
	case <-ctx.Done():
		return nil, fmt.Errorf("%d calls of %d are still open: %w", s.left(), n, ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.results, nil
}

func (s *Swarm) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// done notes how a call ended.
func (s *Swarm) done(r Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results = append(s.results, r)
	s.open--
	s.endedLocked()
}

func (s *Swarm) endedLocked() {
	if s.open == 0 && s.none != nil {
		close(s.none)
		s.none = nil
	}
}

func (s *Swarm) choose() Kind {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.rng.IntN(100)
	for k, w := range weights {
		if at -= w; at < 0 {
			return Kind(k)
		}
	}
	return Answered
}

// chance is true once in n times.
func (s *Swarm) chance(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(n) == 0
}

// upTo is a time below d.
func (s *Swarm) upTo(d time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.rng.Int64N(int64(max(d, 1))))
}

// rubbish sends bytes that are no SIP, or SIP that breaks off.
func (s *Swarm) rubbish() {
	whole := s.invite(&callerCall{id: token(), kind: Stranger, branch: token(), tag: token(), at: s.strange})
	s.mu.Lock()
	b := []byte(whole)[:s.rng.IntN(len(whole))]
	if s.rng.IntN(2) == 0 {
		for i := range b {
			b[i] = byte(s.rng.IntN(256))
		}
	}
	s.mu.Unlock()
	s.strange.send(string(b))
}

// endpoint is a socket towards the platform.
type endpoint struct {
	conn *net.UDPConn
	to   atomic.Pointer[netip.AddrPort]
	addr string

	mu    sync.Mutex // guards the calls of this socket
	calls map[string]any
}

func listen(at netip.AddrPort) (*endpoint, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(4 << 20) // the kernel's own size does too, until a burst
	return &endpoint{conn: conn, addr: conn.LocalAddr().String(), calls: map[string]any{}}, nil
}

func (e *endpoint) close() { _ = e.conn.Close() }

func (e *endpoint) read(on func(*phone.Message)) {
	b := make([]byte, 65536)
	for {
		n, _, err := e.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if m, err := phone.ParseMessage(b[:n]); err == nil {
			on(m)
		}
	}
}

// send loses what cannot be sent, as a network does; it is repeated.
func (e *endpoint) send(text string) { _, _ = e.conn.WriteToUDPAddrPort([]byte(text), *e.to.Load()) }

// linger is how long a call that is over still answers what is repeated.
const linger = 40 * time.Second

func (e *endpoint) forget(id string) {
	time.AfterFunc(linger, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.calls, id)
	})
}

// repeat sends text again, after T1 and ever later, until stop is called or 64 T1 are over.
func (e *endpoint) repeat(text string) (stop func()) {
	const t1 = 500 * time.Millisecond
	var (
		mu    sync.Mutex // guards timer and ended
		timer *time.Timer
		ended bool
	)
	wait, sum := t1, time.Duration(0)
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(wait, func() {
		mu.Lock()
		defer mu.Unlock()
		if sum += wait; ended || sum >= 64*t1 {
			return
		}
		e.send(text)
		wait = min(2*wait, 8*t1)
		timer.Reset(wait)
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		ended = true
		timer.Stop()
	}
}
