// Package scxml runs state charts: W3C SCXML 1.0 (Recommendation of 1 September 2015) with the ECMAScript data model. It
// knows nothing of calls; what charts do in the world is added as elements, processors, invokers and globals in [Options].
//
// Shape: an [Engine] compiles a document once into a [Program], which never changes and is shared by all its sessions:
// states by index in document order, transitions with resolved targets, expressions as code of goja, constants and
// In('id') so that they need no runtime. A [Session] is a configuration (a set of bits), two queues, timers, and a
// runtime of goja that is made when the first expression asks for it. step.go is Appendix D, procedure by procedure.
//
// Concurrency: no session has a goroutine. Whoever has an event gives it to [Session.Post] and calls [Session.Run] with
// the time; Run returns when the session waits again. Timers are data: [Session.NextDue] says when Run is wanted
// next. Post may be called by anybody at any time; calls of Run exclude each other. Sessions that a session invoked are
// its family: they share its lock, are driven by its Run, each with one event in turn.
//
// Values that leave a runtime (data of events, parameters, results) are nil, bool, float64, string, []any, map[string]any,
// [Undefined], time.Time, [Pattern] and *markup.Node; they are copies, so sessions share no objects.
//
// Choices where the Recommendation leaves them: without a datamodel attribute a document uses ECMAScript. Expressions
// that are no ECMAScript do not reject a document (§5.9 allows both): they are [Program.Warnings], and error.execution where
// they are met. src of <data> and <script> is read while compiling. An error.communication is raised and the block goes on;
// other errors end the block. let and const at the top of a script are variables of the data model, like var.
//
// Snapshots ([Session.Snapshot], [Engine.Restore]) hold all of a family as JSON; image.go tells how variables are written.
// [Session.Sleep] does the same to the variables only and drops the runtime, which is nearly all of the memory of a session: a
// waiting one is some 40 KB awake and 1 KB asleep, and waking costs some 0.1 ms. Hosts of many sessions let those sleep that wait
// for longer than a moment.
//
// Limits are in [Limits]: time of a script (it is interrupted, and error.execution is raised; the third in a step ends the
// session), microsteps, queues, timers, sizes. What a runtime does inside of one call of its library cannot be
// interrupted; harden.go bounds those calls. What ends a session so is logged and wraps [ErrRunaway].
package scxml
