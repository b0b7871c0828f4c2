package web

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/web/live"
)

const (
	boardTick   = 2 * time.Second  // how often an open page is brought up to date when no event says so
	sampleEvery = 5 * time.Second  // distance of two points of the chart
	chartSpan   = 15 * time.Minute // length of the chart
	scopeKeep   = chartSpan        // samples of a tenant nobody looks at go after this
	maxScopes   = 64               // tenants with samples
	maxEvents   = 40               // device events shown
	maxTenants  = 256              // tenants with events of their own
	maxNodes    = 64               // nodes asked for their state
	askTimeout  = time.Second      // for one of the questions behind the overview
)

// Kinds of topics in the hub.
const (
	topicOverview = "overview" // name: the tenant, "" for the platform; keys: parts of the page
	topicDevices  = "devices"  // name: the tenant; keys: numbers that came or went
	topicDevice   = "device"   // name: tenant and number; one key
)

// everywhere is the scope that is the whole platform.
const everywhere = ""

// board knows what the overview shows. It asks only while somebody looks, apart from the samples of the whole
// platform, so that the chart has a past when a page is opened.
type board struct {
	f   *fabric.Fabric
	hub *live.Hub
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex // guards what follows; not held while a door is asked
	nodes   map[string]contract.NodeRecord
	reports map[string]nodeReport
	asked   time.Time // when reports were read
	scopes  map[string]*scope
	events  map[string][]voice.DeviceEvent // by scope, newest first
}

// scope is the figures of one tenant, or of everywhere. Figures that are not known are -1.
type scope struct {
	registered, contacts, extensions, bans int
	asked                                  time.Time
	used                                   time.Time
	samples                                []sample
}

type sample struct {
	at time.Time
	n  int
}

// nodeReport is what a node said of itself, or why it did not.
type nodeReport struct {
	status contract.StatusReport
	err    error
}

func newBoard(f *fabric.Fabric, hub *live.Hub, log *slog.Logger, now func() time.Time) *board {
	return &board{
		f: f, hub: hub, log: log, now: now,
		nodes: map[string]contract.NodeRecord{}, reports: map[string]nodeReport{},
		scopes: map[string]*scope{}, events: map[string][]voice.DeviceEvent{},
	}
}

// run follows nodes and devices until ctx ends. ready is called when what is there has been read.
func (b *board) run(ctx context.Context, ready func()) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.f.Bucket(fabric.BucketNodes).Watch(ctx, "", b.nodeEntry, ready) })
	g.Go(func() error {
		return b.f.Subscribe(ctx, fabric.StreamDevices, fabric.Filter("device", fabric.Rest), fabric.From{New: true}, b.deviceEvent)
	})
	g.Go(func() error { b.tick(ctx); return nil })
	return g.Wait()
}

func (b *board) tick(ctx context.Context) {
	refresh, samples := time.NewTicker(boardTick), time.NewTicker(sampleEvery)
	defer refresh.Stop()
	defer samples.Stop()
	b.sample(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-samples.C:
			b.sample(ctx)
		case <-refresh.C:
		}
		for _, name := range b.hub.Names(topicOverview) {
			b.hub.Mark(live.Topic{Kind: topicOverview, Name: name}, "counts", "services", "chart")
		}
		// Coming and going is an event; a contact that joins another or is renewed is not, so open pages look.
		// A watch on the bucket would read every registration of the platform for the few that are looked at.
		for _, name := range b.hub.Names(topicDevice) {
			b.hub.Mark(live.Topic{Kind: topicDevice, Name: name}, "bindings", "state")
		}
		for _, kind := range []string{topicTrunks, topicTrunk} { // of them no events tell
			for _, name := range b.hub.Names(kind) {
				b.hub.Mark(live.Topic{Kind: kind, Name: name}, "state")
			}
		}
	}
}

// sample adds a point to each chart and forgets the ones nobody looks at.
func (b *board) sample(ctx context.Context) {
	now := b.now()
	b.mu.Lock()
	b.scopeLocked(everywhere).used = now
	var names []string
	for name, s := range b.scopes {
		if now.Sub(s.used) > scopeKeep {
			delete(b.scopes, name)
			continue
		}
		names = append(names, name)
	}
	b.mu.Unlock()
	for _, name := range names {
		n, contacts := b.registered(ctx, name)
		b.mu.Lock()
		s := b.scopeLocked(name)
		s.registered, s.contacts = n, contacts
		if n >= 0 {
			s.samples = append(s.samples, sample{now, n})
		}
		old := 0
		for old < len(s.samples) && now.Sub(s.samples[old].at) > chartSpan {
			old++
		}
		s.samples = slices.Delete(s.samples, 0, old)
		b.mu.Unlock()
	}
}

// scopeLocked returns the scope, making room for it when it is new.
func (b *board) scopeLocked(name string) *scope {
	if s := b.scopes[name]; s != nil {
		return s
	}
	if len(b.scopes) >= maxScopes {
		oldest, found := "", false
		for n, s := range b.scopes {
			if n != everywhere && (!found || s.used.Before(b.scopes[oldest].used)) {
				oldest, found = n, true
			}
		}
		delete(b.scopes, oldest)
	}
	s := &scope{registered: -1, contacts: -1, extensions: -1, bans: -1, used: b.now()}
	b.scopes[name] = s
	return s
}

// registered asks how many numbers of tenant are registered, and how many contacts all tenants have; -1 if unknown.
func (b *board) registered(ctx context.Context, tenant string) (numbers, contacts int) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := fabric.Call(ctx, b.f, contract.Registrations, contract.RegistrationsRequest{Tenant: tenant, Limit: 1})
	if err != nil {
		return -1, -1
	}
	return r.Total, r.Contacts
}

// refresh brings the figures of a scope and the state of the nodes up to date, unless they are that fresh already:
// a hundred open pages ask no more than one.
func (b *board) refresh(ctx context.Context, name string) {
	const fresh = boardTick / 2
	b.mu.Lock()
	s := b.scopeLocked(name)
	s.used = b.now()
	askScope, askNodes := b.now().Sub(s.asked) > fresh, b.now().Sub(b.asked) > fresh
	if askScope {
		s.asked = b.now()
	}
	if askNodes {
		b.asked = b.now()
	}
	b.mu.Unlock()
	var g errgroup.Group
	if askScope {
		g.Go(func() error { b.refreshScope(ctx, name); return nil })
	}
	if askNodes {
		g.Go(func() error { b.refreshNodes(ctx); return nil })
	}
	_ = g.Wait() // what does not answer is shown as such
}

func (b *board) refreshScope(ctx context.Context, name string) {
	numbers, contacts := b.registered(ctx, name)
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	extensions, bans := -1, -1
	list, err := fabric.Call(ctx, b.f, contract.ConfigList, contract.ConfigListRequest{
		Tenant: name, Kind: voice.KindDN, Type: string(voice.DNExtension), Limit: 1,
	})
	if err == nil {
		extensions = list.Total
	}
	if all, err := fabric.Call(ctx, b.f, contract.Bans, struct{}{}); err == nil {
		bans = len(all.Bans)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.scopeLocked(name)
	s.registered, s.contacts, s.extensions, s.bans = numbers, contacts, extensions, bans
}

// refreshNodes asks every node for its state, at most maxNodes, some at a time.
func (b *board) refreshNodes(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	reports := map[string]nodeReport{}
	var mu sync.Mutex // guards reports
	var g errgroup.Group
	g.SetLimit(16)
	for _, id := range b.nodeIDs() {
		g.Go(func() error {
			status, err := fabric.CallNode(ctx, b.f, contract.NodeStatus, id, struct{}{})
			mu.Lock()
			defer mu.Unlock()
			reports[id] = nodeReport{status, err}
			return nil
		})
	}
	_ = g.Wait() // errors are part of the reports
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reports = reports
}

// nodeIDs lists the nodes alive, this one among them even before it has said so.
func (b *board) nodeIDs() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := []string{b.f.Node()}
	for id := range b.nodes {
		if id != b.f.Node() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids[:min(len(ids), maxNodes)]
}

func (b *board) nodeEntry(e fabric.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := fabric.SplitKey(e.Key)
	if len(id) != 1 {
		return
	}
	if e.Op != fabric.EntryPut {
		delete(b.nodes, id[0])
		b.asked = time.Time{}
		return
	}
	var rec contract.NodeRecord
	if err := json.Unmarshal(e.Value, &rec); err != nil {
		b.log.LogAttrs(context.Background(), slog.LevelWarn, "node record cannot be read", slog.String("key", e.Key), slog.Any("err", err))
		return
	}
	b.nodes[id[0]] = rec
}

func deviceTopic(tenant, dn string) live.Topic {
	return live.Topic{Kind: topicDevice, Name: fabric.Key(tenant, dn)}
}

func (b *board) deviceEvent(m fabric.Message) {
	var ev voice.DeviceEvent
	if err := json.Unmarshal(m.Data, &ev); err != nil {
		b.log.LogAttrs(context.Background(), slog.LevelWarn, "device event cannot be read", slog.Uint64("seq", m.Seq), slog.Any("err", err))
		return
	}
	if ev.ID != voice.EventDNBackInService && ev.ID != voice.EventDNOutOfService {
		return
	}
	b.mu.Lock()
	b.keepEventLocked(everywhere, ev)
	b.keepEventLocked(ev.Tenant, ev)
	for _, name := range []string{everywhere, ev.Tenant} {
		if s := b.scopes[name]; s != nil {
			s.asked = time.Time{} // the figures have changed
		}
	}
	b.mu.Unlock()
	b.hub.Mark(live.Topic{Kind: topicOverview, Name: everywhere}, "counts", "events")
	b.hub.Mark(live.Topic{Kind: topicOverview, Name: ev.Tenant}, "counts", "events")
	b.hub.Mark(live.Topic{Kind: topicDevices, Name: ev.Tenant}, ev.ThisDN)
	b.hub.Mark(deviceTopic(ev.Tenant, ev.ThisDN), "bindings", "state")
}

func (b *board) keepEventLocked(name string, ev voice.DeviceEvent) {
	if _, ok := b.events[name]; !ok && len(b.events) >= maxTenants {
		for other := range b.events {
			if other != everywhere {
				delete(b.events, other)
				break
			}
		}
	}
	list := slices.Insert(b.events[name], 0, ev)
	b.events[name] = list[:min(len(list), maxEvents)]
}
