package scxml

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/dlclark/regexp2/v2"

	"parley/internal/scxml/markup"
)

// Limits bounds what one session may take; zero fields take those of [DefaultLimits].
type Limits struct {
	StepTime    time.Duration // that scripts may run for one event; at most [MaxStepTime]
	Microsteps  int           // for one external event
	Events      int           // external events handled in one call of Run; the rest waits for the next
	Queue       int           // events of one queue
	Timers      int           // delayed sends
	EventBytes  int           // estimated size of the data of one event
	DataBytes   int           // estimated size of the data model
	GrowthBytes int           // of the process's heap, while one script runs
	Children    int           // sessions of a session and of those it invokes
	Calls       int           // functions within functions
}

// DefaultLimits suits programs that decide about calls.
func DefaultLimits() Limits {
	return Limits{
		StepTime: 250 * time.Millisecond, Microsteps: 10_000, Events: 1_000, Queue: 1_000, Timers: 1_000,
		EventBytes: 256 << 10, DataBytes: 2 << 20, GrowthBytes: 256 << 20, Children: 32, Calls: 400,
	}
}

// MaxStepTime bounds Limits.StepTime. A regular expression cannot be interrupted, so its own limit of time, which is
// one for the process, has to be above that of any session: when it ends, the script around it is interrupted.
const MaxStepTime = time.Second

func (l Limits) orDefault() (Limits, error) {
	d := DefaultLimits()
	l = Limits{
		StepTime: cmp.Or(l.StepTime, d.StepTime), Microsteps: cmp.Or(l.Microsteps, d.Microsteps), Events: cmp.Or(l.Events, d.Events),
		Queue: cmp.Or(l.Queue, d.Queue), Timers: cmp.Or(l.Timers, d.Timers), EventBytes: cmp.Or(l.EventBytes, d.EventBytes),
		DataBytes: cmp.Or(l.DataBytes, d.DataBytes), GrowthBytes: cmp.Or(l.GrowthBytes, d.GrowthBytes),
		Children: cmp.Or(l.Children, d.Children), Calls: cmp.Or(l.Calls, d.Calls),
	}
	if l.StepTime < 0 || l.StepTime > MaxStepTime {
		return l, fmt.Errorf("scxml: StepTime is %v, want at most %v", l.StepTime, MaxStepTime)
	}
	if min(l.Microsteps, l.Events, l.Queue, l.Timers, l.EventBytes, l.DataBytes, l.GrowthBytes, l.Children, l.Calls) < 0 {
		return l, errors.New("scxml: a limit is negative")
	}
	return l, nil
}

// Options is what an engine is made of; all may be left empty.
type Options struct {
	Limits Limits
	Markup markup.Limits
	Log    *slog.Logger
	// Load reads what src names: scripts, data, invoked documents. base is the file of the document that asks.
	// Without it nothing can be loaded.
	Load func(base, src string) ([]byte, error)
	// Deliver takes events for sessions that are not of the sender's family, by session id.
	Deliver func(session string, ev Event) error
	// Elements and Processors extend documents; Invokers is by type, as documents write it.
	Elements   []Element
	Processors []Processor
	Invokers   map[string]Invoker
	// Globals are object roots of modules, by name, read-only.
	Globals map[string]Global
	// Trace, if set, hears of each state entered and left, each event taken and each log line.
	Trace func(session string, t Trace)
	// KeepData keeps the variables of sessions that ended, for [Session.Data].
	KeepData bool
}

// Engine compiles documents and runs sessions of them. It is safe for concurrent use.
type Engine struct {
	opts       Options
	log        *slog.Logger
	elements   map[elementName]Element
	processors map[string]Processor // by each of their types
	invokers   map[string]Invoker

	mu    sync.Mutex
	cache map[string]*Program // of documents loaded by sessions, by digest of name and text
}

// maxCached bounds documents that sessions loaded; a full cache starts again from nothing.
const maxCached = 200

var regexpLimit sync.Once

// New checks its options.
func New(opts Options) (*Engine, error) {
	var err error
	if opts.Limits, err = opts.Limits.orDefault(); err != nil {
		return nil, err
	}
	// The library has no other way to bound the matching of expressions that goja compiles.
	regexpLimit.Do(func() { regexp2.DefaultMatchTimeout = MaxStepTime })
	e := &Engine{opts: opts, log: opts.Log, elements: map[elementName]Element{}, processors: map[string]Processor{}, invokers: opts.Invokers, cache: map[string]*Program{}}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	for _, el := range opts.Elements {
		name := elementName{el.Space, el.Name}
		if el.Space == Namespace || el.Name == "" || el.Compile == nil {
			return nil, fmt.Errorf("scxml: element {%s}%s cannot be added", el.Space, el.Name)
		}
		if _, twice := e.elements[name]; twice {
			return nil, fmt.Errorf("scxml: element {%s}%s is there already", el.Space, el.Name)
		}
		e.elements[name] = el
	}
	for _, p := range opts.Processors {
		for _, kind := range p.Types() {
			if kind == TypeSCXML || kind == "scxml" || e.processors[kind] != nil {
				return nil, fmt.Errorf("scxml: there is an event processor of type %q already", kind)
			}
			e.processors[kind] = p
		}
	}
	for name := range opts.Globals {
		if systemVariables[name] || !identifier(name) {
			return nil, fmt.Errorf("scxml: %q cannot be a global", name)
		}
	}
	return e, nil
}

func (e *Engine) load(base, src string) ([]byte, error) {
	if e.opts.Load == nil {
		return nil, errors.New("nothing can be loaded here")
	}
	body, err := e.opts.Load(base, src)
	if err == nil && len(body) > markup.DefaultLimits().Bytes {
		return nil, fmt.Errorf("it is %d bytes long, at most %d are read", len(body), markup.DefaultLimits().Bytes)
	}
	return body, err
}

// cached compiles a document that a session names while it runs.
func (e *Engine) cached(file string, src []byte) (*Program, error) {
	key := file + "\x00" + digest(src)
	e.mu.Lock()
	p := e.cache[key]
	e.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := e.Compile(file, src)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.cache) >= maxCached {
		clear(e.cache)
	}
	e.cache[key] = p
	return p, nil
}
