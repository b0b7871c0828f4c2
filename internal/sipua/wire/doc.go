// Package wire reads and writes SIP messages as bytes (RFC 3261 §7, §25): the front door's hot path.
//
// [Scan] cuts a message into its start line and header lines without copying or allocating: a [Message] is a set of
// offsets into the bytes it was given, and is reused from one message to the next. What the front door needs of a
// header (a Via, an address, a parameter) is parsed on demand. [AppendAnswer] and its sisters write responses and
// forwarded messages into a buffer of the caller's; what a proxy has no business with is copied byte for byte.
//
// Scan is the border: a message it accepts has no bare CR or LF, the headers every message must have exactly once,
// and a body of the length it claims. What it turns away comes with the status to answer with ([Error]).
//
// There is no state and no I/O here, and nothing is retained. A Message belongs to one goroutine; its bytes belong to
// whoever gave them to Scan.
//
// Not here: dialogs, transactions (internal/sipua/txn), and the typed headers of sipgo, which a SIP node works
// with: see [Message.Canonical] for the step from one to the other.
package wire
