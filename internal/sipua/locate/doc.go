// Package locate finds where a SIP URI is reached: RFC 3263 over the records NAPTR, SRV, A and AAAA.
//
// [Resolver.Locate] answers with the targets of a URI in the order to try them (§4.1, §4.2 and RFC 2782: by priority, and by weight
// drawn anew for each call of [Answer.Targets]) and how long that holds. Whoever sends walks the list when a target does not
// answer, cannot be reached or says 503 (§4.3); nothing is sent here.
//
// A numeric host and a port need no questions. A name with a port is asked for its addresses alone, as §4.2 wants.
//
// # State
//
// A cache of record sets by name and type, bounded in number; each lives as long as its shortest TTL says, within
// [minTTL] and [maxTTL]. What does not exist is remembered too, for the time its zone says (RFC 2308), at most [maxNegative];
// a server that fails is remembered for [failedTTL], so that a dead zone costs one timeout and not one a call.
//
// # Concurrency
//
// A Resolver may be used by many goroutines at once. Those who ask the same at the same time share one question.
//
// # Limits
//
// Names, records of an answer, targets of a URI and questions for one are bounded by the constants; an answer that names itself
// in circles ends there. Each server gets [Options.Timeout]; a truncated answer is asked for again over TCP.
//
// Not here: who is healthy (services/sip/trunk), sockets for SIP (internal/sipua/transport).
package locate
