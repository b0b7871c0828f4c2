package chart

import (
	"fmt"
	"html"
	"strings"

	"parley/internal/scxml"
)

// Options says how a chart is drawn.
type Options struct {
	Active []string // states that are lit
	Style  bool     // with a style sheet of its own, for a file that stands alone
}

const maxTitle = 40 // runes of a state's name

// Draw returns the program's chart as an <svg> element.
func Draw(p *scxml.Program, o Options) (string, error) {
	m, err := newModel(p)
	if err != nil {
		return "", err
	}
	w, h := m.arrange()
	name := p.Name()
	if name == "" {
		name = p.File()
	}
	var d drawing
	d.active = map[string]bool{}
	for _, id := range o.Active {
		d.active[id] = true
	}
	d.put(`<svg xmlns="http://www.w3.org/2000/svg" class="statechart" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="%s">`, w, h, w, h, "State chart "+html.EscapeString(name))
	if o.Style {
		d.put("<style>%s</style>", style)
	}
	d.put(`<defs><marker id="chart-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path class="chart-head" d="M0 0.8 7.4 4 0 7.2z"/></marker></defs>`)
	for _, b := range m.boxes {
		d.state(b)
	}
	for _, b := range append([]*box{m.root}, m.boxes...) {
		d.marks(b)
	}
	for _, l := range m.links {
		d.link(l)
	}
	for _, b := range m.boxes {
		d.loop(b)
	}
	for _, l := range m.links {
		if l.at != nil {
			d.words(l.label, l.at.x, l.at.y, "middle", l.lit)
		}
	}
	d.put("</svg>")
	return d.String(), nil
}

// drawing is an <svg> in the making.
type drawing struct {
	strings.Builder
	active map[string]bool
}

func (d *drawing) put(format string, args ...any) { fmt.Fprintf(&d.Builder, format, args...) }

// class is that of a thing that is lit while its state is active.
func (d *drawing) class(names, id string) string {
	if d.active[id] {
		return names + " on"
	}
	return names
}

func (d *drawing) state(b *box) {
	id, w := html.EscapeString(b.id), b.body()
	d.put(`<g class="%s" data-state="%s"><title>%s %s</title>`, d.class("chart-state "+b.kind+outer(b), b.id), id, b.kind, id)
	radius := 7.0
	if b.kind == "final" || b.kind == "history" {
		radius = leafHeight / 2
	}
	d.put(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="%.0f"/>`, b.x, b.y, w, b.h, radius)
	if b.kind == "final" {
		d.put(`<rect class="inner" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="%.0f"/>`, b.x+3, b.y+3, w-6, b.h-6, radius-3)
	}
	if b.kind == "parallel" && b.inner != nil {
		for i, c := range b.children[min(1, len(b.children)):] {
			x := (b.children[i].x + b.children[i].w + c.x) / 2
			d.put(`<line class="chart-region" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, x, b.y+titleBar, x, b.y+b.h)
		}
	}
	title := clip(b.id, maxTitle)
	if strings.HasPrefix(title, "$") { // the document gave it no name
		title = ""
	}
	if b.kind == "history" {
		title = "H " + title
	}
	if b.inner == nil {
		d.put(`<text class="chart-title" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, b.x+w/2, b.y+b.h/2+4.5, html.EscapeString(title))
	} else {
		d.put(`<text class="chart-title" x="%.1f" y="%.1f">%s</text>`, b.x+14, b.y+20, html.EscapeString(title))
	}
	d.put("</g>")
}

// outer is the class of a state that has others in it.
func outer(b *box) string {
	if b.inner == nil {
		return ""
	}
	return " outer"
}

// marks draws where a box begins.
func (d *drawing) marks(b *box) {
	if b.inner == nil {
		return
	}
	for _, e := range b.inner.edges {
		if !e.from.start {
			continue
		}
		d.put(`<circle class="chart-mark" cx="%.1f" cy="%.1f" r="4.5"/>`, e.from.x, e.from.y+markSize/2)
		if e.link == nil && e.to.box != nil {
			x := e.to.box.x + e.to.box.body()/2
			d.put(`<path class="chart-link" d="%s" marker-end="url(#chart-arrow)"/>`, curve([]point{{e.from.x, e.from.y + markSize}, {x, e.to.box.y}}))
		}
	}
}

func (d *drawing) link(l *link) {
	if len(l.path) < 2 {
		return
	}
	d.put(`<path class="chart-link" data-link="%s" d="%s" marker-end="url(#chart-arrow)"><title>%s</title></path>`,
		html.EscapeString(l.lit), curve(l.path), html.EscapeString(l.from.id+" → "+l.to.id+"\n"+strings.Join(l.label.full, "\n")))
}

// curve is a smooth way through points from above to below or from below to above.
func curve(p []point) string {
	var b strings.Builder
	fmt.Fprintf(&b, "M%.1f %.1f", p[0].x, p[0].y)
	for i := 1; i < len(p); i++ {
		from, to := p[i-1], p[i]
		if from.x == to.x {
			fmt.Fprintf(&b, "L%.1f %.1f", to.x, to.y)
			continue
		}
		mid := (from.y + to.y) / 2
		fmt.Fprintf(&b, "C%.1f %.1f %.1f %.1f %.1f %.1f", from.x, mid, to.x, mid, to.x, to.y)
	}
	return b.String()
}

// loop draws the transitions that lead back to b, beside it.
func (d *drawing) loop(b *box) {
	if b.loops == nil {
		return
	}
	x, y := b.x+b.body(), b.y+b.h/2
	d.put(`<path class="chart-link" data-link="%s" d="M%.1f %.1fc22 -8 22 22 0 16" marker-end="url(#chart-arrow)"><title>%s</title></path>`,
		html.EscapeString(b.id+" "+b.id), x, y-8, html.EscapeString(strings.Join(b.loops.full, "\n")))
	_, lh := b.loops.size()
	d.words(b.loops, x+loopSpace-6, y-lh/2, "start", b.id+" "+b.id)
}

func (d *drawing) words(l *label, x, y float64, anchor, lit string) {
	if len(l.lines) == 0 {
		return
	}
	d.put(`<text class="chart-label" data-link="%s" text-anchor="%s"><title>%s</title>`, html.EscapeString(lit), anchor, html.EscapeString(strings.Join(l.full, "\n")))
	for i, line := range l.lines {
		d.put(`<tspan x="%.1f" y="%.1f">%s</tspan>`, x, y+float64(i)*lineHeight+12.5, html.EscapeString(line))
	}
	d.put("</text>")
}

// style is that of a drawing that stands alone.
const style = `.statechart{color-scheme:light dark;background:light-dark(#fff,#171e22)}
.chart-state rect{fill:light-dark(#faf9f5,#1d262b);stroke:light-dark(#8d9ba3,#5b6b74);stroke-width:1.2}.chart-state .inner{fill:none}
.chart-state.on>rect{fill:light-dark(#d3ebe4,#14403a);stroke:light-dark(#0b6a5d,#62cbb8);stroke-width:2}
.chart-state.on.outer>rect{fill:light-dark(#f2f7f4,#182826);stroke-width:1.4}
.chart-region{stroke:light-dark(#8d9ba3,#5b6b74);stroke-dasharray:5 4}.chart-mark,.chart-head{fill:light-dark(#677178,#8d9ba3)}
.chart-link{fill:none;stroke:light-dark(#677178,#8d9ba3);stroke-width:1.2}
.chart-title{font:600 13px system-ui,sans-serif;fill:light-dark(#1c2327,#e6ebed)}
.chart-label{font:11px ui-monospace,monospace;fill:light-dark(#485258,#b2bec4);paint-order:stroke;stroke:light-dark(#fff,#171e22);stroke-width:4px;stroke-linejoin:round}`
