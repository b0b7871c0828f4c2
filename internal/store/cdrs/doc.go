// Package cdrs keeps call detail records in SQLite or PostgreSQL.
//
// State: one table, one row a call attempt, found by its call UUID: storing a record a second time changes nothing. The
// same statements run on both databases (internal/store/sqldb).
//
// Reading: pages come newest first, by start of the call and call UUID, and go on after a cursor that names the last
// record of the page before; so records that are added meanwhile neither move nor repeat what is read. One index, by
// time, also holds all that filters compare: a search that finds little reads the index and not the table. It costs
// 0.1 to 0.7 s among a million records when it finds nothing at all, and about a millisecond when a page fills soon.
//
// Concurrency: all methods may be called at once. Readers wait for nobody; batches are one after the other on SQLite.
//
// Durability: Insert returns when the transaction is on disk.
//
// Limits: numbers and names are cut to [MaxText] bytes, and a record is refused that says too little to be found again
// (see [Check]). Times have the precision of a microsecond. SQLite reuses the room of deleted rows and does not give it
// back to the file system.
package cdrs
