package frontend

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// source is one of the streams that clients follow.
type source uint8

const (
	fromCalls source = iota
	fromDevices
	fromAgents
	sources = 3
)

// streams are the sources as the fabric knows them: stream, and the first token of its subjects.
var streams = [sources]struct{ stream, prefix string }{
	{fabric.StreamCalls, "call"}, {fabric.StreamDevices, "device"}, {fabric.StreamAgents, "agent"},
}

// position is a place in all streams: everything up to these sequences was seen. It is the id of an event for clients.
type position [sources]uint64

func (p position) String() string {
	return strconv.FormatUint(p[0], 10) + "." + strconv.FormatUint(p[1], 10) + "." + strconv.FormatUint(p[2], 10)
}

// parsePosition reads what String wrote.
func parsePosition(s string) (p position, err error) {
	parts := strings.Split(s, ".")
	for i := range p {
		if len(parts) == sources {
			p[i], err = strconv.ParseUint(parts[i], 10, 63)
		}
		if len(parts) != sources || err != nil {
			return position{}, voice.Errorf(voice.ErrInvalid, "%.80q is no id of an event", s)
		}
	}
	return p, nil
}

// item is one event in the ring. It is shared: read only.
type item struct {
	src    source
	seq    uint64
	tenant string
	head   head
	data   []byte
}

// head is what filters ask about.
type head struct {
	ID             voice.EventName
	ThisDN         string
	ConnID         string
	PreviousConnID string
	CallUUID       string
	CallThreadID   string
	AgentID        string
}

// newItem reads an event; what is no event is logged where it was made.
func newItem(src source, m fabric.Message) (item, bool) {
	it := item{src: src, seq: m.Seq, data: m.Data}
	if len(m.Subject) < 2 || json.Unmarshal(m.Data, &it.head) != nil {
		return it, false
	}
	it.tenant = m.Subject[1]
	return it, true
}

// event is an item on its way to one client.
type event struct {
	at   position // after it
	name voice.EventName
	data []byte
}

// hub keeps the latest events for all clients of the node.
type hub struct {
	log *slog.Logger

	mu      sync.Mutex // guards what follows, and the cursors
	ring    []item     // by number of the event modulo its length
	first   uint64     // number of the oldest event in the ring
	next    uint64     // number of the next event
	begun   [sources]bool
	floor   position // of each stream: all events behind this are in the ring
	head    position // of each stream: the last event heard of
	cursors map[*cursor]struct{}
	ready   chan struct{} // closed when all streams are followed
	moved   chan struct{} // closed and renewed when somebody waits for head to rise; nil = nobody does
}

// cursor is a client's place in the ring.
type cursor struct {
	filter    filter
	user      [2]string     // tenant and name
	poke      chan struct{} // there is something to take; capacity 1
	replies   chan Answer   // to be written besides events
	pos       position
	next      uint64 // number of the event to look at next
	overtaken bool
}

const maxReplies = 32 // that wait for one client

func newCursor(f filter, user [2]string) *cursor {
	return &cursor{filter: f, user: user, poke: make(chan struct{}, 1), replies: make(chan Answer, maxReplies)}
}

func newHub(size int, log *slog.Logger) *hub {
	return &hub{log: log, ring: make([]item, size), cursors: map[*cursor]struct{}{}, ready: make(chan struct{})}
}

// follow fills the ring from one stream until ctx ends.
func (h *hub) follow(ctx context.Context, f *fabric.Fabric, src source) error {
	from := fabric.From{New: true, Caught: func(at uint64) { h.begin(src, at) }}
	err := f.Subscribe(ctx, streams[src].stream, "", from, func(m fabric.Message) {
		h.begin(src, m.Seq-1) // the first event may be here before the stream is quiet
		h.add(src, m)
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("follow %s: %w", streams[src].stream, err)
	}
	return nil
}

// begin notes where a stream is followed from.
func (h *hub) begin(src source, at uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.begun[src] {
		return
	}
	h.begun[src] = true
	h.floor[src], h.head[src] = at, at
	for _, b := range h.begun {
		if !b {
			return
		}
	}
	close(h.ready)
}

// add puts an event into the ring and tells those it concerns. A client that has seen all before goes past an event that
// is not for it, so that only who is really behind can be overtaken.
func (h *hub) add(src source, m fabric.Message) {
	it, ok := newItem(src, m)
	if !ok {
		h.log.Error("unreadable event", slog.String("stream", streams[src].stream), slog.Uint64("seq", m.Seq))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.Seq <= h.head[src] { // the stream was made anew and counts from the beginning
		h.floor[src] = m.Seq - 1
		for c := range h.cursors {
			c.pos[src] = m.Seq - 1
		}
	}
	h.head[src] = m.Seq
	if h.moved != nil {
		close(h.moved)
		h.moved = nil
	}
	number := h.next
	if number-h.first == uint64(len(h.ring)) {
		old := &h.ring[h.first%uint64(len(h.ring))]
		h.floor[old.src] = max(h.floor[old.src], old.seq)
		h.first++
	}
	h.ring[number%uint64(len(h.ring))] = it
	h.next++
	for c := range h.cursors {
		switch {
		case c.next == number && !c.wants(&it):
			c.next++
			c.pos[src] = max(c.pos[src], it.seq)
			continue
		case c.next < h.first:
			c.overtaken = true
		}
		c.wake()
	}
}

func (c *cursor) wake() {
	select {
	case c.poke <- struct{}{}:
	default: // it is told already
	}
}

// wants tells whether an event is for the client, who has not seen it.
func (c *cursor) wants(it *item) bool { return it.seq > c.pos[it.src] && c.filter.wants(it) }

// takeMost is how many events are looked at, and how many are taken, under one lock.
const (
	lookMost = 1024
	takeMost = 64
)

// take gives the client what is there for it, at most a few events: more says that there may be others. ok is false when
// the ring has overtaken it.
func (h *hub) take(c *cursor, into []event) (out []event, at position, more, ok bool) {
	out = into[:0]
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.overtaken || c.next < h.first {
		return out, c.pos, false, false
	}
	for looked := 0; c.next < h.next && looked < lookMost && len(out) < takeMost; looked++ {
		it := &h.ring[c.next%uint64(len(h.ring))]
		c.next++
		wanted := c.wants(it)
		c.pos[it.src] = max(c.pos[it.src], it.seq)
		if wanted {
			out = append(out, event{at: c.pos, name: it.head.ID, data: it.data})
		}
	}
	return out, c.pos, c.next < h.next, true
}

// joinNow lets the client follow what comes from now on.
func (h *hub) joinNow(c *cursor) (at position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.pos, c.next = h.head, h.next
	h.cursors[c] = struct{}{}
	return c.pos
}

// join lets the client go on from its position, if the ring has all that came after it; else it names a stream of which it
// has not, and how far the ring has heard of that.
func (h *hub) join(c *cursor) (missing source, head uint64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for src := range source(sources) {
		if c.pos[src] < h.floor[src] {
			return src, h.head[src], false
		}
	}
	c.next = h.first
	h.cursors[c] = struct{}{}
	c.wake()
	return 0, 0, true
}

// ahead waits a moment until the hub has heard of what the client saw, maybe on another node. A stream that is still behind
// then is another one than the client knew: it is followed from where it is.
func (h *hub) ahead(ctx context.Context, c *cursor) (anew bool) {
	const moment = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, moment)
	defer cancel()
	for {
		h.mu.Lock()
		behind := false
		for src := range source(sources) {
			behind = behind || c.pos[src] > h.head[src]
		}
		if !behind {
			h.mu.Unlock()
			return anew
		}
		if h.moved == nil {
			h.moved = make(chan struct{})
		}
		moved := h.moved
		if ctx.Err() != nil {
			for src := range source(sources) {
				c.pos[src] = min(c.pos[src], h.head[src])
			}
			anew = true
		}
		h.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
		}
	}
}

func (h *hub) leave(c *cursor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.cursors, c)
}

// wants tells whether a client that has not joined wants an event.
func (h *hub) wants(c *cursor, it *item) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return c.wants(it)
}

// edit changes what a client wants from the next event on that it has not seen.
func (h *hub) edit(c *cursor, fn func(*filter)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fn(&c.filter)
}

// tell gives an answer to the streams of a user. One who lets answers pile up has them from the request itself.
func (h *hub) tell(tenant, user string, a Answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.cursors {
		if c.user == [2]string{tenant, user} {
			select {
			case c.replies <- a:
			default:
			}
		}
	}
}
