// Package txn is the SIP transaction layer (RFC 3261 §17 with the corrections of RFC 6026), over bytes.
//
// A [Layer] is a fixed number of shards, each one goroutine with its own transactions, timers and queue. Every
// message of a Call-ID is handled by the same shard: requests, retransmissions, ACK, CANCEL and responses of one dialog are
// seen one after the other in the order they were read, and neither transactions nor the code above them ([Core]) need
// a lock. The price is that nothing on a shard may wait: sending does not, and what takes longer (a DNS name, a new
// connection) runs elsewhere and comes back with [Shard.Do].
//
// State: two maps a shard, server transactions by the key of §17.2.3 and client transactions by branch and method.
// Every transaction has a timer that ends it, from its first moment on, so none can stay for ever; one that nobody
// answers is ended by age and counted. After its final response a transaction keeps the bytes to repeat, not the
// request. Server transactions are capped; queues are bounded, and a message that finds its queue full is not taken:
// the sender of a request repeats it.
//
// Why not the state machines of sipgo: theirs block the reader until a response is taken, sleep four seconds under a
// lock to stop an ACK loop, keep requests for 32 s behind timers that Terminate does not stop, and take their timers
// from variables of the process, which two platforms in one process would share. Its messages and parser are used where a SIP
// node wants objects.
//
// Not here: what to do with a request (services/sipproxy), dialogs, and reading bytes (wire).
package txn
