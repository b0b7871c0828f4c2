package live

import (
	"context"
	"sync"

	"parley/internal/voice"
)

// Limits bound a hub.
type Limits struct {
	Streams    int // open at once
	PerSession int // of one session
	Pending    int // keys one stream may have waiting
}

// Topic is what a stream follows, e.g. the devices of one tenant. It is any comparable words.
type Topic struct{ Kind, Name string }

// Hub distributes marks to streams. Its methods may be called at once.
type Hub struct {
	limits Limits

	mu       sync.Mutex // guards what follows and the streams' pending keys
	byTopic  map[Topic]map[*Stream]struct{}
	sessions map[string]int
	open     int
	overrun  uint64 // streams ended because too much was pending
	closed   bool

	held sync.WaitGroup // streams not yet closed by who opened them
}

// NewHub returns a hub without streams.
func NewHub(l Limits) *Hub {
	return &Hub{limits: l, byTopic: map[Topic]map[*Stream]struct{}{}, sessions: map[string]int{}}
}

// Stream is one page that follows one topic. Next is for one goroutine; Close may be called by any, more than once,
// and must be, even after the hub has ended the stream.
type Stream struct {
	hub     *Hub
	session string
	topic   Topic
	wants   func(key string) bool
	wake    chan struct{} // something is pending, or the stream has ended; capacity 1

	// guarded by hub.mu
	keys    []string // pending, oldest first
	pending map[string]struct{}
	ended   bool
	closed  bool
}

// Open adds a stream of session that follows topic. wants, which may be nil for all keys, must be quick. The error is
// voice.ErrOverloaded when the session or the hub has too many, voice.ErrUnavailable when the hub is closed.
func (h *Hub) Open(session string, topic Topic, wants func(key string) bool) (*Stream, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, voice.Errorf(voice.ErrUnavailable, "the server is stopping")
	case h.open >= h.limits.Streams:
		return nil, voice.Errorf(voice.ErrOverloaded, "too many pages are open")
	case h.sessions[session] >= h.limits.PerSession:
		return nil, voice.Errorf(voice.ErrOverloaded, "this session has too many pages open")
	}
	s := &Stream{hub: h, session: session, topic: topic, wants: wants, wake: make(chan struct{}, 1), pending: map[string]struct{}{}}
	if h.byTopic[topic] == nil {
		h.byTopic[topic] = map[*Stream]struct{}{}
	}
	h.byTopic[topic][s] = struct{}{}
	h.sessions[session]++
	h.open++
	h.held.Add(1)
	return s, nil
}

// Mark tells the streams of topic that keys have changed.
func (h *Hub) Mark(topic Topic, keys ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.byTopic[topic] {
		for _, key := range keys {
			s.markLocked(key)
		}
	}
}

func (s *Stream) markLocked(key string) {
	if s.ended || s.wants != nil && !s.wants(key) {
		return
	}
	if _, already := s.pending[key]; already {
		return
	}
	if len(s.keys) >= s.hub.limits.Pending {
		s.hub.overrun++
		s.endLocked()
		return
	}
	s.pending[key] = struct{}{}
	s.keys = append(s.keys, key)
	s.rouse()
}

func (s *Stream) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Next waits for marks and returns their keys, oldest first. open is false when the stream has ended. When ctx ends
// first, it returns nothing and true.
func (s *Stream) Next(ctx context.Context) (keys []string, open bool) {
	for {
		s.hub.mu.Lock()
		keys, s.keys = s.keys, nil
		clear(s.pending)
		open = !s.ended
		s.hub.mu.Unlock()
		if !open {
			return nil, false
		}
		if len(keys) > 0 {
			return keys, true
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, true
		}
	}
}

// Close ends the stream and forgets it.
func (s *Stream) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.endLocked()
	if !s.closed {
		s.closed = true
		s.hub.held.Done()
	}
}

func (s *Stream) endLocked() {
	if s.ended {
		return
	}
	s.ended = true
	h := s.hub
	h.open--
	if h.sessions[s.session]--; h.sessions[s.session] == 0 {
		delete(h.sessions, s.session)
	}
	delete(h.byTopic[s.topic], s)
	if len(h.byTopic[s.topic]) == 0 {
		delete(h.byTopic, s.topic)
	}
	s.rouse()
}

// Close ends every stream and takes no more.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, streams := range h.byTopic {
		for s := range streams {
			s.endLocked()
		}
	}
}

// Wait returns when every stream has been closed by who opened it. Call it after Close.
func (h *Hub) Wait() { h.held.Wait() }

// Names returns the names of the topics of that kind somebody follows.
func (h *Hub) Names(kind string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for t := range h.byTopic {
		if t.Kind == kind {
			out = append(out, t.Name)
		}
	}
	return out
}

// Stats is what a hub tells its metrics.
type Stats struct {
	Open    int    // streams
	Overrun uint64 // streams ended because too much was pending
}

// Stats returns the present figures.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Stats{Open: h.open, Overrun: h.overrun}
}
