// Package dialplan says what a dialled number means: whose device rings, which application runs, which trunk takes
// the call, or why it goes nowhere.
//
// # A resolution
//
// In this order:
//
//  1. The number: blanks and - . ( ) / go, unless a DN is written just so. A name such as "alice" stays as it is.
//  2. The caller: an extension has the calling profile that its option calling-profile names, or the tenant's profile
//     for internal callers; whoever comes by a trunk, and whoever is no number of the tenant, is outside and has the
//     trunk's profile or the one for inbound callers.
//  3. The rules of the profile's partitions that are in force. The most specific pattern decides (911 before 9XX before
//     9.), of equal ones the partition named first. It blocks, or translates, or sends to a DN. No rule is applied to
//     the outcome of another.
//  4. The DN: an extension's device, or the softswitch it is behind, a route point's application, access to voicemail. An extension that always
//     forwards is left behind: what it forwards to is dialled in its name, from step 3 on, with its permissions.
//  5. The trunks with the longest prefix that the number begins with, by priority, each with its contacts.
//  6. Nothing of all this: 404.
//
// A caller outside reaches numbers of the tenant and never leaves by a trunk, unless a profile with outside_calls says
// otherwise: else strangers would phone at the tenant's expense. The same field keeps extensions in.
//
// Forwarding follows at most [maxDiverted] numbers, and no number twice. Forwarding when busy, not answered or not
// registered is for whoever rings the device: the answer names the number, and that number is asked about with
// Diverted set (see contract.ResolveRequest).
//
// # State
//
// None of its own. The numbers come from the node's contract.Directory; what it does not keep (trunks, route points,
// partitions, profiles) is loaded from the config service into one immutable plan a tenant, and anew when a notice on
// CONFIG or the Directory says that it changed. A notice that got lost is made up for within [fullCheck].
//
// # Concurrency and costs
//
// A resolution reads memory only: two shared locks for a moment, no I/O. It costs well below a microsecond for an
// extension and allocates the answer; the benchmarks print the figures. Plans are replaced, never changed.
//
// # Limits
//
// Numbers of [maxNumber] bytes; rules, partitions and spans of time as services/config allows. Of a
// profile's rules, those that begin like the number are tried, the most specific first.
//
// # Not here
//
// Who is registered and who has logged in where; whether a trunk answers (the SIP node tries them in order); whether a
// mailbox exists.
package dialplan
