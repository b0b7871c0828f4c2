package trunk

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/sipua"
	"parley/internal/sipua/locate"
	"parley/internal/sipua/transport"
	"parley/internal/voice"
)

// Directory is what is asked about trunks; a contract.Directory answers.
type Directory interface {
	Trunks() []*contract.DNRecord
	Tenant(name string) (*contract.TenantRecord, bool)
	DN(tenant, number string) (*contract.DNRecord, bool)
}

// Locator finds the targets of a URI; a locate.Resolver does.
type Locator interface {
	Locate(context.Context, locate.URI) (locate.Answer, error)
}

// Options are what a Table is made of. Directory and Locator are required.
type Options struct {
	Node      string
	Directory Directory
	Locator   Locator
	Registry  prometheus.Registerer // may be nil
	Log       *slog.Logger          // may be nil
}

// Link is how the table reaches the world once the node runs.
type Link struct {
	Sender  sipua.Sender
	Tokens  *sipua.Tokens
	Secret  []byte                                          // of the cluster: names of registered contacts are made from it
	Open    func(sealed, tenant, dn string) (string, error) // a password as it was typed
	Contact func(transport.Transport) string                // host:port where a peer reaches us, "" when not by that transport
	Leases  *fabric.Bucket                                  // nil: this node is alone
}

// Table is the trunks and softswitches of all tenants, as one node sees them.
type Table struct {
	node    string
	dir     Directory
	locator Locator
	log     *slog.Logger
	link    atomic.Pointer[Link]
	wake    chan struct{} // the directory changed; capacity 1

	mu     sync.Mutex // guards trunks
	trunks map[key]*Trunk
	index  atomic.Pointer[index]
}

type key struct{ tenant, dn string }

// index finds trunks by what a request shows. It is replaced, never changed.
type index struct {
	bySource  map[netip.Addr][]source
	byContact map[string]*Trunk
}

// source is an address that a trunk is known by.
type source struct {
	trunk *Trunk
	at    locate.Target
}

// New checks its options and starts nothing.
func New(o Options) (*Table, error) {
	if o.Directory == nil || o.Locator == nil {
		return nil, errors.New("trunk: Directory and Locator are required")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	t := &Table{node: o.Node, dir: o.Directory, locator: o.Locator, log: o.Log, wake: make(chan struct{}, 1), trunks: map[key]*Trunk{}}
	t.index.Store(&index{})
	if o.Registry != nil {
		o.Registry.MustRegister(&collector{t})
	}
	return t, nil
}

// Changed says that a number may have changed; the zero change, that any may have.
func (t *Table) Changed(ch contract.DirectoryChange) {
	if ch.Number != "" && ch.Op != voice.OpDelete {
		if r, ok := t.dir.DN(ch.Tenant, ch.Number); ok && !r.IsTrunk() && t.find(ch.Tenant, ch.Number) == nil {
			return
		}
	}
	select {
	case t.wake <- struct{}{}:
	default: // it will be seen
	}
}

// Attach gives the table its way to the world, before Run.
func (t *Table) Attach(link Link) {
	t.link.Store(&link)
	t.reindex() // the contacts we register have names now
}

// Run keeps the trunks current, asks how they are and registers them, until ctx ends. Call it once.
func (t *Table) Run(ctx context.Context) {
	running := map[*Trunk]func(){}
	stop := func(which func(*Trunk) bool) { // all at once, since each may have to take a registration back
		var wg sync.WaitGroup
		for tr, end := range running {
			if which(tr) {
				wg.Go(end)
				delete(running, tr)
			}
		}
		wg.Wait()
	}
	defer stop(func(*Trunk) bool { return true })
	for {
		t.Read()
		current := t.all()
		stop(func(tr *Trunk) bool { return !slices.Contains(current, tr) }) // before what takes their place
		for _, tr := range current {
			if running[tr] == nil {
				running[tr] = tr.start(ctx)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		}
	}
}

// Read takes the trunks from the directory.
func (t *Table) Read() {
	now := map[key]*Trunk{}
	t.mu.Lock()
	for _, r := range t.dir.Trunks() {
		k := key{r.Tenant, r.Number}
		old := t.trunks[k]
		if old != nil && old.record == r {
			now[k] = old
			continue
		}
		now[k] = t.newTrunk(r, old)
	}
	t.trunks = now
	t.mu.Unlock()
	t.reindex()
}

// reindex makes the index anew: trunks or their addresses changed.
func (t *Table) reindex() {
	x := &index{bySource: map[netip.Addr][]source{}, byContact: map[string]*Trunk{}}
	for _, tr := range t.all() {
		for _, at := range tr.sources() {
			x.bySource[at.Addr.Addr()] = append(x.bySource[at.Addr.Addr()], source{tr, at})
		}
		if user := t.contactUser(tr); user != "" {
			x.byContact[user] = tr
		}
	}
	t.index.Store(x)
}

func (t *Table) all() []*Trunk {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*Trunk, 0, len(t.trunks))
	for _, tr := range t.trunks {
		out = append(out, tr)
	}
	return out
}

func (t *Table) find(tenant, dn string) *Trunk {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.trunks[key{tenant, dn}]
}

// Find returns a trunk by its number, or nil: for a caller who proved to be it.
func (t *Table) Find(tenant, dn string) *Trunk { return t.find(tenant, dn) }

// From returns the trunk that an INVITE comes from, nil when it must be proved who calls. user is that of the
// Request-URI: a provider calls the contact that we registered. Otherwise the address decides, where the trunk's options trust it; of
// several trunks there the one with that port, and then with that transport.
func (t *Table) From(by transport.Transport, at netip.AddrPort, user string) *Trunk {
	x := t.index.Load()
	if tr := x.byContact[user]; tr != nil && !tr.Options.Authenticate {
		return tr
	}
	var fit *Trunk
	best := 0
	for _, s := range x.bySource[at.Addr().Unmap()] {
		likeness := 1
		if s.at.Transport == by {
			likeness++
		}
		if s.at.Addr.Port() == at.Port() {
			likeness += 2
		} else if s.trunk.Options.Trusted != voice.TrustAddress {
			continue
		}
		if !s.trunk.Options.Authenticate && s.trunk.Options.Trusted != voice.TrustNobody && likeness > best {
			fit, best = s.trunk, likeness
		}
	}
	return fit
}

// Registered tells whether user is that of a contact which we registered for tr: then the number called is in To.
func (t *Table) Registered(tr *Trunk, user string) bool { return t.index.Load().byContact[user] == tr }

// contactUser is the user of the Contact that tr registers; "" when it does not register. It is the same on all nodes, and
// nobody outside can guess it.
func (t *Table) contactUser(tr *Trunk) string {
	link := t.link.Load()
	if link == nil || tr.Options.Register == "" {
		return ""
	}
	h := hmac.New(sha256.New, link.Secret)
	h.Write([]byte("trunk-contact\x00" + tr.Tenant + "\x00" + tr.DN))
	const enough = 12 // bytes
	return "t" + hex.EncodeToString(h.Sum(nil)[:enough])
}
