package chart

import "unicode/utf8"

// Sizes of the drawing, in its units.
const (
	titleChar  = 7.7 // width of a letter of a state's name
	labelChar  = 6.5 // of a label
	lineHeight = 15.0
	titleBar   = 30.0
	leafHeight = 36.0
	minWidth   = 84.0
	padding    = 16.0
	markSize   = 12.0
	waySize    = 10.0
	apart      = 22.0 // between neighbours in a layer
	layerGap   = 16.0 // between layers
	loopSpace  = 26.0 // the arc of a transition that leads back
	margin     = 12.0
)

func (l *label) size() (w, h float64) {
	longest := 0
	for _, line := range l.lines {
		longest = max(longest, utf8.RuneCountInString(line))
	}
	return float64(longest)*labelChar + 10, float64(len(l.lines))*lineHeight + 4
}

// arrange lays out the model: inner boxes first, so that their sizes are known, then places are made absolute.
func (m *model) arrange() (w, h float64) {
	links := map[*box][]*link{}
	for _, l := range m.links {
		in, _, _ := meet(l.from, l.to)
		links[in] = append(links[in], l)
	}
	m.root.measure(links)
	m.root.absolute(margin, margin)
	for _, b := range append([]*box{m.root}, m.boxes...) {
		if b.inner != nil {
			b.route()
		}
	}
	return m.root.w + 2*margin, m.root.h + 2*margin
}

// measure gives b its size, and what is in it its places.
func (b *box) measure(links map[*box][]*link) {
	for _, c := range b.children {
		c.measure(links)
	}
	title := float64(utf8.RuneCountInString(clip(b.id, maxTitle)))*titleChar + 30
	switch {
	case b.kind == "history":
		b.w, b.h = max(30, title), leafHeight
	case len(b.children) == 0:
		b.w, b.h = max(minWidth, title), leafHeight
	default:
		b.inner = newGraph(b, links[b])
		w, h := b.inner.place()
		b.w, b.h = max(w+2*padding, title), h+2*padding
		if b.parent != nil {
			b.h += titleBar - padding/2
		}
		b.inner.shift((b.w-w)/2, b.h-h-padding)
	}
	if b.loops != nil {
		lw, lh := b.loops.size()
		b.w += loopSpace + lw
		b.h = max(b.h, lh+8)
	}
}

// body is the width of the box itself, without its loop.
func (b *box) body() float64 {
	if b.loops == nil {
		return b.w
	}
	lw, _ := b.loops.size()
	return b.w - loopSpace - lw
}

// place gives the nodes of a graph their places, from 0, and returns how much they take.
func (g *graph) place() (w, h float64) {
	for _, layer := range g.layers {
		tallest, x := 0.0, 0.0
		for _, n := range layer {
			n.y = h
			n.x = x + n.w/2
			x += n.w + apart
			tallest = max(tallest, n.h)
		}
		for _, n := range layer {
			n.y = h + (tallest-n.h)/2
		}
		h += tallest + layerGap
	}
	for round := range 10 {
		for i := range g.layers {
			if round%2 == 0 {
				settle(g.layers[i], func(n *node) []*node { return n.up })
			} else {
				settle(g.layers[len(g.layers)-1-i], func(n *node) []*node { return n.down })
			}
		}
	}
	left, right := 0.0, 0.0
	for i, n := range flat(g.layers) {
		if l := n.x - n.w/2; i == 0 || l < left {
			left = l
		}
		if r := n.x + n.w/2; i == 0 || r > right {
			right = r
		}
	}
	g.shift(-left, 0)
	return right - left, max(h-layerGap, 0)
}

func flat(layers [][]*node) []*node {
	var out []*node
	for _, l := range layers {
		out = append(out, l...)
	}
	return out
}

func (g *graph) shift(dx, dy float64) {
	for _, n := range flat(g.layers) {
		n.x += dx
		n.y += dy
	}
}

// settle moves the nodes of a layer as near as possible to the middle of what they are joined to, without changing their
// order: the least squares of that are found by joining neighbours that want to pass each other into blocks that move together.
func settle(layer []*node, of func(*node) []*node) {
	type block struct {
		first, last int
		sum, weight float64
	}
	var blocks []block
	offset := make([]float64, len(layer)) // of each node from the first, as close as they may stand
	for i, n := range layer {
		if i > 0 {
			offset[i] = offset[i-1] + layer[i-1].w/2 + apart + n.w/2
		}
		want, weight := n.x, 0.1
		if joined := of(n); len(joined) > 0 {
			want, weight = 0, 1
			for _, j := range joined {
				want += j.x / float64(len(joined))
			}
			if n.box == nil {
				weight = 2 // long ways shall be straight
			}
		}
		blocks = append(blocks, block{i, i, weight * (want - offset[i]), weight})
		for k := len(blocks) - 1; k > 0 && blocks[k].sum/blocks[k].weight < blocks[k-1].sum/blocks[k-1].weight; k-- {
			blocks[k-1] = block{blocks[k-1].first, blocks[k].last, blocks[k-1].sum + blocks[k].sum, blocks[k-1].weight + blocks[k].weight}
			blocks = blocks[:k]
		}
	}
	for _, b := range blocks {
		for i := b.first; i <= b.last; i++ {
			layer[i].x = b.sum/b.weight + offset[i]
		}
	}
}

// absolute turns places within the parent into places on the drawing.
func (b *box) absolute(x, y float64) {
	b.x, b.y = x, y
	if b.inner == nil {
		return
	}
	b.inner.shift(x, y)
	for _, n := range b.inner.nodes {
		if n.box != nil {
			n.box.absolute(n.x-n.w/2, n.y)
		}
	}
}

// route finds the ways of the links of a box's children.
func (b *box) route() {
	for _, e := range b.inner.edges {
		if e.link == nil {
			continue
		}
		from, to := e.from, e.to
		way := make([]point, 0, 2*len(e.way)+2)
		for _, n := range e.way {
			way = append(way, point{n.x, n.y}, point{n.x, n.y + n.h})
		}
		if e.turned {
			from, to = to, from
			for i, j := 0, len(way)-1; i < j; i, j = i+1, j-1 {
				way[i], way[j] = way[j], way[i]
			}
		}
		e.link.path = join3(ending(from, e.link.from, way, to, true), way, ending(to, e.link.to, way, from, false))
	}
}

func join3(first point, way []point, last point) []point {
	return append(append([]point{first}, way...), last)
}

// ending is where a link leaves or enters: on the edge of the state itself, which may be deep inside of n, at the side that the
// way comes to.
func ending(n *node, b *box, way []point, other *node, first bool) point {
	if n.start {
		return point{n.x, n.y + n.h}
	}
	if n.box != b && !inside(b, n.box) {
		b = n.box
	}
	next := point{other.x, other.y}
	if len(way) > 0 {
		next = way[0]
		if !first {
			next = way[len(way)-1]
		}
	}
	middle := b.x + b.body()/2
	// The arrows of a wide box do not all end in one point.
	x := middle + max(-b.body()/3, min(b.body()/3, (next.x-middle)/3))
	if next.y < b.y {
		return point{x, b.y}
	}
	return point{x, b.y + b.h}
}
