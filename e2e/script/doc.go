// Package script plays phones that do exactly what a test says, one message after the other: for what a well-behaved
// phone (e2e/phone.Agent) does by itself, and for what it never does. A lost ACK, a late PRACK, an answer that crosses a CANCEL
// are lines of the test.
//
// A [Phone] sends nothing twice and nothing the script did not say, but for the ACK to a refusal and credentials where it
// is asked for them. A repetition of what it has read is no new message; see [Phone.Repeated]. What the script waits for and does not
// get within [Patience] fails the test with all that came instead.
//
// State: what was read and not taken yet, which one goroutine adds to; everything else belongs to the test's goroutine.
package script
