package cdrs

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"parley/internal/store/sqldb"
)

const (
	sqliteFile  = "cdr.db"
	openTimeout = 10 * time.Second
)

// schema: times are microseconds since 1970, 0 where nothing happened. search is what a text filter looks into.
//
// There is one index of all records beside the primary key, and it grows at its end; calls by a trunk, in or out, stand in a small
// one by trunk besides. media is JSON: how the voice was, which nobody searches in but for the lowest score, worst_mos, in hundredths;
// 0 is not known. An index by caller and one by dialled number were
// tried: they find the calls of one number in 1 ms rather than 100 to 200 ms among a million, and took 50 of 80 µs of
// processor time to store a record. An index row of PostgreSQL holds 2,704 bytes at the
// most: the limits in write.go keep it below 2,450, though lower case may be half as long again (Ⱥ).
var schema = sqldb.Schema{
	Table: "cdr_schema_versions", Lock: 7305808869232651,
	Versions: [][]string{{
		`CREATE TABLE cdrs (
			call_uuid   {text} NOT NULL PRIMARY KEY,
			tenant      {text} NOT NULL,
			thread_id   {text} NOT NULL,
			node        {text} NOT NULL,
			type        BIGINT NOT NULL,
			caller      {text} NOT NULL,
			caller_name {text} NOT NULL,
			dialled     {text} NOT NULL,
			answered    {text} NOT NULL,
			trunk_in    {text} NOT NULL,
			trunk_out   {text} NOT NULL,
			start_us    BIGINT NOT NULL,
			ringing_us  BIGINT NOT NULL,
			answer_us   BIGINT NOT NULL,
			end_us      BIGINT NOT NULL,
			talk_us     BIGINT NOT NULL,
			outcome     {text} NOT NULL,
			status      BIGINT NOT NULL,
			ended_by    {text} NOT NULL,
			reason      {text} NOT NULL,
			sip_call_id {text} NOT NULL,
			events      BIGINT NOT NULL,
			search      {text} NOT NULL)`,
		`CREATE INDEX cdrs_by_time ON cdrs (tenant, start_us, call_uuid, outcome, type, talk_us, caller, dialled, search)`,
	}, {
		`CREATE INDEX cdrs_by_trunk_in ON cdrs (tenant, trunk_in, start_us, call_uuid) WHERE trunk_in <> ''`,
		`CREATE INDEX cdrs_by_trunk_out ON cdrs (tenant, trunk_out, start_us, call_uuid) WHERE trunk_out <> ''`,
	}, {
		`ALTER TABLE cdrs ADD COLUMN media {text} NOT NULL DEFAULT ''`,
		`ALTER TABLE cdrs ADD COLUMN worst_mos BIGINT NOT NULL DEFAULT 0`,
		`CREATE INDEX cdrs_by_mos ON cdrs (tenant, start_us, call_uuid, worst_mos) WHERE ` + poor,
	}, {
		`ALTER TABLE cdrs ADD COLUMN route_point {text} NOT NULL DEFAULT ''`,
		`ALTER TABLE cdrs ADD COLUMN queued_us BIGINT NOT NULL DEFAULT 0`,
	}},
}

// poor are the calls with a score that not everybody is satisfied with (ITU-T G.107 Annex B); they are few, so their index
// costs the others nothing.
const poor, mostPoor = `worst_mos > 0 AND worst_mos <= 402`, 402

// Store is an open database of call detail records.
type Store struct{ db *sqldb.DB }

// Open opens the database that dsn names, and brings its tables up to date: "" is the file cdr.db in dir (made if it is
// not there), sqlite:///path/x.db the file cdr.db beside x.db, postgres://… a PostgreSQL server of version 12 or later,
// in which other tables may live too. Errors never contain the password of dsn.
func Open(ctx context.Context, dsn, dir string) (*Store, error) {
	if other, ok := strings.CutPrefix(dsn, "sqlite://"); ok {
		dsn, dir = "", filepath.Dir(other)
	}
	db, err := sqldb.Open(dsn, dir, sqliteFile)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := db.Migrate(ctx, schema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Store{db: db}, nil
}

// Close waits for statements in progress and closes the database.
func (s *Store) Close() error { return s.db.Close() }

// Shared tells whether other nodes read and write the same records.
func (s *Store) Shared() bool { return s.db.Kind() == "postgres" }

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return sqldb.Failed("ask the database", s.db.Read.PingContext(ctx))
}
