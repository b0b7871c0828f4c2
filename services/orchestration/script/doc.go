// Package script is what authors of routing scripts work with: [Check] says what is wrong in a document, [Run] plays it in virtual
// time against a list of events and answers, and [TestFile] compares what a script does with what its author expects.
//
// Check compiles with the modules that running sessions have, so it knows what they know, and reports everything at once with
// file, line and column. Errors are what a session would trip over; warnings are what it would get away with, but a caller
// perhaps would not: states nobody comes to, transitions that never fire, failures nobody handles, and ways to a state in which a
// caller hears nothing. For the last one, what the caller hears is followed along all transitions without looking at conditions (flow.go).
//
// Run is a host of one session (package module). Requests are answered by the author's list or, where it says nothing, as
// a patient platform would (answers.go). Time passes only from one thing that happens to the next, so an hour of waiting takes no time
// and the same input gives the same trace.
//
// Nothing here has state between calls or goroutines. Limits: those of package scxml for a session, and [Limits] of a run.
package script
