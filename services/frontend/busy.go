package frontend

import (
	"sync"

	"parley/internal/voice"
)

// busy counts what is in progress, of all and of each user: requests, or event streams.
type busy struct {
	all, each int    // limits
	what      string // for the sentence

	mu    sync.Mutex // guards what follows
	total int
	users map[[2]string]int // tenant and user; only those that have something in progress
}

func newBusy(what string, all, each int) *busy {
	return &busy{what: what, all: all, each: each, users: map[[2]string]int{}}
}

// enter takes a place, to be given back by leave. User "" is the platform itself, which is limited with all others only.
func (b *busy) enter(tenant, user string) (leave func(), e *voice.TError) {
	who := [2]string{tenant, user}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.total >= b.all:
		return nil, voice.TErrorf(voice.TErrTooManyRequests, "%d %s are in progress already; try again in a moment", b.all, b.what)
	case user != "" && b.users[who] >= b.each:
		return nil, voice.TErrorf(voice.TErrTooManyRequests, "%.64s has %d %s in progress already", user, b.each, b.what)
	}
	b.total++
	if user != "" {
		b.users[who]++
	}
	return func() { b.leave(who) }, nil
}

func (b *busy) leave(who [2]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total--
	if who[1] == "" {
		return
	}
	if b.users[who]--; b.users[who] == 0 {
		delete(b.users, who)
	}
}

func (b *busy) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}
