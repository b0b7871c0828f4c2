// Package chart draws state charts as SVG: states as boxes within boxes, transitions as arrows with their events.
//
// The layout is that of layered graphs (Sugiyama, Tagawa, Toda 1981), done for the children of each state, innermost first:
// transitions that lead backwards are turned round, children get layers by the longest way from the initial one, labels and
// long transitions get places of their own in the layers between, each layer is put in an order with few crossings, and
// places are chosen near those they are joined to. A transition between states of different parents is drawn between the
// children of their least common ancestor that hold them. Regions of a <parallel> stand side by side.
//
// The text has no colours: they are classes, for the page's style sheet or for [Options].Style. Each box has the id of its state
// in data-state, so a page lights the active ones without a new drawing.
//
// The same document gives the same drawing. Limits: [MaxStates] and [MaxTransitions]; beyond them [Draw] refuses.
package chart
