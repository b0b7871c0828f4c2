// Package sip is the SIP node: a back-to-back user agent that owns calls (RFC 3261 §6, RFC 7092 §3.1).
//
// # A call
//
// A call has a leg to the caller and, while it is set up, one to each place that rings; the first answer wins and the others are
// cancelled. A leg (leg.go) is a dialog of RFC 3261 §12 with identifiers of its own, so nothing of one side is seen on
// the other but what [passed] lists. What happens within the dialog (hold, codec changes, DTMF by INFO) is asked of the
// other side and answered with its answer; 2xx to INVITE are repeated here until their ACK comes, on each leg by itself.
//
// # Conversations
//
// What T-Library calls a call, with its ConnID, events, user data and record, is a conversation (conversation.go): one call of two
// sides carries it, or several whose sides are in one room (conf.go). Since audio is agreed with each side by itself, a side
// changes over to another call without a word to its phone (ends.go). So a consultation borrows a side of the call that it is
// about (transfer.go), a transfer leaves those to each other who stay, and somebody takes the place of another (replaces.go).
// Requests (requests.go, requested.go) and what phones do themselves (refer.go) end in the same functions and the same events.
// A call that is made for somebody calls his phone first (make.go, RFC 3725).
//
// What need not be end to end is agreed with each leg by itself, whatever the other one can do. Provisional responses are
// reliable (RFC 3262) where a leg can do that and it matters (reliable.go, early.go). Sessions expire (RFC 4028): a phone that
// knows timers refreshes, others are asked (timer.go, renew.go), and the other side hears of neither.
//
// # Audio
//
// Each side is agreed with by itself, about a leg of package media: what one side offers becomes an offer of ours to the other, in
// the profile of its device (device.go), and its answer one of ours (audio.go). Keys and handshakes are a side's own (keys.go), and
// last as long as its leg. Whoever is on hold hears music (hold.go). Audio that goes from phone to phone is described by the
// phones alone (direct.go).
//
// # State and concurrency
//
// A call is a state machine that one goroutine at a time works on: all that concerns it (requests, responses, timers,
// answers of other services) is put into its mailbox (mailbox.go) and handled in that order. A call with nothing to do
// has no goroutine. The machine gets time, identifiers and everything outside from [world], so tests replay it without
// sockets and clocks. Calls of related conversations share a mailbox; those that had nothing to do with each other get one
// when they are merged. Beside the calls there are only tables: dialogs by Call-ID and INVITEs in progress by
// transaction. Each is emptied by the call when it ends, and every state of a call has a timer that ends it.
//
// # Who may call
//
// A caller inside proves who he is by digest (internal/sipua/digest), the same way for existing and other numbers.
// His number is that of the credentials, whatever From says. What comes from the address and port of a trunk is that carrier's, and so is
// who proves by digest to be the trunk (arriving.go).
//
// # Calls that leave
//
// Package trunk says where a call may leave; the call goes from target to target (leaving.go) and says who we are when a
// trunk asks (proving.go).
//
// # Route points
//
// A call to a route point waits at it (routepoint.go), answered or in early media, negotiated with alone (alone.go). What its
// caller hears and is asked is said through doors (treat.go, package treatment), and so is where it goes (routed.go).
//
// # Events and records
//
// Each step is an event on CALLS, numbered without holes, and each attempt ends with one record on CDR. A call never
// waits for either.
//
// # Other nodes
//
// A call is saved as it changes (save.go, package snapshot). The calls of a node that dies or stops are claimed by the others
// (takeover.go) and go on there (restore.go); what was taken over from here is forgotten without a word.
//
// # Limits
//
// Calls of the node and of a tenant, contacts that ring at once, messages waiting for a call, forwards of a call, and the
// time of each state: see [Config] and the constants. When work has to wait for a processor, new calls are turned away (pressure.go).
//
// Not here: what a number means (services/dialplan), who is registered (services/registrar), sockets and transactions
// (services/sipproxy, internal/sipua), audio (internal/media).
package sip
