package scxml

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"parley/internal/scxml/markup"
)

// Namespace is that of SCXML's own elements.
const Namespace = "http://www.w3.org/2005/07/scxml"

// Pos is a place in a document.
type Pos = markup.Pos

// Program is a compiled document. It never changes, and all sessions of the document share it.
type Program struct {
	name   string // of the document's name attribute
	file   string
	source []byte
	digest string

	null      bool // data model without data: only In() in conditions
	late      bool // late binding (§5.3.3)
	states    []*state
	ids       map[string]*state
	data      []*data // of the whole document, in document order
	dataNames map[string]bool
	invokes   []*invoke // of the whole document; snapshots name them by index
	script    []*script // top level, run once at the start
	functions functions
	risky     bool // code may make long arrays, see riskyPattern
	exotic    bool // code may make getters, which snapshots have to look for
	initial   *transition
	warnings  []error
}

// Name is the document's name attribute.
func (p *Program) Name() string { return p.name }

// File is what the document was called when it was compiled.
func (p *Program) File() string { return p.file }

// Source is the text of the document; it must not be changed.
func (p *Program) Source() []byte { return p.source }

// Digest tells documents apart: snapshots restore only into the same text.
func (p *Program) Digest() string { return p.digest }

// Warnings are expressions that are no ECMAScript. The Recommendation lets such a document run and raise
// error.execution where it meets them (§5.9), so they are no errors of compilation.
func (p *Program) Warnings() []error { return p.warnings }

func digest(src []byte) string {
	sum := sha256.Sum256(src)
	return hex.EncodeToString(sum[:16])
}

type stateKind uint8

const (
	kindScxml stateKind = iota
	kindState
	kindParallel
	kindFinal
	kindHistory
)

// state is <scxml>, <state>, <parallel>, <final> or <history>. Its index is its place in document order; its
// descendants are the indexes up to last.
type state struct {
	index, last int
	kind        stateKind
	deep        bool // of a history
	id          string
	generated   bool // the document gave no id
	pos         Pos
	parent      *state
	children    []*state // states, without histories
	history     []*state
	initial     *transition // of a compound state; of a history its default
	transitions []*transition
	entry, exit [][]action // a block for each handler
	data        []*data
	invokes     []*invoke
	done        *payload // of a final
}

func (s *state) atomic() bool {
	return len(s.children) == 0 && (s.kind == kindState || s.kind == kindFinal || s.kind == kindParallel)
}
func (s *state) compound() bool {
	return s.kind == kindScxml || s.kind == kindState && len(s.children) > 0
}

// below tells whether s is a proper descendant of a.
func (s *state) below(a *state) bool { return s.index > a.index && s.index <= a.last }

type transition struct {
	source   *state
	events   []string // descriptors without their ".*"; "" matches all; nil is an eventless transition
	cond     *expr
	targets  []*state
	names    []string // of targets, until they are resolved
	internal bool
	actions  []action
	pos      Pos
	order    int
}

// matches says whether one of the descriptors fits the name of an event (§3.12.1).
func (t *transition) matches(name string) bool {
	for _, d := range t.events {
		if d == "" || strings.HasPrefix(name, d) && (len(name) == len(d) || name[len(d)] == '.') {
			return true
		}
	}
	return false
}

// descriptors splits the event attribute.
func descriptors(attr string) []string {
	fields := strings.Fields(attr)
	for i, d := range fields {
		if d == "*" {
			fields[i] = ""
			continue
		}
		d = strings.TrimSuffix(d, "*")
		fields[i] = strings.TrimSuffix(d, ".")
	}
	return fields
}

// data is a <data> element.
type data struct {
	id    string
	pos   Pos
	value *content
}

// States lists the ids of the document's states in document order, for whoever draws or checks it.
func (p *Program) States() []StateInfo {
	out := make([]StateInfo, 0, len(p.states))
	for _, s := range p.states[1:] {
		info := StateInfo{ID: s.id, Kind: [...]string{"scxml", "state", "parallel", "final", "history"}[s.kind], Pos: s.pos}
		if s.parent.kind != kindScxml {
			info.Parent = s.parent.id
		}
		if s.initial != nil {
			info.Initial = ids(s.initial.targets)
		}
		for _, t := range s.transitions {
			info.Transitions = append(info.Transitions, TransitionInfo{Events: shown(t.events), Cond: t.cond.text(), Targets: ids(t.targets), Pos: t.pos})
		}
		out = append(out, info)
	}
	return out
}

// Initial lists where the document begins.
func (p *Program) Initial() []string { return ids(p.initial.targets) }

// StateInfo tells of a state what a drawing or a check wants to know.
type StateInfo struct {
	ID, Kind, Parent string // Parent is empty at the top
	Initial          []string
	Transitions      []TransitionInfo
	Pos              Pos
}

// TransitionInfo tells of a transition.
type TransitionInfo struct {
	Events  []string
	Cond    string
	Targets []string
	Pos     Pos
}

func ids(states []*state) []string {
	out := make([]string, len(states))
	for i, s := range states {
		out[i] = s.id
	}
	return out
}

func shown(events []string) []string {
	out := make([]string, len(events))
	for i, e := range events {
		if out[i] = e; e == "" {
			out[i] = "*"
		}
	}
	return out
}
