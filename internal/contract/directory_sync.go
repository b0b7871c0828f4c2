package contract

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"parley/internal/fabric"
	"parley/internal/voice"
)

const (
	directoryPage  = 2000             // resources asked for at once
	directoryBulk  = 2000             // more changes to catch up with than this, and loading everything anew is cheaper
	directoryAhead = 100_000          // more changes than this beyond a gap, and the gap is taken for lost
	directoryCheck = 15 * time.Second // how often the newest change number is compared; more often after the start
	directoryFirst = 250 * time.Millisecond
	directoryRetry = 500 * time.Millisecond
)

// Run loads the directory and keeps it current until ctx ends, then returns nil. While the config service is away it
// keeps what it has and tries again.
func (d *Directory) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	failed, subscribed := make(chan error, 1), make(chan struct{})
	wg.Go(func() {
		from := fabric.From{New: true, Ready: func() { close(subscribed) }}
		err := d.f.Subscribe(ctx, fabric.StreamConfig, fabric.Filter("config", fabric.Rest), from, d.take)
		if err != nil && ctx.Err() == nil {
			failed <- fmt.Errorf("follow %s: %w", fabric.StreamConfig, err)
		}
	})
	select { // what changes while everything is loaded must be heard of
	case <-subscribed:
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
	if !d.until(ctx, "load the directory", func() error { return d.load(ctx) }) {
		return nil
	}
	close(d.synced)
	return d.follow(ctx, failed)
}

// follow keeps the directory current. That the subscription misses what happened while it came up is the one gap to
// be expected, so the first comparisons come soon after the start.
func (d *Directory) follow(ctx context.Context, failed <-chan error) error {
	interval := directoryFirst
	check := time.NewTimer(interval)
	defer check.Stop()
	stale := int64(-1) // how far the directory had come when it was last found to be behind
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-d.wake:
			d.until(ctx, "follow changes", func() error { return d.catchUp(ctx) })
		case <-check.C:
			behind, last, err := d.compare(ctx)
			switch {
			case err != nil:
				d.log.Warn("compare the directory with the store", "err", err)
			case behind && last == stale: // twice, so it is not a notice on its way
				d.lostTrack()
				stale = -1
			case behind:
				stale = last
			}
			interval = min(2*interval, directoryCheck)
			check.Reset(interval)
		}
	}
}

// until repeats fn until it succeeds, and tells whether it did before ctx ended.
func (d *Directory) until(ctx context.Context, what string, fn func() error) bool {
	for first := true; ; first = false {
		err := fn()
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if first && !errors.Is(err, voice.ErrUnavailable) { // nobody serving yet is how every start looks
			d.log.Warn(what, "err", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(directoryRetry):
		}
	}
}

// take notes a change; the work is done by Run, so that a burst of changes to one number costs one read.
func (d *Directory) take(m fabric.Message) {
	var c voice.ConfigChanged
	if err := json.Unmarshal(m.Data, &c); err != nil {
		d.log.Error("unreadable event on CONFIG", "seq", m.Seq, "err", err)
		return
	}
	d.note(c)
}

func (d *Directory) note(c voice.ConfigChanged) {
	d.pendMu.Lock()
	if c.Seq <= d.applied { // it was loaded before it was announced
		d.pendMu.Unlock()
		return
	}
	if c.Seq > d.last {
		d.ahead[c.Seq] = struct{}{}
		d.advanceLocked(d.last)
	}
	k := ConfigKey{Tenant: c.Tenant, Kind: c.Kind, Key: c.Key}
	if old, ok := d.pending[k]; !ok || old.Seq < c.Seq {
		d.pending[k] = c
	}
	d.pendMu.Unlock()
	d.signal()
}

// advanceLocked moves last to number to at least, and over the changes that follow it without a gap.
func (d *Directory) advanceLocked(to int64) {
	if to > d.last {
		d.last = to
		maps.DeleteFunc(d.ahead, func(seq int64, _ struct{}) bool { return seq <= to })
	}
	for {
		if _, ok := d.ahead[d.last+1]; !ok {
			break
		}
		d.last++
		delete(d.ahead, d.last)
	}
	d.lost = d.lost || len(d.ahead) > directoryAhead
}

func (d *Directory) lostTrack() {
	d.log.Warn("the directory missed changes and is loaded anew")
	d.pendMu.Lock()
	d.lost = true
	d.pendMu.Unlock()
	d.signal()
}

func (d *Directory) signal() {
	select {
	case d.wake <- struct{}{}:
	default: // Run is told already
	}
}

// load reads everything and replaces what there is.
func (d *Directory) load(ctx context.Context) error {
	newest, err := d.newest(ctx)
	if err != nil {
		return err
	}
	tenants, err := d.loadTenants(ctx)
	if err != nil {
		return err
	}
	dns, trunks := map[dnKey]*DNRecord{}, map[dnKey]*DNRecord{}
	err = d.pages(ctx, ConfigListRequest{Kind: voice.KindDN, Secrets: true}, func(r voice.Resource) error {
		rec, err := NewDNRecord(r)
		if err != nil { // one bad record must not cost all others
			d.log.Error("number left out of the directory", "err", err)
			return nil
		}
		k := dnKey{rec.Tenant, rec.Number}
		if dns[k] = rec; rec.IsTrunk() {
			trunks[k] = rec
		}
		return nil
	})
	if err != nil {
		return err
	}
	d.tenants.Store(tenants)
	d.mu.Lock()
	d.dns, d.trunks = dns, trunks
	d.mu.Unlock()
	d.pendMu.Lock()
	d.advanceLocked(newest)
	maps.DeleteFunc(d.pending, func(_ ConfigKey, c voice.ConfigChanged) bool { return c.Seq <= newest })
	d.pendMu.Unlock()
	d.reached(newest)
	return nil
}

// reached notes that reads see every change up to seq.
func (d *Directory) reached(seq int64) {
	d.pendMu.Lock()
	defer d.pendMu.Unlock()
	if seq > d.applied {
		d.applied = seq
		close(d.moved)
		d.moved = make(chan struct{})
	}
}

// Await waits until reads see every change up to number seq (see [ConfigApplyResponse.Seq]), or ctx ends.
func (d *Directory) Await(ctx context.Context, seq int64) error {
	for {
		d.pendMu.Lock()
		applied, moved := d.applied, d.moved
		d.pendMu.Unlock()
		if applied >= seq {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("the directory has come to change %d of %d: %w", applied, seq, ctx.Err())
		}
	}
}

func (d *Directory) loadTenants(ctx context.Context) (*tenantTable, error) {
	table := &tenantTable{byName: map[string]*TenantRecord{}, byHost: map[string]*TenantRecord{}}
	err := d.pages(ctx, ConfigListRequest{Tenant: voice.SystemTenant, Kind: voice.KindTenant}, func(r voice.Resource) error {
		var t voice.Tenant
		if err := json.Unmarshal(r.Body, &t); err != nil {
			return fmt.Errorf("tenant %s: %w", r.Key, err)
		}
		rec := &TenantRecord{Name: r.Key, Realm: t.Realm, Default: t.Default, Options: t.Options, Version: r.Version}
		for _, domain := range t.Domains {
			rec.Domains = append(rec.Domains, NormalHost(domain))
			table.byHost[NormalHost(domain)] = rec
		}
		table.byName[rec.Name] = rec
		if rec.Default {
			table.def = rec
		}
		return nil
	})
	return table, err
}

// NewDNRecord reads a number as the config service gives it, secrets included.
func NewDNRecord(r voice.Resource) (*DNRecord, error) {
	var body struct {
		Type    voice.DNType    `json:"type"`
		Auth    *voice.SIPAuth  `json:"auth"`
		Options json.RawMessage `json:"options"`
	}
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return nil, fmt.Errorf("number %s/%s: %w", r.Tenant, r.Key, err)
	}
	rec := &DNRecord{
		Tenant: unique.Make(r.Tenant).Value(), // one string for all its numbers
		Number: strings.Clone(r.Key),          // not a piece of a whole page
		Type:   voice.DNType(unique.Make(string(body.Type)).Value()), Version: r.Version,
	}
	if len(body.Options) > len("{}") {
		rec.options = unique.Make(string(body.Options))
	}
	if body.Auth != nil {
		_, err := hex.Decode(rec.MD5[:], []byte(body.Auth.MD5))
		_, err2 := hex.Decode(rec.SHA256[:], []byte(body.Auth.SHA256))
		if len(body.Auth.MD5) != 2*len(rec.MD5) || len(body.Auth.SHA256) != 2*len(rec.SHA256) || err != nil || err2 != nil {
			return nil, fmt.Errorf("number %s/%s: its digests are not hexadecimal of the right length", r.Tenant, r.Key)
		}
		rec.HasAuth = true
	}
	return rec, nil
}

func (d *Directory) pages(ctx context.Context, req ConfigListRequest, each func(voice.Resource) error) error {
	req.Limit = directoryPage
	for {
		page, err := fabric.Call(ctx, d.f, ConfigList, req)
		if err != nil {
			return fmt.Errorf("list %s: %w", req.Kind, err)
		}
		for _, r := range page.Resources {
			if err := each(r); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		req.After = page.Next
	}
}

// newest asks for the number of the newest change, 0 when there was none yet.
func (d *Directory) newest(ctx context.Context) (int64, error) {
	h, err := fabric.Call(ctx, d.f, ConfigHistory, ConfigHistoryRequest{Limit: 1})
	if err != nil || len(h.Changes) == 0 {
		return 0, err
	}
	return h.Changes[0].Seq, nil
}

// compare tells whether the store has changes the directory never heard of, and the last it did hear of.
func (d *Directory) compare(ctx context.Context) (behind bool, last int64, err error) {
	d.pendMu.Lock()
	last = d.last
	d.pendMu.Unlock()
	newest, err := d.newest(ctx)
	return newest > last, last, err
}

// catchUp applies the changes that wait. If that fails they wait on. When far more has changed than was announced yet,
// it does not wait for the announcements: each of them is on disk before the next, which takes its time.
func (d *Directory) catchUp(ctx context.Context) error {
	newest, err := d.newest(ctx)
	if err != nil {
		return err
	}
	d.pendMu.Lock()
	work, upTo := d.pending, d.last
	lost := d.lost || len(work) > directoryBulk || newest-d.last > directoryBulk
	d.pending, d.lost = map[ConfigKey]voice.ConfigChanged{}, false
	d.pendMu.Unlock()
	if err := d.apply(ctx, work, lost); err != nil {
		d.pendMu.Lock()
		d.lost = d.lost || lost
		for k, c := range work {
			if newer, ok := d.pending[k]; !ok || newer.Seq < c.Seq {
				d.pending[k] = c
			}
		}
		d.pendMu.Unlock()
		return err
	}
	if !lost { // load has said how far it came
		d.reached(upTo)
	}
	return nil
}

func (d *Directory) apply(ctx context.Context, work map[ConfigKey]voice.ConfigChanged, lost bool) error {
	if lost {
		if err := d.load(ctx); err != nil {
			return err
		}
		d.tell(DirectoryChange{})
		return nil
	}
	changes := slices.SortedFunc(maps.Values(work), func(a, b voice.ConfigChanged) int { return cmp.Compare(a.Seq, b.Seq) })
	if err := d.refresh(ctx, changes); err != nil {
		return err
	}
	for _, c := range changes {
		switch c.Kind {
		case voice.KindTenant:
			d.tell(DirectoryChange{Tenant: c.Key, Op: c.Op})
		case voice.KindDN:
			d.tell(DirectoryChange{Tenant: c.Tenant, Number: c.Key, Op: c.Op})
		}
	}
	return nil
}

// refresh reads what changed, one by one; the tenants, being few, all at once.
func (d *Directory) refresh(ctx context.Context, changes []voice.ConfigChanged) error {
	if slices.ContainsFunc(changes, func(c voice.ConfigChanged) bool { return c.Kind == voice.KindTenant }) {
		table, err := d.loadTenants(ctx)
		if err != nil {
			return err
		}
		d.tenants.Store(table)
	}
	for _, c := range changes {
		if c.Kind != voice.KindDN {
			continue
		}
		r, err := fabric.Call(ctx, d.f, ConfigGet, ConfigKey{Tenant: c.Tenant, Kind: c.Kind, Key: c.Key, Secrets: true})
		var rec *DNRecord
		if err == nil {
			rec, err = NewDNRecord(r)
			if err != nil {
				d.log.Error("number left out of the directory", "err", err)
			}
		} else if !errors.Is(err, voice.ErrNotFound) {
			return fmt.Errorf("read number %s/%s: %w", c.Tenant, c.Key, err)
		}
		d.set(dnKey{c.Tenant, c.Key}, rec)
	}
	return nil
}

// set shows rec under its key, or nothing.
func (d *Directory) set(k dnKey, rec *DNRecord) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.trunks, k)
	if rec == nil {
		delete(d.dns, k)
		return
	}
	k = dnKey{rec.Tenant, rec.Number} // the record's own strings, so that none is kept twice
	if d.dns[k] = rec; rec.IsTrunk() {
		d.trunks[k] = rec
	}
}

func (d *Directory) tell(c DirectoryChange) {
	d.watchMu.Lock()
	watchers := d.watchers
	d.watchMu.Unlock()
	for _, fn := range watchers {
		fn(c)
	}
}
