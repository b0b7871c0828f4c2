package sqldb

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

const (
	readers       = 4 // connections for reading
	writers       = 2 // connections for writing to PostgreSQL
	lockWait      = 5 * time.Second
	writeCacheKiB = 16 << 10    // a transaction that changes more pages than the cache holds writes them twice (SQLite)
	idleConnTime  = time.Minute // a connection keeps up to 2 MB of pages; idle ones give them back
)

// DB is an open database.
type DB struct {
	Write *sql.DB
	Read  *sql.DB // SQLite refuses to write here

	dialect dialect
}

// dialect is what differs between the two databases.
type dialect struct {
	name        string
	text, bytes string // column types
	numbered    bool   // placeholders are $1, $2 … instead of ?
	advisory    bool   // nodes take an advisory lock to migrate; with SQLite BEGIN does that
}

var (
	sqliteDialect   = dialect{name: "sqlite", text: "TEXT", bytes: "BLOB"}
	postgresDialect = dialect{name: "postgres", text: `TEXT COLLATE "C"`, bytes: "BYTEA", numbered: true, advisory: true}
)

// Open opens the database that dsn names, without asking it anything yet: "" is the SQLite file in the folder dir (made
// if it is not there), sqlite:///path a SQLite file elsewhere, postgres://… a PostgreSQL server of version 12 or later.
// Errors never contain the password of dsn.
func Open(dsn, dir, file string) (*DB, error) {
	switch {
	case dsn == "":
		return openSQLite(filepath.Join(dir, file))
	case strings.HasPrefix(dsn, "sqlite://"):
		return openSQLite(strings.TrimPrefix(dsn, "sqlite://"))
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"):
		return openPostgres(dsn)
	}
	return nil, errors.New(`unknown kind of database (want "" for SQLite in the data directory, sqlite:///path or postgres://…)`)
}

// openSQLite makes the file readable by its owner only; the files of the WAL inherit that.
func openSQLite(path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	// Pragmas are per connection, so they belong into the name: sent once, they would reach one connection of the pool.
	// Transactions begin immediate: a deferred one that reads and then writes fails with SQLITE_BUSY however long it
	// may wait.
	pragmas := []string{fmt.Sprintf("busy_timeout(%d)", lockWait.Milliseconds()), "journal_mode(WAL)", "synchronous(FULL)"}
	name := func(extra ...string) string {
		params := url.Values{"_txlock": {"immediate"}, "_pragma": append(extra, pragmas...)}
		return "file:" + (&url.URL{Path: abs}).EscapedPath() + "?" + params.Encode()
	}
	write, err := sql.Open("sqlite", name(fmt.Sprintf("cache_size(%d)", -writeCacheKiB)))
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", name("query_only(1)"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), write.Close())
	}
	bound(read, readers)
	return &DB{Write: write, Read: read, dialect: sqliteDialect}, nil
}

func openPostgres(dsn string) (*DB, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("database address: %w", err) // pgx leaves the password out
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = lockWait
	}
	if cfg.RuntimeParams["lock_timeout"] == "" {
		cfg.RuntimeParams["lock_timeout"] = strconv.FormatInt(lockWait.Milliseconds(), 10)
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "parley"
	}
	write, read := stdlib.OpenDB(*cfg), stdlib.OpenDB(*cfg)
	bound(write, writers)
	bound(read, readers)
	return &DB{Write: write, Read: read, dialect: postgresDialect}, nil
}

func bound(db *sql.DB, conns int) {
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(idleConnTime)
}

// Close waits for statements in progress and closes the database.
func (d *DB) Close() error { return errors.Join(d.Read.Close(), d.Write.Close()) }

// Kind is "sqlite" or "postgres".
func (d *DB) Kind() string { return d.dialect.name }
