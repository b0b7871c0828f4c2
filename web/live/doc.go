// Package live tells open pages that something they show has changed.
//
// A [Hub] has streams, one for each open page. Whoever sees a change marks a key of a topic ("device 1001 of tenant
// demo"); each stream that follows the topic remembers the key until its page has been told. A key that is marked ten
// times before that is told once, so a burst costs a slow page nothing but the newest state, and memory is bounded by
// the number of streams times the keys one may have pending. A stream with more pending than that is ended; its page
// connects again and starts from what is true then.
//
// Concurrency: one lock for the hub, held for map work only. Marking never waits for a page.
//
// Not here: what a change looks like and how it is sent (package web).
package live
