// Package sipproxy is the SIP front door: what phones, trunks and strangers reach first.
//
// REGISTER goes to the registrar by a door and is answered without a transaction. Other requests are proxied
// (RFC 3261 §16): a new dialog goes to a SIP node chosen by load and capacity, and to another when that one fails before
// it answered; a request within a dialog goes to the node of the dialog, which a signed token in our Record-Route names; what a
// node sends to a phone goes back over the connection or address the phone is reached by. Only such tokens, which only
// nodes of the cluster can write, open the way to phones: the front door is no relay. OPTIONS that ask whether
// anybody is here, and everything that is wrong with a request, are answered without state, the same for everyone.
//
// State: the transactions in progress (internal/sipua/txn), copies of the buckets "nodes" and "bans" kept by one watch each,
// which connections and NATed sources carry registrations since this process started. The last SIP messages of calls are
// remembered in a ring of bytes (see trace) for the pages, without credentials as soon as they leave it. Nothing is stored here.
//
// Concurrency: the goroutine that reads a socket looks at the message and answers what needs no state; a REGISTER then
// waits for the registrar on a goroutine of its own, of which there are Config.MaxRegisters at most, and everything
// else moves to the shard of its Call-ID. All of a forwarding context happens there, without locks.
//
// Limits: registers, transactions, queues, remembered bindings and reports of abuse are bounded; what finds no room is
// answered 503 with Retry-After, or dropped and counted.
//
// Not here: who may register and who is banned (services/registrar), sockets and floods (internal/sipua/transport), calls
// (services/sip).
package sipproxy
