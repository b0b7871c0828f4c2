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
// Durability: a node that talks to nobody writes every message to its file before it acknowledges (write(2)), and fsyncs
// every two minutes; so kill -9 loses nothing acknowledged. What must survive a power cut too is fsynced by SyncStream
// (internal/fabric/blocksync), for which internal/fabric has publishers of promises wait. In a cluster, or with a listener
// for clients outside the process, who know nothing of SyncStream, the server fsyncs every write before it acknowledges
// (sync always). In a cluster many writes share one fsync; with such a listener on a single node each write has its own,
// registrations too: about 200 µs each on an SSD.
//
// Concurrency: New starts nothing, Start starts the server's goroutines, Stop ends them and returns when the last is
// gone. All other methods may be called at any time.
//
// Not here: streams and buckets (internal/fabric makes them), and the Redis-protocol door.
package rq
