package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// migrations[i] brings version i to version i+1. They are never edited once released; a change is a new entry.
// {text} orders by byte on both databases, so that pages come in the same order.
var migrations = [][]string{
	{
		`CREATE TABLE resources (
			kind       {text} NOT NULL,
			tenant     {text} NOT NULL,
			key        {text} NOT NULL,
			version    BIGINT NOT NULL,
			type       {text} NOT NULL,
			search     {text} NOT NULL,
			body       {text} NOT NULL,
			updated_at BIGINT NOT NULL,
			updated_by {text} NOT NULL,
			PRIMARY KEY (kind, tenant, key))`,
		`CREATE INDEX resources_by_type ON resources (kind, tenant, type, key)`,
		`CREATE INDEX resources_by_search ON resources (kind, tenant, key, search)`,
		`CREATE TABLE refs (
			tenant   {text} NOT NULL,
			kind     {text} NOT NULL,
			key      {text} NOT NULL,
			to_kind  {text} NOT NULL,
			to_key   {text} NOT NULL,
			PRIMARY KEY (tenant, kind, key, to_kind, to_key))`,
		`CREATE INDEX refs_by_target ON refs (tenant, to_kind, to_key, kind, key)`,
		`CREATE TABLE changes (
			seq     BIGINT NOT NULL PRIMARY KEY,
			tenant  {text} NOT NULL,
			kind    {text} NOT NULL,
			key     {text} NOT NULL,
			version BIGINT NOT NULL,
			op      {text} NOT NULL,
			at      BIGINT NOT NULL,
			by_user {text} NOT NULL,
			before  {text},
			after   {text})`,
		`CREATE INDEX changes_by_tenant ON changes (tenant, seq)`,
		`CREATE INDEX changes_by_key ON changes (tenant, kind, key, seq)`,
		`CREATE TABLE counters (
			name  {text} NOT NULL PRIMARY KEY,
			value BIGINT NOT NULL)`,
		`INSERT INTO counters (name, value) VALUES ('change', 0), ('announced', 0)`,
		`CREATE TABLE cluster_secrets (
			name   {text} NOT NULL PRIMARY KEY,
			secret {bytes} NOT NULL,
			at     BIGINT NOT NULL)`,
	},
}

// migrate brings the tables to the version this program knows. It refuses a database that is newer: an old program
// would write what a new one no longer understands.
func (s *Store) migrate(ctx context.Context) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return failed("open database", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a Commit it does nothing
	if s.dialect.locked != "" {
		if _, err := tx.ExecContext(ctx, s.dialect.locked); err != nil {
			return failed("open database", err)
		}
	}
	const table = `CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT NOT NULL PRIMARY KEY, at BIGINT NOT NULL)`
	if _, err := tx.ExecContext(ctx, table); err != nil {
		return failed("prepare database", err)
	}
	var have int
	if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM schema_versions`).Scan(&have); err != nil {
		return failed("read version of the database", err)
	}
	if have > len(migrations) {
		return fmt.Errorf("the database has version %d of the tables, this program knows %d: use a newer parley", have, len(migrations))
	}
	types := strings.NewReplacer("{text}", s.dialect.text, "{bytes}", s.dialect.bytes)
	for v := have; v < len(migrations); v++ {
		for _, stmt := range migrations[v] {
			if _, err := tx.ExecContext(ctx, types.Replace(stmt)); err != nil {
				return failed(fmt.Sprintf("bring database to version %d", v+1), err)
			}
		}
		if _, err := tx.ExecContext(ctx, s.dialect.rebind(`INSERT INTO schema_versions (version, at) VALUES (?, ?)`), v+1, time.Now().UnixMicro()); err != nil {
			return failed(fmt.Sprintf("bring database to version %d", v+1), err)
		}
	}
	return failed("prepare database", tx.Commit())
}
