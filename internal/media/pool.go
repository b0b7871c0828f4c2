package media

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"sync"
	"time"

	"parley/internal/voice"
)

// tries is how many pairs that others occupy are passed over before an acquire gives up.
const tries = 64

// errOccupied is what a bind function wraps when somebody else has the port.
var errOccupied = errors.New("port occupied")

// Pool hands out the port pairs of a range. The pair that rested longest goes first, and none before its quarantine
// is over. Pairs that another program occupies are passed over and tried again a quarantine later. The pool knows
// numbers only; no socket is open for a pair nobody uses.
type Pool struct {
	cfg   Config
	total int
	now   func() time.Time
	start time.Time

	mu     sync.Mutex // guards what follows
	queue  []resting  // ring of pairs that are not in use, in the order of their times
	head   int
	queued int
	passed uint64
	empty  uint64
}

// resting is a pair in the queue: its even port, and from when it may be used, counted from the pool's start.
type resting struct {
	port  uint16
	ready time.Duration
}

// PoolStats counts pairs, and events since the start.
type PoolStats struct {
	InUse, Free, Resting int
	PassedOver           uint64 // times a pair was found occupied by another program
	Exhausted            uint64 // times nobody could be given a pair
}

// NewPool checks cfg and returns a pool with all pairs of the range free. It opens nothing. The pairs are in random
// order, so that the ports of the next call cannot be guessed and those of the process before are not the first again.
func NewPool(cfg Config) (*Pool, error) { return newPool(cfg, time.Now) }

func newPool(cfg Config, now func() time.Time) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	even, pairs := pairsOf(cfg.FirstPort, cfg.LastPort)
	p := &Pool{cfg: cfg, total: pairs, now: now, start: now(), queue: make([]resting, pairs), queued: pairs}
	for i, n := range rand.Perm(pairs) {
		p.queue[i].port = uint16(even + 2*n)
	}
	return p, nil
}

// Stats counts the pairs as they are now.
func (p *Pool) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := PoolStats{InUse: p.total - p.queued, PassedOver: p.passed, Exhausted: p.empty}
	now := p.sinceStart()
	s.Free = sort.Search(p.queued, func(i int) bool { return p.at(i).ready > now }) // the queue is in the order of its times
	s.Resting = p.queued - s.Free
	return s
}

// acquire takes the pair that rested longest and binds it with bind, which is given the even port and wraps
// errOccupied when somebody else has it. The error wraps voice.ErrOverloaded when there is no pair to be had.
func (p *Pool) acquire(bind func(port uint16) error) (uint16, error) {
	for range tries {
		port, ok := p.take()
		if !ok {
			break
		}
		err := bind(port)
		if err == nil {
			return port, nil
		}
		p.put(port)
		if !errors.Is(err, errOccupied) {
			return 0, fmt.Errorf("open media port %d: %w", port, err)
		}
		p.mu.Lock()
		p.passed++
		p.mu.Unlock()
	}
	p.mu.Lock()
	p.empty++
	p.mu.Unlock()
	s := p.Stats()
	return 0, voice.Errorf(voice.ErrOverloaded, "no free media port: of the pairs from %d to %d, %d are in use, %d rest, and the others are occupied by other programs",
		p.cfg.FirstPort, p.cfg.LastPort, s.InUse, s.Resting)
}

// take removes the first pair of the queue if its rest is over.
func (p *Pool) take() (uint16, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queued == 0 || p.at(0).ready > p.sinceStart() {
		return 0, false
	}
	port := p.at(0).port
	p.head = (p.head + 1) % len(p.queue)
	p.queued--
	return port, true
}

// put returns a pair to the end of the queue, where its rest begins.
func (p *Pool) put(port uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*p.at(p.queued) = resting{port, p.sinceStart() + p.cfg.Quarantine}
	p.queued++
}

func (p *Pool) sinceStart() time.Duration { return p.now().Sub(p.start) }

// at is the place of pair i in the queue.
func (p *Pool) at(i int) *resting { return &p.queue[(p.head+i)%len(p.queue)] }
