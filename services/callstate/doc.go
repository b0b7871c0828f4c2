// Package callstate knows the calls of all nodes: it follows the stream CALLS and answers which calls there are, who is in
// them, what data they carry, and whether anything about them is as it must not be.
//
// # State
//
// All state is in memory (services/callstate/model) and comes from the stream. What is kept on disk is one mark: from which
// event on the stream has to be read to know every call in progress. It is believed only if that event is still there and
// the first of its call; else the stream is read from its beginning. The doors open when all that was there has been read.
// Each node that runs the service has the whole picture and a count of its own of what is wrong.
//
// User data belong to the node that has the call. A change with a version is refused here when the version is known to be
// old; else the node decides, since it alone knows what is on its way.
//
// # Stuck calls
//
// A call that nothing was heard of for a while is asked after: at its node, or at all of them when its node is gone from the
// bucket "nodes" or has started anew since. Whoever has it now is its node from then on. When nobody has it for longer than
// Config.Grace it is a violation, and no call in progress any more. An event brings it back.
//
// # Concurrency
//
// One goroutine follows the stream, one the nodes, one asks after calls and writes the mark; questions run on the
// goroutine of who asks.
//
// # Limits
//
// Those of the model; calls an answer; 300 calls of a node asked after at once.
//
// Not here: requests to calls in general (services/frontend), what is done to calls (services/sip), and calls that are
// over (services/cdr).
package callstate
