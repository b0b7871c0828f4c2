package contract

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unique"

	"parley/internal/sipua/digest"

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

	mu     sync.RWMutex // guards dns and trunks
	dns    map[dnKey]*DNRecord
	trunks map[dnKey]*DNRecord // those of dns that are trunks or softswitches

	watchMu  sync.Mutex // guards watchers
	watchers []func(DirectoryChange)

	wake    chan struct{} // a change waits in pending; capacity 1
	pendMu  sync.Mutex    // guards what follows
	pending map[ConfigKey]voice.ConfigChanged
	last    int64              // every change up to this number was heard of or loaded
	ahead   map[int64]struct{} // changes heard of with a gap before them
	lost    bool               // load everything anew: a gap did not close, or there is much to catch up with
	applied int64              // reads see every change up to this number
	moved   chan struct{}      // closed and renewed when applied rises
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
	Tenant        string
	Number        string
	Type          voice.DNType
	Version       int64
	digest.Secret      // of number, realm and password; see HasAuth
	HasAuth       bool // false: this number cannot authenticate
	options       unique.Handle[string]
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

// NewDirectory returns an empty directory; Run fills it.
func NewDirectory(f *fabric.Fabric, log *slog.Logger) *Directory {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d := &Directory{
		f: f, log: log,
		synced:  make(chan struct{}),
		dns:     map[dnKey]*DNRecord{},
		trunks:  map[dnKey]*DNRecord{},
		wake:    make(chan struct{}, 1),
		pending: map[ConfigKey]voice.ConfigChanged{},
		ahead:   map[int64]struct{}{},
		moved:   make(chan struct{}),
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

// Trunks returns the trunks and softswitches of all tenants, in no order.
func (d *Directory) Trunks() []*DNRecord {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Collect(maps.Values(d.trunks))
}

// IsTrunk tells whether the number stands for a way out or in.
func (r *DNRecord) IsTrunk() bool { return r.Type == voice.DNTrunk || r.Type == voice.DNSoftswitch }

// Len is how many numbers there are, all tenants together.
func (d *Directory) Len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.dns)
}

// NormalHost is the form in which domains are compared: lower case, without a final dot (RFC 1035 §2.3.3).
func NormalHost(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }
