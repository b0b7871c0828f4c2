// Package frontend is where clients drive calls and follow them: it takes T-Library requests, by REST, by WebSocket and by
// the door contract.Ask, finds the SIP node that has the call, and streams the events of calls, devices and agents.
//
// # Requests
//
// What a request must have is one table (shape.go); what is wrong with it is answered here, with the code of EventError
// and a sentence. A request about a call goes to the node that has it: call state knows which (contract.FindCalls), and
// where it does not know, all nodes are asked. A new call goes to a node that has calls of the same DN already, so that two
// calls of a phone can be joined, else to the one with the least to do. A node that turns out not to have the call any more
// is looked for once again.
//
// What a device is told is done here: forwarding and do-not-disturb are options of the DN in the configuration, which the
// dial plan obeys and the pages show; the answer comes when the directory of this node shows the change.
//
// # Events
//
// One subscription a stream and node is kept in a ring that all clients read (hub.go), so a hundred clients cost the
// JetStream what one does. An event's id is the place in each of the streams; a client that comes back with one gets what
// it missed from the streams, and goes on with the ring where that leaves off: nothing missed, nothing twice. A client
// that the ring has overtaken is closed with a reason and counted; nobody waits for it.
//
// # State
//
// A copy of the bucket "nodes", the ring, and for a few seconds which DNs belong to whom. Nothing that must outlive the process.
//
// # Concurrency
//
// Requests run on the goroutine of who asks. Each event stream has one goroutine that writes and one that waits for the
// client to go; one goroutine a stream of the fabric fills the ring.
//
// # Limits
//
// Requests in progress, of all and of one user; event streams, of all and of one user; events in the ring; every text of a
// request; bytes of a message from a WebSocket.
//
// Not here: what a request does to a call (services/sip), which calls there are (services/callstate), agents' states.
package frontend
