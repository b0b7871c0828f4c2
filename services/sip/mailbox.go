package sip

import (
	"sync"
	"sync/atomic"
)

// maxWaiting bounds what waits for one call; a peer that sends more is not listened to until the call catches up.
const maxWaiting = 256

// mailbox hands what happens to calls that belong together to one goroutine at a time, in order. The goroutine lives only
// while there is something to do: one of start's, or a new one when that is nil. The zero mailbox is ready.
type mailbox struct {
	start   func(*mailbox)          // has work called on some goroutine
	moved   atomic.Pointer[mailbox] // where everything goes since the calls of this one joined those of another; nil = nowhere
	mu      sync.Mutex
	waiting []func()
	busy    bool
}

// post queues fn. It does not wait; false says that too much waits already.
func (b *mailbox) post(fn func()) bool { return b.put(fn, maxWaiting) }

// must queues what the call itself asked for, which is bounded by what it asks: timers and answers.
func (b *mailbox) must(fn func()) { b.put(fn, 0) }

func (b *mailbox) put(fn func(), limit int) bool {
	b.mu.Lock()
	if to := b.moved.Load(); to != nil && !b.busy { // else it follows what is still to be moved
		b.mu.Unlock()
		return to.put(fn, limit)
	}
	if limit > 0 && len(b.waiting) >= limit {
		b.mu.Unlock()
		return false
	}
	b.waiting = append(b.waiting, fn)
	idle := !b.busy
	b.busy = true
	b.mu.Unlock()
	switch {
	case !idle:
	case b.start != nil:
		b.start(b)
	default:
		go b.work()
	}
	return true
}

func (b *mailbox) work() {
	var batch []func()
	for {
		b.mu.Lock()
		clear(batch)
		batch, b.waiting = b.waiting, batch[:0]
		if len(batch) == 0 {
			b.busy, b.waiting = false, nil // a call at rest keeps no buffer
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		for i, fn := range batch {
			fn()
			if to := b.moved.Load(); to != nil { // fn was the last of this mailbox
				b.moveRest(to, batch[i+1:])
				return
			}
		}
	}
}

// moveRest hands on what waited when the calls moved, before anything that comes later.
func (b *mailbox) moveRest(to *mailbox, rest []func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, fn := range append(rest, b.waiting...) {
		to.must(fn)
	}
	b.waiting, b.busy = nil, false
}

// home is where what is put into b ends up.
func (b *mailbox) home() *mailbox {
	for to := b.moved.Load(); to != nil; to = b.moved.Load() {
		b = to
	}
	return b
}

// merge has the calls of both mailboxes handled by the goroutine of into from now on, and calls then when neither has another
// at work. It waits for both, so it is called by a goroutine of its own; lock keeps two mergers apart, which might wait for
// each other.
func merge(lock *sync.Mutex, into, from *mailbox, then func()) {
	lock.Lock()
	defer lock.Unlock()
	into, from = into.home(), from.home()
	if into == from {
		into.must(then)
		return
	}
	done := make(chan struct{})
	into.must(func() {
		held := make(chan struct{})
		from.must(func() {
			close(held)
			<-done
		})
		<-held
		from.moved.Store(into)
		then()
		close(done)
	})
	<-done
}
