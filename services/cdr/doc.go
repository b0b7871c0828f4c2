// Package cdr keeps a record of every call attempt: it takes call detail records from the stream CDR, writes them to SQL,
// and answers questions about them.
//
// # From the stream to the table
//
// A SIP node publishes one [voice.CDR] a call attempt; the stream has it on disk before the node is told so. A durable
// reader takes records in batches, by time or by number, writes each batch in one transaction, and confirms it when that
// is committed. A record that comes twice (a crash in between, a lost confirmation, a node that started anew with an old
// place) changes nothing: it is known by its call UUID. So a kill at any moment loses nothing and doubles nothing.
//
// With PostgreSQL the nodes share one place in the stream ("cdr-sql"), and each record is written by one of them. With
// SQLite each node has a place of its own ("cdr-sql-" and its id) and a complete copy of the records, so that any node
// can answer; a node that is away for longer than a week forgets its place and starts with what the stream still has.
//
// What the database refuses for now is tried again, and waits in the stream meanwhile. What is no record (not JSON, no
// call UUID, no start) can never be stored: it is counted, logged and confirmed. The stream refuses new records when it
// is full, so it is trimmed: when it is more than half full, what all readers have confirmed goes, oldest first.
//
// # State
//
// All state is in the database (internal/store/cdrs) and in the stream. Records older than Config.RetentionDays are
// deleted in small steps, each a transaction of its own, so that nobody waits for long.
//
// # Concurrency
//
// One goroutine writes, one deletes what is old, one looks at health and the stream; reads run on the goroutine of who
// asks. Rows appear to readers a batch at a time.
//
// # Limits
//
// Rows a batch and a page, length of numbers and names (cdrs.MaxText), length of what may be asked. An export of any
// length holds one page in memory.
//
// Not here: what a record says (services/sip), the events of a call (stream CALLS) and those of its voice (QUALITY),
// pages (web).
package cdr
