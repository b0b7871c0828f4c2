// Package digest is SIP digest authentication, both sides: RFC 3261 §22 with the algorithms MD5 and
// SHA-256 of RFC 7616 and RFC 8760, and qop "auth".
//
// It has three parts. [Parse] reads the value of an Authorization header. An [Authority] makes challenges and
// judges credentials. A Verdict says what to do; the package sends nothing and knows no users: the caller brings
// H(A1), real or fake.
//
// On the client side a [Session] answers the challenges of others, with the password itself: their realm is not known
// beforehand.
//
// # Nonces
//
// A nonce is 24 bytes as 32 characters of base64url: 6 bytes of time (milliseconds since 1970), 4 bytes of a
// counter, 2 bytes of randomness and 12 bytes of HMAC-SHA256 over these, the realm and the address the challenge
// went to. Nothing is stored when one is made, so a flood of requests without credentials costs no memory, and
// every node that holds the same secret accepts what another made. Because the address is part of it, credentials
// read off the wire are of no use from elsewhere, and whoever presents a valid nonce does receive at the address
// he claims: only such a failure may count against that address.
//
// # Replay
//
// The first correct use of a nonce makes an entry with the nonce-counts seen: the highest and a window of 64 below
// it. A count is accepted once, in any order within the window. The very same request again (same nonce, count,
// cnonce, response, Call-ID and CSeq as the last accepted one) is a retransmission, not a replay. Entries are
// bounded; the oldest goes first, and with it every nonce that is as old and unknown becomes stale, so that
// forgetting never opens a door: it costs a phone one more round trip. The same holds for nonces from before the
// start of the process. Entries are per node: a request caught on the wire could be played once to each other node
// of a cluster, from the same address, until the nonce expires.
//
// # Concurrency and cost
//
// An Authority may be used from many goroutines at once. Making a nonce and judging credentials allocate
// nothing once the table of entries has grown; comparisons of secrets take constant time.
//
// Not here: who is a user (services/registrar), bans, auth-int, -sess algorithms and userhash.
package digest
