// Package rq runs the queue service of this edition: an embedded nats-server with JetStream, which every other
// service reaches through internal/fabric.
//
// State: one directory, StoreDir, stable for the life of the node; the node id is the server's name, and in a cluster
// its place in every Raft group follows from it. A node that comes back under another name is another node.
//
// Memory and store are always limited (Config.MaxMemory, Config.MaxStore); without limits JetStream helps itself to
// three quarters of the machine. The server never installs signal handlers, and listens to nobody unless it is told to:
// on a single node its only clients are in the process.
//
// Durability: the server fsyncs every write before it acknowledges (sync always). Streams whose content renews itself
// opt out of that one by one; see internal/fabric, which chooses the class of each stream.
//
// Concurrency: New starts nothing, Start starts the server's goroutines, Stop ends them and returns when the last is
// gone. All other methods may be called at any time.
//
// Not here: streams and buckets (internal/fabric makes them), and the Redis-protocol door.
package rq
