// Package node is one node of the platform: which services it runs, in which order they start and stop, and what it
// tells of itself.
//
// [Run] is the whole life of a node: it locks the data directory, opens every listener (so that a port in use stops
// the start before anything has happened), starts the services in the order they need one another, makes the
// tenant of the first start, and waits. It ends when its context ends or a service fails; then the services stop in
// reverse, the edges first, within [DrainTime] and the time calls get.
//
// State: the data directory. parley.db (configuration, unless a database server has it), jetstream/ (registrations,
// events), tls/ (the self-signed certificate), run/ (the control socket), lock, and for the few moments of a
// first start first-start.json. The lock is held by the kernel for as long as the process lives, so a node that was
// killed leaves nothing to clean up.
//
// Concurrency: nothing is global, so any number of nodes may run in one process, each with its own data directory.
// Each service runs on goroutines of its own, which Run waits for.
//
// Not here: what the services do, the keys of the configuration (server/settings), and the commands (server/cli).
package node
