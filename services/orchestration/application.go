package orchestration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/scxml"
	"parley/internal/voice"
	"parley/services/orchestration/lookup"
)

// application is what a route point runs.
type application struct {
	Script  string            // name of the resource; "" = by address
	Version int64             // of the resource
	Text    string            // of the resource
	URLs    []string          // addresses to try, with [DNIS] and the like
	Params  map[string]string // of the section Application
	Default string            // where calls go that nobody routes
	Options map[string]map[string]string
}

// Options of section Application.
const (
	sectionApplication = "Application"
	optionURL          = "url"
	optionAlternate    = "alternate-url"
)

// book knows applications, and the programs they are compiled to. What it has read is forgotten when the configuration changes.
type book struct {
	f       *fabric.Fabric
	fetch   *fetcher
	scripts string // directory
	engine  *scxml.Engine

	mu       sync.Mutex
	apps     map[[2]string]*application // by tenant and route point
	tables   map[string]*lookup.Tables  // by tenant
	epoch    int                        // of what was read; rises with each change
	programs map[string]*scxml.Program  // by file and digest of the text
}

const maxPrograms = 1000

func newBook(f *fabric.Fabric, fetch *fetcher, c Config) *book {
	return &book{f: f, fetch: fetch, scripts: c.Scripts, apps: map[[2]string]*application{}, tables: map[string]*lookup.Tables{}, programs: map[string]*scxml.Program{}}
}

// forget drops what was read, since something changed.
func (b *book) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.apps)
	clear(b.tables)
	b.epoch++
}

// application reads what a route point runs.
func (b *book) application(ctx context.Context, tenant, dn string) (*application, error) {
	key := [2]string{tenant, dn}
	b.mu.Lock()
	a, epoch := b.apps[key], b.epoch
	b.mu.Unlock()
	if a != nil {
		return a, nil
	}
	a, err := b.read(ctx, tenant, dn)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.epoch == epoch {
		b.apps[key] = a
	}
	return a, nil
}

func (b *book) read(ctx context.Context, tenant, number string) (*application, error) {
	var dn voice.DN
	if _, err := b.resource(ctx, tenant, voice.KindDN, number, &dn); err != nil {
		return nil, err
	}
	o, _ := voice.ParseRoutePointOptions(dn.Options["TServer"]) // checked when it was written
	a := &application{Default: o.DefaultDN, Params: map[string]string{}, Options: dn.Options}
	a.take(dn.Options[sectionApplication])
	if dn.Application == "" {
		return a, nil
	}
	var s voice.Script
	r, err := b.resource(ctx, tenant, voice.KindScript, dn.Application, &s)
	a.Script, a.Version, a.Text = dn.Application, r.Version, s.SCXML
	if errors.Is(err, voice.ErrNotFound) {
		err = nil // told when it is to be run
	}
	return a, err
}

// errNoApplication says that whoever configured the route point has somebody else in mind who routes its calls.
var errNoApplication = errors.New("the route point has no application")

// take reads the section Application.
func (a *application) take(o map[string]string) {
	for _, name := range []string{optionURL, optionAlternate} {
		if o[name] != "" {
			a.URLs = append(a.URLs, o[name])
		}
	}
	for k, v := range o {
		if k != optionURL && k != optionAlternate {
			a.Params[k] = v
		}
	}
}

func (b *book) resource(ctx context.Context, tenant string, kind voice.Kind, key string, body any) (voice.Resource, error) {
	r, err := fabric.Call(ctx, b.f, contract.ConfigGet, contract.ConfigKey{Tenant: tenant, Kind: kind, Key: key})
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(r.Body, body); err != nil {
		return r, fmt.Errorf("%s %s/%s: %w", kind, tenant, key, err)
	}
	return r, nil
}

// program finds and compiles what the application runs; from tells for people what it is.
func (b *book) program(ctx context.Context, a *application, fill func(string) string) (p *scxml.Program, from string, err error) {
	if a.Text != "" {
		p, err := b.compile(a.Script+".scxml", []byte(a.Text))
		return p, a.Script, err
	}
	if len(a.URLs) == 0 {
		if a.Script == "" {
			return nil, "", errNoApplication
		}
		return nil, "", fmt.Errorf("script %q of the route point has no text", a.Script)
	}
	var stale []byte
	var errs []error
	for _, address := range a.URLs {
		address = fill(address)
		body, err := b.load(ctx, address)
		if err == nil {
			if p, err := b.compile(address, body); err == nil {
				return p, address, nil
			} else {
				errs = append(errs, err)
				continue
			}
		}
		errs = append(errs, err)
		if stale == nil {
			stale, from = body, address
		}
	}
	if stale != nil { // its server is away: the calls go on with what it said last
		if p, err := b.compile(from, stale); err == nil {
			return p, from, nil
		}
	}
	return nil, "", errors.Join(errs...)
}

// load reads a document by address. What could be had before may be returned with the error.
func (b *book) load(ctx context.Context, address string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "http", "https":
		return b.fetch.document(ctx, address)
	case "file", "":
		if b.scripts == "" {
			return nil, fmt.Errorf("%s: orchestration.scripts names no directory for documents", address)
		}
		root, err := os.OpenRoot(b.scripts) // nothing outside of it can be named
		if err != nil {
			return nil, err
		}
		defer root.Close()
		name := strings.TrimPrefix(u.Path, "/")
		if u.Host != "" {
			name = filepath.Join(u.Host, name)
		}
		if strings.HasPrefix(u.Path, b.scripts+"/") {
			name = strings.TrimPrefix(u.Path, b.scripts+"/")
		}
		return root.ReadFile(name)
	}
	return nil, fmt.Errorf("%s: scheme %q is none of file, http and https", address, u.Scheme)
}

// compile compiles a document once.
func (b *book) compile(file string, text []byte) (*scxml.Program, error) {
	key := file + "\x00" + string(text)
	b.mu.Lock()
	p := b.programs[key]
	b.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := b.engine.Compile(file, text)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.programs) >= maxPrograms {
		clear(b.programs)
	}
	b.programs[key] = p
	return p, nil
}

func (b *book) compiled() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.programs)
}

// lookups are the business hours and lists of a tenant.
func (b *book) lookups(ctx context.Context, tenant string) (*lookup.Tables, error) {
	b.mu.Lock()
	t, epoch := b.tables[tenant], b.epoch
	b.mu.Unlock()
	if t != nil {
		return t, nil
	}
	var all []voice.Resource
	for _, kind := range []voice.Kind{voice.KindBusinessHours, voice.KindList} {
		page, err := fabric.Call(ctx, b.f, contract.ConfigList, contract.ConfigListRequest{Tenant: tenant, Kind: kind, Limit: 10_000})
		if err != nil {
			return nil, err
		}
		all = append(all, page.Resources...)
	}
	t, err := lookup.FromResources(all)
	if t == nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.epoch == epoch {
		b.tables[tenant] = t
	}
	return t, nil
}

var placeholder = regexp.MustCompile(`\[([A-Z]+)(?:\.([^\]]+))?\]`)

// substitute fills [DNIS], [ANI], [DN], [UDATA.name], [UDATA] and the like with values of a call, escaped for an address. What the call
// does not have is empty.
func substitute(address string, values map[string]string, udata map[string]any) string {
	pairs := func() string {
		q := url.Values{}
		for k, v := range udata {
			q.Set(k, scxml.Text(v))
		}
		return q.Encode()
	}
	return placeholder.ReplaceAllStringFunc(address, func(m string) string {
		parts := placeholder.FindStringSubmatch(m)
		switch word, name := parts[1], parts[2]; {
		case word != "UDATA":
			v, known := values[word]
			if !known || name != "" {
				return m
			}
			return url.QueryEscape(v)
		case name == "" || name == "*":
			return pairs()
		default:
			v, ok := udata[name]
			if !ok {
				return ""
			}
			return url.QueryEscape(scxml.Text(v))
		}
	})
}
