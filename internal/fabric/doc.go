// Package fabric is one node's client of the JetStream under everything: typed doors, event streams and
// key-value buckets. It is the only importer of nats.go.
//
// # State
//
// All state is in the JetStream: streams of events and buckets of keys, both listed in streams.go, both made and brought
// up to date by [Connect]. A node keeps the events it has not yet stored (bounded), the names of the keys of buckets it
// watches (not the values), and nothing else.
//
// # Durability
//
// The server acknowledges a write only when it is on disk (sync always), unless the stream says otherwise. Two classes:
//
//   - promise: CONFIG, CDR, VOICEMAIL, INTERACTIONS, WORK. Somebody relies on these; an acknowledged event survives
//     kill -9 and a power cut. One fsync an event on a single node, one a batch in a cluster. These streams refuse new
//     events when full, so nothing promised is dropped unseen (CONFIG drops its oldest: the truth is in the store).
//   - presence: CALLS, AGENTS, DEVICES, QUALITY and all buckets. State that renews itself, or is only of use while fresh.
//     On a single node these opt out (the stream's persist mode is "async"): acknowledged from memory, in the operating
//     system's hands some 10 ms later, fsynced every two minutes. kill -9 loses the last milliseconds, a power cut up to
//     two minutes. In a cluster the server has no such choice for replicated streams, and does not need one: an
//     acknowledged write is fsynced on two nodes of three.
//
// Why so: nats-server knows sync always only for the whole server, and the opt-out only stream by stream and only with one
// replica. The other way round (default sync, and a sync for some) does not exist. The cost was measured on a two-core
// machine: an event with an fsync of its own takes 200 µs, one without 17 µs, and an fsync a REGISTER would be the end of
// the aim of 10 µs. A single node cannot become part of a cluster by starting it with routes: a cluster begins with empty
// stores, and is provisioned from an export.
//
// # Concurrency
//
// All methods may be called at once. Doors run the handler on the caller's goroutine in the same process, else on one of
// its own. Events are sent by one goroutine, one at a time for each call, agent or device (the first three tokens of the
// subject), so a retry cannot overtake. Watches of a bucket share one consumer, as the server counts and pays for each.
// Whatever runs on a goroutine of the fabric (acknowledgements, watch and subscription callbacks) is told so and must not
// block for long; a panic in a handler or callback is logged and ends nothing but itself.
//
// # Limits
//
// Messages 8 MiB, values 1 MiB, subjects and keys 1,024 bytes, 65,536 events waiting to be stored (then
// voice.ErrOverloaded), 4,096 bucket writes under way (then the writer waits), 4,096 requests in progress a door (then
// voice.ErrOverloaded), every stream and bucket in bytes. Names from outside pass [Token] and cannot widen a subject.
//
// # Costs
//
// Processor time of client and server together, same machine: a local door call 0.2 µs, a remote one 18 µs with many under
// way, an event 10 µs, a put 11 µs asynchronously (7 µs more when the node also watches the bucket, 28 µs alone and
// waited for), a get 20 µs. A key of 380 bytes costs about 900 bytes of memory while the server has the bucket's blocks in
// its cache, 300 when it has let go of them; of that, a watch keeps some 60 for the key's name.
// The server's part of a put is two thirds of it, so a client of our own in place of nats.go would gain little. The
// connection to the embedded server is a pipe in memory: with many puts under way it costs what loopback TCP does, and
// half of that (23 against 43 µs) when each is waited for. 100,000 keys are there again 0.6 s after a restart, 0.7 s after
// a kill -9, watch included, and expire at 20,000 to 40,000 a second. In a cluster of three on one machine, every write
// fsynced: 0.7 to 2 ms alone, 10,000 to 18,000 a second with 64 writers.
// The benchmarks of this package and of services/rq print these figures.
//
// # Not here
//
// The server itself (services/rq), what the subjects and values mean (internal/contract, internal/voice), and taking work
// from WORK, which needs a consumer shared by nodes and comes with the service that takes it.
package fabric
