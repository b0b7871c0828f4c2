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
// Two classes of streams. On a single node the embedded server writes every message to its file before it acknowledges
// (write(2); nats-server's default persist mode, with an fsync every two minutes), so whatever was acknowledged survives
// kill -9 of the process. On top of that:
//
//   - promise: CONFIG, CDR, VOICEMAIL, INTERACTIONS, WORK. Somebody relies on these; a stored event survives a power cut.
//     After the server's acknowledgement, and before the publisher is told "stored", the fabric has the stream's files
//     fsynced ([Syncer]; services/rq and internal/fabric/blocksync). Events that come while an fsync runs share the
//     next. When it fails, the event counts as lost and its publisher is told that it may not be on disk; it is
//     not tried again. These streams refuse new events when full, so nothing promised is dropped unseen (CONFIG drops
//     its oldest: the truth is in the store). A subscriber may see an event a moment before it is on disk, and a message
//     taken from WORK less than two minutes before a power cut may be there again after it.
//   - presence: CALLS, AGENTS, DEVICES, QUALITY and all buckets. State that renews itself, or is only of use while fresh.
//     A power cut loses up to two minutes of it.
//
// In a cluster, and on a server that also has clients outside the process, the server itself fsyncs every write before it
// acknowledges (sync always). In a cluster that is one fsync a batch, and an acknowledged write is fsynced on two nodes
// of three. On a server that is no Syncer, such as one at a URL, the presence streams that this package makes opt out of
// sync always (persist mode "async": written some 10 ms after the acknowledgement); promises are as safe as that server's
// own acknowledgements. The mode cannot be changed later, and [Connect] refuses an embedded server's stream that has it.
//
// Why so: nats-server knows sync always only for the whole server, with an fsync a message, and the opt-out only before the
// write. The cost was measured on a two-core machine with an SSD: an event with an fsync of its own takes 200 µs, a
// promise 21 µs when 64 publishers share (150 µs with sync always) and 250 µs when one is alone, presence 12 µs; and an
// fsync a REGISTER would be the end of the aim of 10 µs. A put that is written before its acknowledgement costs 2 µs of
// processor time more than one that is not. A single node cannot become part of a cluster by starting it with routes: a
// cluster begins with empty stores, and is provisioned from an export.
//
// # Concurrency
//
// All methods may be called at once. Doors run the handler on the caller's goroutine in the same process, else on one of
// its own. Events are sent by one goroutine, one at a time for each call, agent or device (the first three tokens of the
// subject; on CONFIG each resource), so a retry cannot overtake. Watches of a bucket share one consumer, as the server counts and pays for each.
// Whatever runs on a goroutine of the fabric (acknowledgements, watch and subscription callbacks) is told so and must not
// block for long; a panic in a handler or callback is logged and ends nothing but itself.
//
// A subscription sees all events and keeps its place itself; a durable reader ([Fabric.Consume]) shares events with others
// of its name, and the JetStream keeps the place: what was not confirmed comes again. Work is taken from WORK so: an item belongs
// to the node that got it until that node confirms it, and to another one when it has not done so in time.
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
// way, an event 12 µs, a put 12 µs asynchronously (7 µs more when the node also watches the bucket, 28 µs alone and
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
// The server itself (services/rq), and what the subjects and values mean (internal/contract, internal/voice).
package fabric
