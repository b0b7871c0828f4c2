// Package transport moves whole SIP messages between sockets and a handler (RFC 3261 §18, RFC 5626, RFC 7118).
//
// It listens on UDP, TCP, TLS, WS and WSS, cuts streams into messages, turns away what cannot be SIP, and sends
// bytes back over the [Flow] a message came by. It does not parse messages: headers, Via, transactions and dialogs
// are the caller's. Keep-alives (CRLF, STUN, WebSocket pings) it answers itself.
//
// State: sockets, one record a connection, and fixed-size tables of source addresses for rate limits, 5 MB with the
// default [Limits]. Nothing grows with the number of sources or of messages; connections are capped. Nothing is
// stored: a connection, and with it the meaning of a flow id, ends with the process.
//
// Concurrency: each UDP socket and each connection has one reading goroutine, and the handler runs on it. Messages
// of one socket or connection therefore arrive in order, and a handler that waits holds that one up: hand long work
// on. Every method of [Set] and [Flow] may be called at once from anywhere. Sending never waits for the peer: what a
// stream cannot take is queued up to a limit, and a peer that lets the limit be reached loses its connection.
//
// The guards, in the order a datagram meets them: ban, rate of the source, keep-alive, STUN, size, start line, NUL.
// A connection meets ban, rate and caps when it opens, and the same checks of bytes for each message; garbage ends
// it, since a stream that was cut wrongly once cannot be cut rightly again. See [Limits] for who is limited and why.
//
// Cost, on a two-core machine: 6 to 7 µs of CPU to receive a datagram of 500 bytes and send one back at 20,000/s,
// of which the guards are 0.2 µs, without allocation. An idle connection takes 6 KB by TCP, 17 KB by TLS, 16 KB by WS
// and 28 KB by WSS, stacks included (BenchmarkUDPEcho, BenchmarkGuards, BenchmarkIdleConnections).
package transport
