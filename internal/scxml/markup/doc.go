// Package markup reads XML into a small tree whose every element knows where it stands.
//
// A [Node] is either an element or a piece of text. Names carry the namespace itself, prefixes are resolved while
// reading, and [Node.XML] writes a tree back with whatever declarations it needs, so that a part of a document can
// travel on its own.
//
// Concurrency: a tree is never changed after [Parse] returned it and may be shared.
//
// Limits: [Limits] bounds bytes, depth and the number of nodes; there are no external entities and no DTD of ours,
// so nothing in a document makes the reader fetch or expand anything.
package markup
