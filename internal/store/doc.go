// Package store keeps configuration resources in SQLite or PostgreSQL: the resources, the history of their changes,
// and the secrets the nodes of a cluster share. It knows bodies as JSON text; what they mean is services/config's.
//
// State: tables resources, changes, cluster_secrets; beside them refs, an index of who points at what that is rebuilt
// with each write of a resource, and counters, the number of the last change and of the last one announced. The same
// statements run on both databases (internal/store/sqldb).
//
// Concurrency: reads go to a pool of their own and never wait for a writer. A write is planned from reads, outside of
// any transaction, and then committed with the number of the newest change the plan knew of: if there has been another
// since, [ErrStale] comes back and nothing is written. So a plan may check whatever it likes (references, uniqueness,
// versions) without locks, and is true at the moment it is written. Commits are one after the other, over all nodes of
// a cluster: each takes the row of the change counter, which also makes the numbers of changes rise without holes and
// become visible in order.
//
// Durability: Commit returns when the transaction is on disk (SQLite: WAL with synchronous=FULL).
//
// Limits: rows a page, connections, time to wait for a lock. The history grows with use and is kept.
package store
