package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"parley/internal/voice"
)

// Rebind writes the ? of a statement as the database wants them. A statement must have no ? in a literal.
func (d *DB) Rebind(query string) string {
	if !d.dialect.numbered {
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

// batchRows is how many rows go into one statement. SQLite takes 32,766 values a statement, PostgreSQL 65,535.
const batchRows = 64

// Rows runs head (row), (row), … tail for all rows, some at a time: round trips are what bulk writes cost on
// PostgreSQL, and parsing on SQLite. All rows have the same number of values. It returns how many rows were affected.
func (d *DB) Rows(ctx context.Context, tx *sql.Tx, head, tail string, rows [][]any) (affected int64, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	one := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(rows[0])), ", ") + ")"
	statement := func(n int) string {
		return d.Rebind(head + strings.TrimSuffix(strings.Repeat(one+", ", n), ", ") + tail)
	}
	args := make([]any, 0, batchRows*len(rows[0]))
	run := func(exec func(args ...any) (sql.Result, error), n int) error {
		args = args[:0]
		for _, r := range rows[:n] {
			args = append(args, r...)
		}
		rows = rows[n:]
		res, err := exec(args...)
		if err != nil {
			return fmt.Errorf("%s…: %w", head, err)
		}
		some, err := res.RowsAffected()
		affected += some
		return err
	}
	if len(rows) >= batchRows {
		full, err := tx.PrepareContext(ctx, statement(batchRows))
		if err != nil {
			return 0, fmt.Errorf("%s…: %w", head, err)
		}
		defer full.Close()
		for len(rows) >= batchRows {
			if err := run(func(args ...any) (sql.Result, error) { return full.ExecContext(ctx, args...) }, batchRows); err != nil {
				return affected, err
			}
		}
	}
	if len(rows) == 0 {
		return affected, nil
	}
	last := statement(len(rows))
	err = run(func(args ...any) (sql.Result, error) { return tx.ExecContext(ctx, last, args...) }, len(rows))
	return affected, err
}

// Like makes a pattern for LIKE ? ESCAPE '\' that looks for part, whatever is in it.
func Like(part string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(part) + "%"
}

// Failed gives an error of the database its place in our vocabulary: what may heal by itself is voice.ErrUnavailable.
// what says what was tried. Failed of nil is nil.
func Failed(what string, err error) error {
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
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && passes(pg.Code) {
		return fmt.Errorf("%s: %w: %w", what, voice.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// passes tells an error of PostgreSQL that another attempt may not meet (PostgreSQL documentation, appendix A).
func passes(code string) bool {
	switch {
	case strings.HasPrefix(code, "57P"), strings.HasPrefix(code, "08"): // shutting down, connection trouble
		return true
	case code == "55P03", code == "40P01": // lock not had in time, deadlock
		return true
	}
	return false
}
