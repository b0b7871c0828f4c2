package txn

import (
	"slices"
	"time"
)

// Timer is something a shard does later.
type Timer struct {
	shard      *Shard
	fn         func()
	at         time.Duration // since the start of timers
	queue      *timerQueue   // nil when it is not set
	prev, next *Timer
}

// After runs fn on the shard in d.
func (s *Shard) After(d time.Duration, fn func()) *Timer {
	t := &Timer{shard: s, fn: fn}
	s.timers.add(t, d)
	return t
}

// Reset sets the timer anew, whether it has run or not.
func (t *Timer) Reset(d time.Duration) {
	t.Stop()
	t.shard.timers.add(t, d)
}

// Stop takes the timer back; a nil or stopped one may be stopped too.
func (t *Timer) Stop() {
	if t == nil || t.queue == nil {
		return
	}
	q := t.queue
	if t.prev == nil {
		q.head = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		q.tail = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.prev, t.next, t.queue = nil, nil, nil
}

// timers are those of a shard. SIP knows few times (T1 and its doubles, T4, 64 T1, Timer C ...), and of timers set for the
// same time the first one set is the first one due: so there is a queue a time, a timer is set and stopped in no
// time however many there are, and one that is stopped leaves at once and takes what it refers to with it.
type timers struct {
	start  time.Time
	queues []*timerQueue
}

// timerQueue holds the timers of one duration in the order they are due.
type timerQueue struct {
	d          time.Duration
	head, tail *Timer
}

// manyQueues is more than the times of SIP; queues beyond it go when they are empty.
const manyQueues = 32

func (ts *timers) add(t *Timer, d time.Duration) {
	q := ts.queue(d)
	t.queue, t.at, t.prev = q, time.Since(ts.start)+d, q.tail
	if q.tail == nil {
		q.head = t
	} else {
		q.tail.next = t
	}
	q.tail = t
}

func (ts *timers) queue(d time.Duration) *timerQueue {
	for _, q := range ts.queues {
		if q.d == d {
			return q
		}
	}
	if len(ts.queues) >= manyQueues {
		ts.queues = slices.DeleteFunc(ts.queues, func(q *timerQueue) bool { return q.head == nil })
	}
	q := &timerQueue{d: d}
	ts.queues = append(ts.queues, q)
	return q
}

// next is the timer that is due first; nil when none is set.
func (ts *timers) next() (first *Timer) {
	for _, q := range ts.queues {
		if t := q.head; t != nil && (first == nil || t.at < first.at) {
			first = t
		}
	}
	return first
}
