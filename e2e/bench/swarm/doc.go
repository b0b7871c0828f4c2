// Package swarm plays both ends of very many calls at once, most of them badly: a carrier that makes calls and phones that
// take them, on two UDP sockets. Calls are answered, given up at any moment, refused, left ringing, never acknowledged,
// never hung up; messages come two and three times; strangers try passwords and send rubbish. What is lost is repeated
// as RFC 3261 wants, except where a kind of call is about not doing it.
//
// It is written from the RFCs, upon e2e/phone, and shares no code with the platform. A Swarm is a few goroutines and two
// locks, one a socket; a call costs it some 100 µs, so that it fits on the core that is left.
package swarm
