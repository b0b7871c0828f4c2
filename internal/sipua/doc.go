// Package sipua is what the front door (services/sipproxy) and SIP nodes (services/sip) agree on: how a node in the
// same process is called without sockets ([Node], [Sender]), how a way to a phone is written into a Route so that nobody else
// can write one ([Tokens]), what the front doors of a cluster tell each other ([Pass]), and which header fields a front door
// tells its node things with.
//
// The parts of a SIP stack they share are packages of their own below this one: transport moves bytes, wire reads and writes
// them, txn is the transaction layer, digest the authentication. Requests and responses of a Node are those of sipgo;
// none of sipgo's process-wide settings is used, so two platforms in one process do not meet in them.
//
// There is no state here but the key of a Tokens.
package sipua
