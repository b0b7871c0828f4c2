// Package watch tells phones what other phones do: the event package "dialog" (RFC 4235) on SIP events (RFC 6665), which is
// what a lamp beside a name on a desk phone shows.
//
// # What is told
//
// A line is a number of a tenant with the calls it is in. Lines follow the events of all nodes (stream CALLS), so it does not matter
// which node has a call or a subscription. Each call of a line is a dialog of the document, named by its ConnID: trying and early
// while it is set up, confirmed while it lasts, with "+sip.rendering=no" while it is held (RFC 4235 §4.1.6.2), terminated once. A route
// point, and a slot for parked calls, is a line too; whoever waits there is a confirmed dialog.
//
// Events from before this node started are made up for by services/callstate, which is asked about a line with each SUBSCRIBE; so
// are those of a node that died without a word.
//
// # A subscription
//
// Who asks has proved who he is (package sip) and sees numbers of his own tenant only. The answer to SUBSCRIBE is followed by a NOTIFY with the
// full state; what changes later comes as partial state with versions that rise by one. One NOTIFY at a time is under
// way to a subscriber, and no more than one a second after the first (RFC 4235 §3.10): what changes meanwhile goes together in the
// next. A subscription ends when it is not renewed, when its phone no longer knows it, when the number it watches or that of the
// subscriber goes, and when the node stops (reason deactivated: the phone comes back at once, to another node).
//
// A phone that changes its connection keeps its subscriptions: when a NOTIFY finds no way, the registrar is asked where the phone is now.
//
// # Call completion
//
// A phone that got 486 or no answer subscribes to the line and is told when it is free. There is nothing else to it.
//
// # State and concurrency
//
// Lines and subscriptions are in memory; a subscription belongs to the node that its dialog names and is lost with it. A line has a lock,
// which guards its calls and its subscriptions, and is never held while something is sent. The tables have another, which is never taken
// while that of a line is held.
//
// # Limits
//
// Subscriptions of the node and of a number, calls of a line that a document shows, times: see [Limits] and the constants.
//
// Not here: the subscription to one dialog alone (event parameters call-id and tags; such a SUBSCRIBE gets 489), and identifiers of SIP
// dialogs: a phone that wants to take over a call dials for it.
package watch
