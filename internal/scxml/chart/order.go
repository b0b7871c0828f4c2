package chart

import (
	"cmp"
	"slices"
)

// node is what has a place in a layer: a child, the mark where a state begins, a label, or a point on a long way.
type node struct {
	box   *box
	start bool // the dot of an initial transition
	link  *link
	label bool // link's words stand here

	layer, pos int
	x, y, w, h float64 // x is the middle, y the top, both within the parent's content
	up, down   []*node
}

// edge is a link between two children, or from the mark to one; it goes downwards, so links that lead backwards are turned.
type edge struct {
	from, to *node
	link     *link // nil from the mark
	turned   bool
	way      []*node // between from and to
}

// graph is the children of a box.
type graph struct {
	nodes  []*node
	edges  []*edge
	layers [][]*node
}

// maxWay bounds the places that long transitions of one box take.
const maxWay = 20_000

func newGraph(b *box, links []*link) *graph {
	g := &graph{}
	of := map[*box]*node{}
	for _, c := range b.children {
		n := &node{box: c, w: c.w, h: c.h}
		of[c] = n
		g.nodes = append(g.nodes, n)
	}
	if b.kind != "parallel" {
		g.marks(b, of)
	}
	for _, l := range links {
		_, ca, cb := meet(l.from, l.to)
		switch {
		case ca == nil: // from the box itself to something inside: it begins at a mark of its own
			mark := &node{start: true, w: markSize, h: markSize, link: l}
			g.nodes = append(g.nodes, mark)
			g.edges = append(g.edges, &edge{from: mark, to: of[cb], link: l})
		default:
			g.edges = append(g.edges, &edge{from: of[ca], to: of[cb], link: l})
		}
	}
	if b.kind == "parallel" {
		g.layers = [][]*node{g.nodes}
		for i, n := range g.nodes {
			n.pos = i
		}
		return g
	}
	g.turn()
	g.layer()
	g.fill()
	g.sort()
	return g
}

// marks adds the dot where the box begins.
func (g *graph) marks(b *box, of map[*box]*node) {
	for _, target := range b.initial {
		for target.parent != b && target.parent != nil {
			target = target.parent
		}
		if of[target] == nil {
			continue
		}
		mark := &node{start: true, w: markSize, h: markSize}
		g.nodes = append(g.nodes, mark)
		g.edges = append(g.edges, &edge{from: mark, to: of[target]})
	}
}

// turn makes the graph free of circles: what leads back to a node that the search is still below of is turned.
func (g *graph) turn() {
	out := map[*node][]*edge{}
	for _, e := range g.edges {
		out[e.from] = append(out[e.from], e)
	}
	const open, closed = 1, 2
	state := map[*node]int{}
	var visit func(n *node)
	visit = func(n *node) {
		state[n] = open
		for _, e := range out[n] {
			switch state[e.to] {
			case open:
				e.from, e.to, e.turned = e.to, e.from, true
			case 0:
				visit(e.to)
			}
		}
		state[n] = closed
	}
	for _, first := range []bool{true, false} { // from where the box begins, then whatever is not reached from there
		for _, n := range g.nodes {
			if n.start == first && state[n] == 0 {
				visit(n)
			}
		}
	}
}

// layer gives each node the longest way from a beginning; labels have every other layer.
func (g *graph) layer() {
	in := map[*node]int{}
	out := map[*node][]*edge{}
	for _, e := range g.edges {
		in[e.to]++
		out[e.from] = append(out[e.from], e)
	}
	var ready []*node
	for _, n := range g.nodes {
		if in[n] == 0 {
			ready = append(ready, n)
		}
	}
	for len(ready) > 0 {
		n := ready[0]
		ready = ready[1:]
		for _, e := range out[n] {
			e.to.layer = max(e.to.layer, n.layer+2)
			if in[e.to]--; in[e.to] == 0 {
				ready = append(ready, e.to)
			}
		}
	}
	for _, n := range g.nodes { // marks stand right above what they point at
		if n.start {
			n.layer = out[n][0].to.layer - 2
		}
	}
}

// fill puts labels and long ways into the layers between.
func (g *graph) fill() {
	last := 0
	for _, n := range g.nodes {
		last = max(last, n.layer)
	}
	g.layers = make([][]*node, last+1)
	for _, n := range g.nodes {
		g.layers[n.layer] = append(g.layers[n.layer], n)
	}
	ways := 0
	for _, e := range g.edges {
		at := e.from.layer + 1
		if e.turned {
			at = e.to.layer - 1
		}
		prev := e.from
		for l := e.from.layer + 1; l < e.to.layer; l++ {
			n := &node{link: e.link, layer: l, w: waySize}
			if l == at && e.link != nil && len(e.link.label.lines) > 0 {
				n.label = true
				n.w, n.h = e.link.label.size()
				e.link.at, e.link.box = n, g
			} else if ways++; ways > maxWay {
				continue
			}
			e.way = append(e.way, n)
			g.layers[l] = append(g.layers[l], n)
			join(prev, n)
			prev = n
		}
		join(prev, e.to)
	}
}

func join(a, b *node) {
	a.down = append(a.down, b)
	b.up = append(b.up, a)
}

// sort puts each layer in the order of the middles of what its nodes are joined to, down and up by turns, and keeps the
// order with the fewest crossings.
func (g *graph) sort() {
	g.number()
	best, fewest := g.order(), g.crossings()
	for round := range 12 {
		if fewest == 0 {
			break
		}
		for i := range g.layers {
			layer := g.layers[i]
			of := func(n *node) []*node { return n.up }
			if round%2 == 1 {
				layer = g.layers[len(g.layers)-1-i]
				of = func(n *node) []*node { return n.down }
			}
			slices.SortStableFunc(layer, func(a, b *node) int { return cmp.Compare(middle(a, of(a)), middle(b, of(b))) })
			for pos, n := range layer {
				n.pos = pos
			}
		}
		if c := g.crossings(); c < fewest {
			best, fewest = g.order(), c
		}
	}
	g.layers = best
	g.number()
}

func middle(n *node, joined []*node) float64 {
	if len(joined) == 0 {
		return float64(n.pos)
	}
	sum := 0
	for _, j := range joined {
		sum += j.pos
	}
	return float64(sum) / float64(len(joined))
}

func (g *graph) number() {
	for _, layer := range g.layers {
		for i, n := range layer {
			n.pos = i
		}
	}
}

func (g *graph) order() [][]*node {
	out := make([][]*node, len(g.layers))
	for i, layer := range g.layers {
		out[i] = slices.Clone(layer)
	}
	return out
}

// crossings counts the pairs of lines between neighbouring layers that cross.
func (g *graph) crossings() int {
	total := 0
	for _, layer := range g.layers {
		var ends []int
		for _, n := range layer {
			to := make([]int, 0, len(n.down))
			for _, d := range n.down {
				to = append(to, d.pos)
			}
			slices.Sort(to)
			ends = append(ends, to...)
		}
		if len(ends) > 500 {
			continue // counting would take longer than looking at it
		}
		for i, a := range ends {
			for _, b := range ends[:i] {
				if b > a {
					total++
				}
			}
		}
	}
	return total
}
