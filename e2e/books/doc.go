// Package books checks that what the platform wrote down of its calls is complete and makes sense: of each call one
// record, and on CALLS the events 1 to n without holes, in an order in which they can have happened.
//
// [Check] compares events with records, however they were read; [Open] reads both from the data directory of a node
// that has stopped, which also shows that they are still there. Check knows the rules of the T-Library model, and shares
// no code with the node that follows them.
package books
