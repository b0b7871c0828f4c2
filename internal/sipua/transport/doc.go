// Package transport moves whole SIP messages between sockets and a handler (RFC 3261 §18, RFC 5626, RFC 7118).
//
// It listens on UDP, TCP, TLS, WS and WSS, cuts streams into messages, turns away what cannot be SIP, and sends
// bytes back over the [Flow] a message came by. It does not parse messages: headers, Via, transactions and dialogs
// are the caller's.
//
// State: sockets, one record a connection, a map from flow id to connection, and two fixed-size tables of source
// addresses for rate limits. Nothing grows with the number of sources or of messages; connections are capped.
// Nothing is stored: a connection, and with it the meaning of a flow id, ends with the process.
//
// Concurrency: each UDP socket and each connection has one reading goroutine, and the handler runs on it. Messages
// of one socket or connection therefore arrive in order, and a handler that waits holds that one up: hand long work
// on. Every method of [Set] and [Flow] may be called at once from anywhere. Sending never waits for the peer: what a
// stream cannot take is queued up to a limit, and a peer that lets the limit be reached loses its connection.
//
// The guards, in the order a datagram meets them: banned source, keep-alive, STUN, rate limit, size, start line.
// See [Limits] for who is limited and why.
package transport
