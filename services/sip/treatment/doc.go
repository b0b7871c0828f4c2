// Package treatment is what may be done to a caller who waits at a route point, as T-Library describes it: what a
// treatment means ([Parse]), and how keys become digits ([Collector]).
//
// Nothing here does I/O, keeps a clock or a goroutine: time is an argument, so that each case can be played through by a
// test. Whoever has the call (services/sip) plays, records and sets the timers.
//
// Limits: prompts of an announcement, lengths of names, seconds and digits; see the constants. What is beyond them is
// refused when the treatment is asked for, never in the middle of it.
package treatment
