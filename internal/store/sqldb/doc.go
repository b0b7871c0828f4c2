// Package sqldb opens a database of the platform, SQLite or PostgreSQL, and hides what differs between the two:
// placeholders, column types, how tables are brought up to date, which errors may heal by themselves.
//
// State: two pools of connections. On SQLite the one for writing has a single connection, as there is one writer at a
// time anyway; reading never waits for it (WAL).
//
// Concurrency: all methods may be called at once.
//
// Durability: a commit is on disk when it returns (SQLite: synchronous=FULL).
//
// Limits: connections, time to wait for a lock, rows of one statement. What the tables mean is for the packages above.
package sqldb
