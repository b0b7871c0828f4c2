package pace

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/media/audio"
)

// Tick is the time between two turns of a stream.
const Tick = audio.FrameTime

const (
	catchUp = 10 // ticks that are made up for at once
	portion = 32 // streams that a goroutine takes at a time; fewer than two portions are not worth waking a helper
)

// Phase is the part of a tick in which a stream has its turn.
type Phase uint8

// The phases, in their order.
const (
	Listen Phase = iota
	Play
	phases
)

func (p Phase) String() string { return [...]string{"listen", "play"}[p] }

// Stream is what has a turn in every tick.
type Stream interface {
	// Tick is called with the time at which the tick was due. It does not wait for anything.
	Tick(due time.Time)
}

// Clock gives streams their turns. Its methods may be called from anywhere.
type Clock struct {
	workers int
	wake    chan struct{} // holds one; told when there are changes

	ticks, late, skipped atomic.Uint64
	busy                 atomic.Int64
	counts               [phases]atomic.Int64

	// Of Run and its helpers.
	streams [phases][]*Member
	next    atomic.Int64 // first stream of the phase at hand that nobody took yet
	jobs    chan job
	done    chan struct{}

	mu      sync.Mutex // guards what follows
	changes []*Member  // that joined or left since the last tick
	spare   []*Member  // the list before, to be used again
}

// Member is the place of a stream with a clock.
type Member struct {
	clock  *Clock
	stream Stream
	phase  Phase
	place  int // in the phase's list, -1 when not in it; of Run
	gone   atomic.Bool
}

// job is a phase that helpers are asked to share.
type job struct {
	phase Phase
	due   time.Time
}

// Stats is what a clock did.
type Stats struct {
	Listening, Playing int           // streams now
	Ticks              uint64        // that were done
	Late               uint64        // of these, those that began when the next was already due
	Skipped            uint64        // ticks that were left out, since more were due than are made up for
	Busy               time.Duration // spent in ticks
}

// New returns a clock that shares its ticks among so many goroutines, one at least.
func New(workers int) *Clock {
	workers = max(1, workers)
	return &Clock{
		workers: workers, wake: make(chan struct{}, 1),
		jobs: make(chan job, workers), done: make(chan struct{}, workers),
	}
}

// Join gives a stream a turn in every tick from the next one on.
func (c *Clock) Join(p Phase, s Stream) *Member {
	m := &Member{clock: c, stream: s, phase: p, place: -1}
	c.counts[p].Add(1)
	c.change(m)
	return m
}

// Leave ends the turns. One that has begun may still be going on when Leave returns; no other begins. Leaving twice
// is leaving once.
func (m *Member) Leave() {
	if m.gone.Swap(true) {
		return
	}
	m.clock.counts[m.phase].Add(-1)
	m.clock.change(m)
}

func (c *Clock) change(m *Member) {
	c.mu.Lock()
	c.changes = append(c.changes, m)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // it is told already
	}
}

// Stats tells what the clock did so far.
func (c *Clock) Stats() Stats {
	return Stats{
		Listening: int(c.counts[Listen].Load()), Playing: int(c.counts[Play].Load()),
		Ticks: c.ticks.Load(), Late: c.late.Load(), Skipped: c.skipped.Load(), Busy: time.Duration(c.busy.Load()),
	}
}

// Run ticks until ctx ends, and returns nil. Call it once.
func (c *Clock) Run(ctx context.Context) error {
	var helpers sync.WaitGroup
	for range c.workers - 1 {
		helpers.Go(c.help)
	}
	for c.await(ctx) {
		c.keepTime(ctx)
	}
	close(c.jobs)
	helpers.Wait()
	return nil
}

// keepTime ticks while there are streams.
func (c *Clock) keepTime(ctx context.Context) {
	due := time.Now().Add(Tick)
	timer := time.NewTimer(Tick)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if c.apply() == 0 {
			return
		}
		due = c.tick(due).Add(Tick)
		timer.Reset(time.Until(due))
	}
}

// await waits until there are streams, and tells whether to go on.
func (c *Clock) await(ctx context.Context) bool {
	for c.apply() == 0 {
		select {
		case <-c.wake:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// apply brings the lists up to date and returns how many streams there are.
func (c *Clock) apply() int {
	c.mu.Lock()
	changes := c.changes
	c.changes, c.spare = c.spare[:0], changes
	c.mu.Unlock()
	for i, m := range changes {
		list := &c.streams[m.phase]
		switch gone := m.gone.Load(); {
		case !gone && m.place < 0:
			m.place = len(*list)
			*list = append(*list, m)
		case gone && m.place >= 0: // the last takes its place
			last := len(*list) - 1
			moved := (*list)[last]
			(*list)[m.place], moved.place = moved, m.place
			(*list)[last] = nil
			*list = (*list)[:last]
			m.place = -1
		}
		changes[i] = nil
	}
	return len(c.streams[Listen]) + len(c.streams[Play])
}

// tick gives every stream its turn. It returns the time the tick was due, or a later one when too many were due.
func (c *Clock) tick(due time.Time) time.Time {
	begun := time.Now()
	if behind := int(begun.Sub(due) / Tick); behind > 0 {
		c.late.Add(1)
		if skip := behind - catchUp; skip > 0 {
			c.skipped.Add(uint64(skip))
			due = due.Add(time.Duration(skip) * Tick)
		}
	}
	for p := range phases {
		c.phase(p, due)
	}
	c.ticks.Add(1)
	c.busy.Add(int64(time.Since(begun)))
	return due
}

// phase returns when all streams of a phase had their turn.
func (c *Clock) phase(p Phase, due time.Time) {
	n := len(c.streams[p])
	if n == 0 {
		return
	}
	c.next.Store(0)
	helpers := min(c.workers-1, n/portion-1)
	for range helpers {
		c.jobs <- job{p, due}
	}
	c.share(p, due)
	for range helpers {
		<-c.done
	}
}

// share takes portions of a phase until none is left.
func (c *Clock) share(p Phase, due time.Time) {
	list := c.streams[p]
	for {
		end := int(c.next.Add(portion))
		from := end - portion
		if from >= len(list) {
			return
		}
		for _, m := range list[from:min(end, len(list))] {
			if !m.gone.Load() {
				m.stream.Tick(due)
			}
		}
	}
}

// help shares phases until Run asks for no more.
func (c *Clock) help() {
	for j := range c.jobs {
		c.share(j.phase, j.due)
		c.done <- struct{}{}
	}
}
