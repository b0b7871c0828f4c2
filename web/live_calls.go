package web

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/web/live"
)

const (
	feedPace    = 150 * time.Millisecond // events of this time are one question to a node
	feedKeep    = 30 * time.Second       // a feed nobody looks at ends after this
	feedCheck   = 2 * time.Second        // how often that is looked at, and whether nodes died
	feedRenew   = time.Minute            // everything is asked for anew, should an event have been lost
	feedReady   = time.Second            // a page waits so long for a new feed
	maxFeeds    = 64                     // tenants whose calls are followed at once
	maxFeedAsk  = 1000                   // calls of one node that are known; of more there is only the count
	maxHistory  = 100                    // calls whose past holds are read when a feed begins
	topicCalls  = "calls"                // name: the tenant; key: calledList
	calledList  = "list"
	historyRead = 50 // events of one of them
)

// callBoard follows the calls in progress of the tenants somebody looks at. Events on CALLS, and records on CDR, say which call
// has changed; the node that has the call says how it is now. While nobody looks it does nothing.
type callBoard struct {
	f     *fabric.Fabric
	hub   *live.Hub
	log   *slog.Logger
	now   func() time.Time
	nodes func() []string

	mu    sync.Mutex      // guards what follows
	ctx   context.Context // of run; nil before and after
	feeds map[string]*callFeed
	wg    sync.WaitGroup
}

// callFeed is the calls of one tenant.
type callFeed struct {
	b      *callBoard
	tenant string
	cancel context.CancelFunc
	ready  chan struct{} // closed when the calls are known
	wake   chan struct{} // something is dirty; capacity 1
	used   time.Time     // guarded by callBoard.mu

	mu     sync.Mutex           // guards what follows
	calls  map[string]*liveCall // what they point to is never changed
	totals map[string]int       // calls by node, known or not
	dirty  map[string]string    // call -> node that said something about it
}

// liveCall is a call in progress and when it was on hold.
type liveCall struct {
	contract.LiveCall
	holds  []hold
	change int // grows with each change
}

// hold is a time in which a party held the other; to is zero while it lasts.
type hold struct {
	by       string
	from, to time.Time
}

func newCallBoard(f *fabric.Fabric, hub *live.Hub, log *slog.Logger, now func() time.Time, nodes func() []string) *callBoard {
	return &callBoard{f: f, hub: hub, log: log, now: now, nodes: nodes, feeds: map[string]*callFeed{}}
}

// run lets feeds begin until ctx ends, and ends those nobody looks at.
func (b *callBoard) run(ctx context.Context) error {
	b.mu.Lock()
	b.ctx = ctx
	b.mu.Unlock()
	tick := time.NewTicker(feedCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			b.mu.Lock()
			b.ctx = nil
			b.mu.Unlock()
			b.wg.Wait()
			return nil
		case <-tick.C:
			b.tidy()
		}
	}
}

// tidy ends the feeds nobody looks at, and has the others look after nodes that died.
func (b *callBoard) tidy() {
	watched := b.hub.Names(topicCalls)
	for _, name := range b.hub.Names(topicCall) {
		watched = append(watched, fabric.SplitKey(name)[0])
	}
	alive := b.nodes()
	b.mu.Lock()
	defer b.mu.Unlock()
	for tenant, f := range b.feeds {
		if slices.Contains(watched, tenant) {
			f.used = b.now()
		}
		if b.now().Sub(f.used) > feedKeep {
			f.cancel()
			delete(b.feeds, tenant)
			continue
		}
		f.dropDead(alive)
	}
}

// follow returns the feed of a tenant, making it if there is none. It waits a moment for a new one to know the calls.
func (b *callBoard) follow(ctx context.Context, tenant string) (*callFeed, error) {
	b.mu.Lock()
	f := b.feeds[tenant]
	switch {
	case f != nil:
		f.used = b.now()
	case b.ctx == nil:
		b.mu.Unlock()
		return nil, errStarting
	case len(b.feeds) >= maxFeeds:
		b.mu.Unlock()
		return nil, voice.Errorf(voice.ErrOverloaded, "the calls of too many tenants are being looked at")
	default:
		f = b.beginLocked(tenant)
	}
	b.mu.Unlock()
	wait := time.NewTimer(feedReady)
	defer wait.Stop()
	select {
	case <-f.ready:
	case <-wait.C:
	case <-ctx.Done():
	}
	return f, nil
}

func (b *callBoard) beginLocked(tenant string) *callFeed {
	ctx, cancel := context.WithCancel(b.ctx)
	f := &callFeed{
		b: b, tenant: tenant, cancel: cancel, ready: make(chan struct{}), wake: make(chan struct{}, 1), used: b.now(),
		calls: map[string]*liveCall{}, totals: map[string]int{}, dirty: map[string]string{},
	}
	b.feeds[tenant] = f
	b.wg.Go(func() { f.run(ctx) })
	return f
}

// run follows the tenant's calls until ctx ends.
func (f *callFeed) run(ctx context.Context) {
	subscribed := make(chan struct{}, 3)
	g, ctx := errgroup.WithContext(ctx)
	subscribe := func(stream, first string, fn func(fabric.Message)) {
		from := fabric.From{New: true, Ready: func() { subscribed <- struct{}{} }}
		g.Go(func() error {
			return f.b.f.Subscribe(ctx, stream, fabric.Filter(first, f.tenant, fabric.Rest), from, fn)
		})
	}
	subscribe(fabric.StreamCalls, "call", f.event)
	subscribe(fabric.StreamCDR, "cdr", f.record)
	subscribe(fabric.StreamQuality, "quality", f.heard)
	g.Go(func() error {
		for range cap(subscribed) {
			select {
			case <-subscribed:
			case <-ctx.Done():
				return nil
			}
		}
		f.keepUp(ctx) // nothing that happens from now on is missed
		return nil
	})
	if err := g.Wait(); err != nil {
		f.b.log.LogAttrs(ctx, slog.LevelError, "calls cannot be followed", slog.String("tenant", f.tenant), slog.Any("err", err))
	}
}

// keepUp asks for all calls, then for those that something happened to.
func (f *callFeed) keepUp(ctx context.Context) {
	f.renew(ctx, true)
	close(f.ready)
	renew := time.NewTicker(feedRenew)
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-renew.C:
			f.renew(ctx, false)
		case <-f.wake:
			pause := time.NewTimer(feedPace)
			select {
			case <-ctx.Done():
				pause.Stop()
				return
			case <-pause.C:
			}
			f.ask(ctx)
		}
		f.b.hub.Mark(live.Topic{Kind: topicCalls, Name: f.tenant}, calledList)
	}
}

// event is an event of a call.
func (f *callFeed) event(m fabric.Message) {
	var e voice.CallEvent
	if err := json.Unmarshal(m.Data, &e); err != nil {
		f.b.log.LogAttrs(context.Background(), slog.LevelWarn, "call event cannot be read", slog.Uint64("seq", m.Seq), slog.Any("err", err))
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.calls[e.CallUUID]; c != nil {
		f.calls[e.CallUUID] = c.after(&e)
	}
	f.markLocked(e.CallUUID, e.Node)
}

// record is the record of a call that is over.
func (f *callFeed) record(m fabric.Message) {
	var c voice.CDR
	if err := json.Unmarshal(m.Data, &c); err != nil {
		f.b.log.LogAttrs(context.Background(), slog.LevelWarn, "call record cannot be read", slog.Uint64("seq", m.Seq), slog.Any("err", err))
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.markLocked(c.CallUUID, c.Node)
}

// heard is how the voice of a call was lately. It tells all there is to know, so the node is not asked.
func (f *callFeed) heard(m fabric.Message) {
	var e voice.QualityEvent
	if err := json.Unmarshal(m.Data, &e); err != nil {
		f.b.log.LogAttrs(context.Background(), slog.LevelWarn, "voice event cannot be read", slog.Uint64("seq", m.Seq), slog.Any("err", err))
		return
	}
	f.mu.Lock()
	if c := f.calls[e.CallUUID]; c != nil {
		f.calls[e.CallUUID] = c.spoken(&e)
		f.wakeLocked()
	}
	f.mu.Unlock()
	f.b.hub.Mark(live.Topic{Kind: topicCall, Name: fabric.Key(f.tenant, e.CallUUID)}, "voice")
}

func (f *callFeed) markLocked(uuid, node string) {
	f.dirty[uuid] = node
	f.wakeLocked()
}

func (f *callFeed) wakeLocked() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// dropDead has the calls of nodes that are gone looked after.
func (f *callFeed) dropDead(alive []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for uuid, c := range f.calls {
		if !slices.Contains(alive, c.Node) {
			f.markLocked(uuid, c.Node)
		}
	}
	for node := range f.totals {
		if !slices.Contains(alive, node) {
			delete(f.totals, node)
		}
	}
}

// renew asks every node for all its calls. first reads the past of the latest, too.
func (f *callFeed) renew(ctx context.Context, first bool) {
	begun := f.b.now()
	answers, silent := contract.AskNodes(ctx, f.b.f, contract.Calls, f.b.nodes(), contract.CallsRequest{Tenant: f.tenant, Limit: maxFeedAsk})
	if len(silent) > 0 {
		f.b.log.LogAttrs(ctx, slog.LevelWarn, "nodes do not tell their calls", slog.Any("nodes", silent))
	}
	f.mu.Lock()
	there := map[string]bool{}
	maps.DeleteFunc(f.totals, func(node string, _ int) bool { return !slices.Contains(silent, node) })
	for _, a := range answers {
		for _, c := range a.Calls {
			there[c.CallUUID] = true
			f.putLocked(c)
			f.totals[c.Node] = a.Total
		}
	}
	for uuid, c := range f.calls {
		if !there[uuid] && c.Start.Before(begun) && !slices.Contains(silent, c.Node) {
			f.markLocked(uuid, c.Node) // most likely over; its node is asked for it by name
		}
	}
	f.mu.Unlock()
	if first {
		f.readHolds(ctx)
	}
}

// ask asks the nodes about the calls that something happened to.
func (f *callFeed) ask(ctx context.Context) {
	f.mu.Lock()
	dirty := f.dirty
	f.dirty = map[string]string{}
	f.mu.Unlock()
	byNode := map[string][]string{}
	for uuid, node := range dirty {
		byNode[node] = append(byNode[node], uuid)
	}
	for node, uuids := range byNode {
		for part := range slices.Chunk(uuids, maxFeedAsk) {
			f.askNode(ctx, node, part)
		}
	}
	for _, name := range f.b.hub.Names(topicCall) {
		if key := fabric.SplitKey(name); len(key) == 2 && key[0] == f.tenant && dirty[key[1]] != "" {
			f.b.hub.Mark(live.Topic{Kind: topicCall, Name: name}, "call-head", "ladder")
		}
	}
}

// askNode asks one node about some calls. Those it has no more, or that are gone with it, are over.
func (f *callFeed) askNode(ctx context.Context, node string, uuids []string) {
	resp, err := fabric.CallNode(ctx, f.b.f, contract.Calls, node, contract.CallsRequest{Tenant: f.tenant, CallUUIDs: uuids, Limit: maxFeedAsk})
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil && voice.CodeOf(err) != "unavailable" {
		f.b.log.LogAttrs(ctx, slog.LevelWarn, "node does not tell its calls", slog.String("node", node), slog.Any("err", err))
		return // it is asked again with the next event, or when all is renewed
	}
	f.totals[node] = resp.Total
	there := map[string]bool{}
	for _, c := range resp.Calls {
		there[c.CallUUID] = true
		f.putLocked(c)
	}
	for _, uuid := range uuids {
		if !there[uuid] {
			delete(f.calls, uuid)
		}
	}
}

// putLocked takes over how a call is now.
func (f *callFeed) putLocked(c contract.LiveCall) {
	old := f.calls[c.CallUUID]
	switch {
	case old == nil:
		f.calls[c.CallUUID] = &liveCall{LiveCall: c, change: 1}
	case old.LiveCall != c:
		f.calls[c.CallUUID] = &liveCall{LiveCall: c, holds: old.holds, change: old.change + 1}
	}
}

// readHolds reads when the latest calls were on hold before anybody looked.
func (f *callFeed) readHolds(ctx context.Context) {
	latest := f.list("")
	for _, c := range latest[:min(maxHistory, len(latest))] {
		if c.Answer.IsZero() {
			continue
		}
		list, err := f.b.f.Read(ctx, fabric.StreamCalls, fabric.Filter("call", f.tenant, c.CallUUID, fabric.Rest), historyRead)
		if err != nil {
			f.b.log.LogAttrs(ctx, slog.LevelWarn, "the past of a call cannot be read", slog.String("call", c.CallUUID), slog.Any("err", err))
			return
		}
		past := &liveCall{}
		for _, m := range list {
			var e voice.CallEvent
			if json.Unmarshal(m.Data, &e) == nil { // one that cannot be read is one hold not seen
				past = past.after(&e)
			}
		}
		f.mu.Lock()
		if now := f.calls[c.CallUUID]; now != nil && len(now.holds) == 0 && len(past.holds) > 0 {
			f.calls[c.CallUUID] = &liveCall{LiveCall: now.LiveCall, holds: past.holds, change: now.change + 1}
		}
		f.mu.Unlock()
	}
}

// list returns the calls that match, the newest first.
func (f *callFeed) list(match string) []*liveCall {
	match = strings.ToLower(match)
	f.mu.Lock()
	out := make([]*liveCall, 0, len(f.calls))
	for _, c := range f.calls {
		if c.matches(match) {
			out = append(out, c)
		}
	}
	f.mu.Unlock()
	slices.SortFunc(out, func(a, b *liveCall) int {
		return cmp.Or(b.Start.Compare(a.Start), cmp.Compare(a.CallUUID, b.CallUUID))
	})
	return out
}

// total is how many calls there are, known or not.
func (f *callFeed) total() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for t := range maps.Values(f.totals) {
		n += t
	}
	return max(n, len(f.calls))
}
