// Package orchestration runs routing scripts: a session of a state chart for each call that comes to a route point, and for each
// that is started by hand.
//
// # A call
//
// A SIP node puts each call that comes to a route point on the stream WORK; one node takes it. Its session is named by the
// call and the event that brought it, and its record is made in the bucket sessions with "must not exist", so work that comes
// twice begins nothing twice. Then the work is confirmed, and the application of the route point is found and started. Events of
// the call come from the stream CALLS in their order, are told apart by their numbers, and become events of the script; a hole is
// filled from the stream.
//
// # What a script asks for
//
// Actions make requests (package module). They are kept with the session first: after each step the session is written to the bucket,
// as it waits, with the number of the last event of each call and the requests that nobody answered yet. Only then the
// doors are asked, each request with a ReferenceID of its own, which the events it causes carry. So whoever takes a session over
// sees in the call's events which requests were heard, and makes only the others.
//
// # Failover
//
// Each process has a lease in the bucket leases. When it is gone, the others take its sessions by compare-and-set, read the events
// that were missed, and go on; timers that became due meanwhile fire. A process that was only slow finds its next write refused
// and lets go of the session without having acted.
//
// A call whose script is missing, broken, ends or is stopped while the call is at its route point goes to the route point's default
// destination, and is counted. Where there is none, and where nobody answers here at all, the SIP node's own patience ends
// (option router-timeout).
//
// The answer to the write that makes a session this process's may be lost. When the work comes again, and every minute, records of
// this process that it does not run are taken over like those of one that is gone.
//
// # Concurrency
//
// A session has an inbox; a goroutine drives it while there is something in it. One goroutine follows CALLS and puts events into
// inboxes, one takes work, one keeps the lease and looks for orphans. Doors are asked on goroutines of their own, of which there
// is a limited number.
//
// # Limits
//
// Sessions of a node, age of a session, size of documents, what is fetched and from where (Config); what a script may take is bounded by package
// scxml. A session's record is at most 1 MiB. Sessions sleep (scxml.Session.Sleep) when nothing happened for some seconds.
package orchestration
