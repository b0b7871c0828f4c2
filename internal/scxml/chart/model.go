package chart

import (
	"fmt"
	"strings"

	"parley/internal/scxml"
)

// Limits of what is drawn.
const (
	MaxStates      = 600
	MaxTransitions = 3000
)

// box is a state, or the document.
type box struct {
	id, kind string
	parent   *box
	children []*box
	depth    int
	initial  []*box
	loops    *label // transitions that lead back to the box itself

	x, y, w, h float64 // x and y within the parent until they are made absolute
	inner      *graph  // of the children
}

// label is the words at a transition.
type label struct {
	lines []string // as they are shown
	full  []string // as they are written
}

// link is all transitions from one state to another.
type link struct {
	from, to *box
	label    *label
	path     []point // absolute, when it is known
	at       *node   // where the label stands
	box      *graph  // of at
	lit      string  // data-link: from and to
}

type point struct{ x, y float64 }

// model is the document as a tree of boxes and the links between them.
type model struct {
	root  *box
	boxes []*box // without the root, in document order
	links []*link
}

func newModel(p *scxml.Program) (*model, error) {
	states := p.States()
	if len(states) > MaxStates {
		return nil, fmt.Errorf("the document has %d states; at most %d are drawn", len(states), MaxStates)
	}
	m := &model{root: &box{kind: "scxml"}}
	byID := map[string]*box{"": m.root}
	for _, s := range states {
		parent := byID[s.Parent]
		b := &box{id: s.ID, kind: s.Kind, parent: parent, depth: parent.depth + 1}
		parent.children = append(parent.children, b)
		byID[s.ID] = b
		m.boxes = append(m.boxes, b)
	}
	m.root.initial = find(byID, p.Initial())
	transitions := 0
	for i, s := range states {
		b := m.boxes[i]
		if s.Kind != "parallel" {
			b.initial = find(byID, s.Initial)
		}
		if transitions += len(s.Transitions); transitions > MaxTransitions {
			return nil, fmt.Errorf("the document has more than %d transitions; so many are not drawn", MaxTransitions)
		}
		m.connect(b, s.Transitions, byID)
	}
	return m, nil
}

func find(byID map[string]*box, ids []string) []*box {
	var out []*box
	for _, id := range ids {
		if b := byID[id]; b != nil && b.id != "" {
			out = append(out, b)
		}
	}
	return out
}

// connect makes the links that begin at b, one for each target.
func (m *model) connect(b *box, transitions []scxml.TransitionInfo, byID map[string]*box) {
	to := map[*box]*link{}
	for _, t := range transitions {
		text := words(t)
		for _, target := range find(byID, t.Targets) {
			if b == target || inside(b, target) { // the box is left and entered again
				if target.loops == nil {
					target.loops = &label{}
				}
				if b != target {
					text = b.id + ": " + text
				}
				target.loops.add(text)
				continue
			}
			l := to[target]
			if l == nil {
				l = &link{from: b, to: target, label: &label{}, lit: b.id + " " + target.id}
				to[target] = l
				m.links = append(m.links, l)
			}
			l.label.add(text)
		}
		if len(t.Targets) == 0 { // it does something and stays
			if b.loops == nil {
				b.loops = &label{}
			}
			b.loops.add(text)
		}
	}
}

func words(t scxml.TransitionInfo) string {
	text := strings.Join(t.Events, " ")
	if t.Cond != "" {
		text = strings.TrimSpace(text + " [" + t.Cond + "]")
	}
	return text
}

// Lengths of labels.
const (
	maxLine  = 38 // runes
	maxLines = 4
)

func (l *label) add(text string) {
	l.full = append(l.full, text)
	switch n := len(l.full); {
	case text == "" && n == 1: // an eventless transition without a condition needs no words
	case len(l.lines) < maxLines:
		l.lines = append(l.lines, clip(text, maxLine))
	default:
		l.lines[maxLines-1] = fmt.Sprintf("and %d more", n-maxLines+1)
	}
}

func clip(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// inside tells whether b is a proper descendant of a.
func inside(b, a *box) bool {
	for p := b.parent; p != nil; p = p.parent {
		if p == a {
			return true
		}
	}
	return false
}

// meet is the innermost box that has both in it, and the children of it that are or hold them. Where one holds the other, the
// outer one is nil.
func meet(a, b *box) (in, ca, cb *box) {
	for a.depth > b.depth {
		ca, a = a, a.parent
	}
	for b.depth > a.depth {
		cb, b = b, b.parent
	}
	for a != b {
		ca, cb, a, b = a, b, a.parent, b.parent
	}
	return a, ca, cb
}
