package store

import (
	"context"
	"errors"
	"time"

	"parley/internal/store/sqldb"
)

const (
	sqliteFile  = "config.db"
	openTimeout = 10 * time.Second
)

// Store is an open database. All methods may be called at once.
type Store struct {
	db     *sqldb.DB
	counts countCache
}

// Open opens the database that dsn names, and brings its tables up to date: "" is a SQLite file in dir (made if it
// is not there), sqlite:///path a SQLite file elsewhere, postgres://… a PostgreSQL server of version 12 or later.
// Errors never contain the password of dsn.
func Open(ctx context.Context, dsn, dir string) (*Store, error) {
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

// Kind is "sqlite" or "postgres".
func (s *Store) Kind() string { return s.db.Kind() }

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.Seq(ctx)
	return err
}
