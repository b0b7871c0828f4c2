package sqldb

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Schema is how a set of tables came to be. Several may live in one database, each with a name and a lock of its own.
type Schema struct {
	Table string // that remembers the versions
	Lock  int64  // key of the advisory lock under which one node at a time migrates (PostgreSQL)

	// Versions[i] brings version i to version i+1. They are never edited once released; a change is a new entry.
	// {text} is a type that orders by byte on both databases, so that pages come in the same order; {bytes} one for
	// binary data.
	Versions [][]string
}

// Migrate brings the tables to the version this program knows. It refuses a database that is newer: an old program
// would write what a new one no longer understands.
func (d *DB) Migrate(ctx context.Context, s Schema) error {
	tx, err := d.Write.BeginTx(ctx, nil)
	if err != nil {
		return Failed("open database", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a Commit it does nothing
	if d.dialect.advisory {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", s.Lock); err != nil {
			return Failed("open database", err)
		}
	}
	const table = `CREATE TABLE IF NOT EXISTS %s (version BIGINT NOT NULL PRIMARY KEY, at BIGINT NOT NULL)`
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(table, s.Table)); err != nil {
		return Failed("prepare database", err)
	}
	var have int
	if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM `+s.Table).Scan(&have); err != nil {
		return Failed("read version of the database", err)
	}
	if have > len(s.Versions) {
		return fmt.Errorf("the database has version %d of the tables, this program knows %d: use a newer parley", have, len(s.Versions))
	}
	types := strings.NewReplacer("{text}", d.dialect.text, "{bytes}", d.dialect.bytes)
	for v := have; v < len(s.Versions); v++ {
		for _, stmt := range s.Versions[v] {
			if _, err := tx.ExecContext(ctx, types.Replace(stmt)); err != nil {
				return Failed(fmt.Sprintf("bring database to version %d", v+1), err)
			}
		}
		if _, err := tx.ExecContext(ctx, d.Rebind(`INSERT INTO `+s.Table+` (version, at) VALUES (?, ?)`), v+1, time.Now().UnixMicro()); err != nil {
			return Failed(fmt.Sprintf("bring database to version %d", v+1), err)
		}
	}
	return Failed("prepare database", tx.Commit())
}
