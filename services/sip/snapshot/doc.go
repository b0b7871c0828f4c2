// Package snapshot is what a SIP node leaves of its calls in the bucket "calls", so that another one can go on with them.
//
// [Call] is the format: JSON with a version, of explicit structs that share nothing with the state machine. It has what cannot be
// found out again: who the call is for reports, its dialogs, what was agreed with each side about audio, how far it is, its user data,
// and the last events, which may not have reached the stream. It has no media keys: whoever goes on gives each side new ones.
//
// [Writer] writes. A save never makes a call wait: the newest state of a call replaces one that was not written yet, one write of
// a call is under way at a time, and each is a compare-and-set on the revision of the one before. That revision is the fence: who
// took the call over wrote in between, the next write of the node before him fails, and that node is told to forget the call.
//
// State: the revision of each call that was written, and what waits. Limits: the bucket's size; a call is some 3 KB. A write that
// fails is tried again until the call ends, since a later one is needed anyway.
//
// Not here: what a snapshot is made of and made into (services/sip), who takes over which call (there, takeover.go).
package snapshot
