package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"parley/internal/voice"
)

const (
	sqliteFile = "config.db"

	readers      = 4 // connections for reading
	lockWait     = 5 * time.Second
	openTimeout  = 10 * time.Second
	idleConnTime = time.Minute // a connection keeps up to 2 MB of pages; idle ones give them back
)

// Store is an open database. All methods may be called at once.
type Store struct {
	dialect dialect
	write   *sql.DB // SQLite: one connection; there is one writer at a time anyway
	read    *sql.DB
	counts  countCache
}

// dialect is what differs between the two databases.
type dialect struct {
	name        string
	text, bytes string // column types
	numbered    bool   // placeholders are $1, $2 … instead of ?
	locked      string // statement that lets one node at a time migrate; "" where BEGIN does that
	count       string // statement that lets the planner know of a big write; "" where it needs no telling
}

var (
	sqliteDialect   = dialect{name: "sqlite", text: "TEXT", bytes: "BLOB"}
	postgresDialect = dialect{name: "postgres", text: `TEXT COLLATE "C"`, bytes: "BYTEA", numbered: true,
		locked: "SELECT pg_advisory_xact_lock(7305808869232650)", count: "ANALYZE resources"}
)

// Open opens the database that dsn names, and brings its tables up to date: "" is a SQLite file in dir (made if it
// is not there), sqlite:///path a SQLite file elsewhere, postgres://… a PostgreSQL server of version 12 or later.
// Errors never contain the password of dsn.
func Open(ctx context.Context, dsn, dir string) (*Store, error) {
	var s *Store
	var err error
	switch {
	case dsn == "":
		s, err = openSQLite(filepath.Join(dir, sqliteFile))
	case strings.HasPrefix(dsn, "sqlite://"):
		s, err = openSQLite(strings.TrimPrefix(dsn, "sqlite://"))
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"):
		s, err = openPostgres(dsn)
	default:
		return nil, errors.New(`unknown kind of database (want "" for SQLite in the data directory, sqlite:///path or postgres://…)`)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openSQLite makes the file readable by its owner only; the files of the WAL inherit that.
func openSQLite(path string) (*Store, error) {
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
	write, err := sql.Open("sqlite", name())
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", name("query_only(1)"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), write.Close())
	}
	bound(read, readers)
	return &Store{dialect: sqliteDialect, write: write, read: read}, nil
}

func openPostgres(dsn string) (*Store, error) {
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
	bound(write, 2)
	bound(read, readers)
	return &Store{dialect: postgresDialect, write: write, read: read}, nil
}

func bound(db *sql.DB, conns int) {
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(idleConnTime)
}

// Close waits for statements in progress and closes the database.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

// Kind is "sqlite" or "postgres".
func (s *Store) Kind() string { return s.dialect.name }

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.Seq(ctx)
	return err
}

// rebind writes the ? of a statement as the database wants them. No statement here has a ? in a literal.
func (d dialect) rebind(query string) string {
	if !d.numbered {
		return query
	}
	var b strings.Builder
	b.Grow(len(query) + 32)
	n := 0
	for _, r := range query {
		if r != '?' {
			b.WriteRune(r)
			continue
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// failed gives an error of the database its place in our vocabulary: what may heal by itself is unavailable.
func failed(what string, err error) error {
	var network net.Error
	var connect *pgconn.ConnectError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", what, err)
	case errors.As(err, &connect), errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.As(err, &network):
		return fmt.Errorf("%s: %w: %w", what, voice.ErrUnavailable, err)
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && (strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "08") || pg.Code == "55P03") {
		return fmt.Errorf("%s: %w: %w", what, voice.ErrUnavailable, err) // shutting down, connection trouble, lock not had in time
	}
	return fmt.Errorf("%s: %w", what, err)
}
