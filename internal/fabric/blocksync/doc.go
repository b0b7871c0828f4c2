// Package blocksync fsyncs the files in which an embedded nats-server keeps a stream, so that one fsync can stand for
// many messages: the server itself knows an fsync for each message of every stream, or one every two minutes.
//
// # What has to be on disk
//
// A file stream with one replica and the default persist mode writes each message, and each tombstone, into its newest
// block with write(2) before the acknowledgement (nats-server 2.15, filestore.go: writeMsgRecord and
// flushPendingMsgsLocked with flush in place). Blocks are msgs/<index>.blk; when the newest is full, the next index
// begins, and no message is ever written into an older one. So what was acknowledged since the last sync is in the block
// that was the newest then, or in a later one: those are fsynced, each opened by its path, which flushes what is dirty
// whoever wrote it; and the directory, when a new one has appeared. The first sync takes all blocks, since a process that
// was killed may have left some unsynced, and the stream's description (meta.inf, meta.sum) and all directories up to the
// store, without which the blocks would not be found. A description that was replaced counts as a first sync.
//
// The server also removes blocks (limits) and replaces them by smaller ones (rename), never the newest. What is gone
// needs no sync; a block replaced while it was being synced is synced again. A block replaced after its sync, because
// more than half of it was taken or had expired, is synced by the server itself, at once or within two minutes. On ext4
// and btrfs, which write a file before a rename over another, a power cut in between keeps it; on a file system that
// does not, such as XFS, it may lose the block.
//
// # State
//
// For each stream the newest block synced and the description seen. After an fsync has failed the stream stays failed
// until the process ends: Linux drops what it could not write, and the next fsync of the file would succeed.
//
// # Concurrency
//
// All methods may be called at once; two syncs of one stream take turns. To share an fsync is the caller's business.
package blocksync
