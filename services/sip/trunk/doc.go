// Package trunk is what a SIP node knows of its trunks and softswitches: where they are, how they are, how many calls they
// have, who we are to them, and which calls are theirs.
//
// A [Table] has them all. A call that leaves asks [Table.Leave] for an [Exit]: the targets to try in order, the numbers in the form
// the trunk wants, and a place among its calls. A call that comes is matched by [Table.From] and takes its place with
// [Trunk.Enter]. Neither waits for anything: names are resolved and targets asked beforehand.
//
// # How a trunk is
//
// Each contact leads to targets (internal/sipua/locate). With the option oos-check a target is asked by OPTIONS every so many
// seconds; any answer but 503 shows that it is there. Without an answer for oos-force seconds, or with a 503, it is out of
// service and gets no call, and is asked again every recovery-timeout seconds. With recovery-timeout alone a
// target that did not take a call is left out for so long and then believed again. A trunk is out of service when all
// its targets are. Each node sees for itself: a way that is good from one place may be blocked from another.
//
// # Registration
//
// A trunk with the option register is registered at its provider by one node of the cluster, the one that holds the lease; the others
// take over when that node dies. The Contact has a user that nobody can guess, by which an INVITE to it finds the trunk on any
// node.
//
// # State and concurrency
//
// Nothing is stored but leases. [Table.Run] owns all goroutines: one or two for each trunk that has names to resolve, targets to
// ask or a registration to keep, none for the others. A Trunk is replaced when its number changes; what it counted and what
// is known of targets that stay goes over to the next. All methods may be called at once; no lock is held while something
// is sent.
//
// # Limits
//
// Targets of a trunk and of a call, calls by the option capacity (on each node), and times as the options say.
//
// Not here: which trunk a number goes to (services/dialplan), the call itself (services/sip), connections
// (services/sipproxy).
package trunk
