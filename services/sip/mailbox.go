package sip

import "sync"

// maxWaiting bounds what waits for one call; a peer that sends more is not listened to until the call catches up.
const maxWaiting = 256

// mailbox hands what happens to a call to one goroutine at a time, in order. The goroutine lives only while there is
// something to do: one of start's, or a new one when that is nil. The zero mailbox is ready.
type mailbox struct {
	start   func(*mailbox) // has work called on some goroutine
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
		for _, fn := range batch {
			fn()
		}
	}
}
