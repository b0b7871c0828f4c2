package contract

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// Directory is a node's own copy of the tenants and directory numbers, with the digests that verification needs.
// It is loaded from the config service in pages and then follows the stream CONFIG; reads take no more than a shared
// lock. One Directory serves all services of a node: a hundred thousand numbers take about 20 MB.
//
// What it says may be a moment behind the store. A notice that got lost on the way is made up for within
// twice [directoryCheck]: changes are numbered without holes, so a missing one shows.
type Directory struct {
	f   *fabric.Fabric
	log *slog.Logger

	tenants atomic.Pointer[tenantTable]
	synced  chan struct{}

	mu  sync.RWMutex // guards dns
	dns map[dnKey]*DNRecord

	watchMu  sync.Mutex // guards watchers
	watchers []func(DirectoryChange)

	wake    chan struct{} // a change waits in pending; capacity 1
	pendMu  sync.Mutex    // guards what follows
	pending map[ConfigKey]voice.ConfigChanged
	last    int64 // number of the newest change heard of, or loaded; -1 = none yet
	hole    bool  // a change before last was never heard of
}

type dnKey struct{ tenant, number string }

// TenantRecord is one tenant. It is shared: read only.
type TenantRecord struct {
	Name    string
	Domains []string // lower case
	Realm   string   // digest realm
	Default bool
	Options map[string]string
	Version int64
}

// DNRecord is one directory number, without what only pages need. It is shared: read only. A change replaces it.
type DNRecord struct {
	Tenant  string
	Number  string
	Type    voice.DNType
	Version int64
	MD5     [16]byte // H(number:realm:password); see HasAuth
	SHA256  [32]byte // the same with SHA-256 (RFC 8760)
	HasAuth bool     // false: this number cannot authenticate
	options unique.Handle[string]
}

// Options returns the options of the number, section -> option -> value. It decodes them each time: most numbers
// share theirs with thousands of others, and are asked for them rarely.
func (r *DNRecord) Options() (map[string]map[string]string, error) {
	var o map[string]map[string]string
	if r.options == (unique.Handle[string]{}) {
		return o, nil
	}
	if err := json.Unmarshal([]byte(r.options.Value()), &o); err != nil {
		return nil, fmt.Errorf("options of %s/%s: %w", r.Tenant, r.Number, err)
	}
	return o, nil
}

// DirectoryChange says that a tenant (Number is "") or a number changed or went away; the Directory already shows it.
// The zero value says that anything may have changed.
type DirectoryChange struct {
	Tenant, Number string
	Op             voice.ChangeOp
}

type tenantTable struct {
	byName map[string]*TenantRecord
	byHost map[string]*TenantRecord
	def    *TenantRecord
}

const (
	directoryPage  = 2000             // resources asked for at once
	directoryBulk  = 5000             // more waiting changes than this, and loading everything anew is cheaper
	directoryCheck = 15 * time.Second // how often the newest change number is compared
	directoryRetry = 500 * time.Millisecond
)

// NewDirectory returns an empty directory; Run fills it.
func NewDirectory(f *fabric.Fabric, log *slog.Logger) *Directory {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d := &Directory{
		f: f, log: log,
		synced:  make(chan struct{}),
		dns:     map[dnKey]*DNRecord{},
		wake:    make(chan struct{}, 1),
		pending: map[ConfigKey]voice.ConfigChanged{},
		last:    -1,
	}
	d.tenants.Store(&tenantTable{})
	return d
}

// Synced is closed when the directory was loaded for the first time.
func (d *Directory) Synced() <-chan struct{} { return d.synced }

// OnChange calls fn for each change from then on, in order and on one goroutine, and never for the first load.
// fn must not block for long.
func (d *Directory) OnChange(fn func(DirectoryChange)) {
	d.watchMu.Lock()
	defer d.watchMu.Unlock()
	d.watchers = append(d.watchers, fn)
}

// TenantByHost returns the tenant that owns host, and the default tenant for any other host or an address. ok is
// false when there is neither.
func (d *Directory) TenantByHost(host string) (t *TenantRecord, ok bool) {
	table := d.tenants.Load()
	if t, ok = table.byHost[host]; ok {
		return t, true
	}
	if t, ok = table.byHost[NormalHost(host)]; ok {
		return t, true
	}
	return table.def, table.def != nil
}

// Tenant returns the tenant of that name.
func (d *Directory) Tenant(name string) (t *TenantRecord, ok bool) {
	t, ok = d.tenants.Load().byName[name]
	return t, ok
}

// DN returns a number of a tenant.
func (d *Directory) DN(tenant, number string) (r *DNRecord, ok bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	r, ok = d.dns[dnKey{tenant, number}]
	return r, ok
}

// Len is how many numbers there are, all tenants together.
func (d *Directory) Len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.dns)
}

// NormalHost is the form in which domains are compared: lower case, without a final dot (RFC 1035 §2.3.3).
func NormalHost(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// Run loads the directory and keeps it current until ctx ends, then returns nil. While the config service is away it
// keeps what it has and tries again.
func (d *Directory) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	failed := make(chan error, 1)
	wg.Go(func() {
		err := d.f.Subscribe(ctx, fabric.StreamConfig, fabric.Filter("config", fabric.Rest), fabric.From{New: true}, d.take)
		if err != nil && ctx.Err() == nil {
			failed <- fmt.Errorf("follow %s: %w", fabric.StreamConfig, err)
		}
	})
	if !d.until(ctx, "load the directory", func() error { return d.load(ctx) }) {
		return nil
	}
	close(d.synced)
	check := time.NewTicker(directoryCheck)
	defer check.Stop()
	var stale int64 // what the directory had heard of when it was last found to be behind
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
			case behind && last == stale: // twice, so that it is not a notice on its way
				d.lostTrack()
			case behind:
				stale = last
			}
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
	d.hole = d.hole || d.last >= 0 && c.Seq > d.last+1
	d.last = max(d.last, c.Seq)
	k := ConfigKey{Tenant: c.Tenant, Kind: c.Kind, Key: c.Key}
	if old, ok := d.pending[k]; !ok || old.Seq < c.Seq {
		d.pending[k] = c
	}
	d.pendMu.Unlock()
	d.signal()
}

func (d *Directory) lostTrack() {
	d.pendMu.Lock()
	d.hole = true
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
	d.pendMu.Lock()
	if d.last < 0 {
		d.last = newest // a first notice with a higher number shows what was missed before it
	}
	d.pendMu.Unlock()
	tenants, err := d.loadTenants(ctx)
	if err != nil {
		return err
	}
	dns := map[dnKey]*DNRecord{}
	err = d.pages(ctx, ConfigListRequest{Kind: voice.KindDN, Secrets: true}, func(r voice.Resource) error {
		rec, err := newDNRecord(r)
		if err != nil { // one bad record must not cost all others
			d.log.Error("number left out of the directory", "err", err)
			return nil
		}
		dns[dnKey{rec.Tenant, rec.Number}] = rec
		return nil
	})
	if err != nil {
		return err
	}
	d.tenants.Store(tenants)
	d.mu.Lock()
	d.dns = dns
	d.mu.Unlock()
	return nil
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

func newDNRecord(r voice.Resource) (*DNRecord, error) {
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

// catchUp applies the changes that wait. If that fails they wait on.
func (d *Directory) catchUp(ctx context.Context) error {
	d.pendMu.Lock()
	work, hole := d.pending, d.hole
	d.pending, d.hole = map[ConfigKey]voice.ConfigChanged{}, false
	if hole {
		d.last = -1 // load finds the number to go on from
	}
	d.pendMu.Unlock()
	err := d.apply(ctx, work, hole)
	if err != nil {
		d.pendMu.Lock()
		d.hole = d.hole || hole
		for k, c := range work {
			if newer, ok := d.pending[k]; !ok || newer.Seq < c.Seq {
				d.pending[k] = c
			}
		}
		d.pendMu.Unlock()
	}
	return err
}

func (d *Directory) apply(ctx context.Context, work map[ConfigKey]voice.ConfigChanged, hole bool) error {
	changes := slices.SortedFunc(maps.Values(work), func(a, b voice.ConfigChanged) int { return cmp.Compare(a.Seq, b.Seq) })
	if hole || len(changes) > directoryBulk {
		if err := d.load(ctx); err != nil {
			return err
		}
	} else if err := d.refresh(ctx, changes); err != nil {
		return err
	}
	if hole {
		d.tell(DirectoryChange{})
		return nil
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
			rec, err = newDNRecord(r)
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
	if rec == nil {
		delete(d.dns, k)
		return
	}
	d.dns[dnKey{rec.Tenant, rec.Number}] = rec // the record's own strings, so that none is kept twice
}

func (d *Directory) tell(c DirectoryChange) {
	d.watchMu.Lock()
	watchers := d.watchers
	d.watchMu.Unlock()
	for _, fn := range watchers {
		fn(c)
	}
}
