package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"parley/internal/store/sqldb"
	"parley/internal/voice"
)

// ErrStale says that something was written after the plan was made. Nothing of the plan was; make it anew.
var ErrStale = errors.New("the configuration changed meanwhile")

// Ref points at another resource of the same tenant.
type Ref struct {
	Kind voice.Kind
	Key  string
}

// Mutation is one resource created, replaced or deleted.
type Mutation struct {
	Op       voice.ChangeOp
	Resource voice.Resource // with the version it gets; when deleted: tenant, kind, key and the version that goes
	Type     string         // what ListQuery.Type compares
	Search   string         // what ListQuery.Match looks into, beside the key
	Refs     []Ref          // what it points at
	Before   json.RawMessage
	After    json.RawMessage // for the history: without secrets
}

// Change is one entry of the history.
type Change struct {
	voice.ConfigChanged // Node is not kept
	Before, After       json.RawMessage
}

// Commit writes plan in one transaction if basis is still the number of the newest change, else it returns ErrStale.
// It returns the number of the last change it made; they are numbered basis+1 … in the order of plan.
// A resource may occur once in a plan.
func (s *Store) Commit(ctx context.Context, basis int64, plan []Mutation) (seq int64, err error) {
	if len(plan) == 0 {
		return basis, nil
	}
	const what = "write configuration"
	tx, err := s.db.Write.BeginTx(ctx, nil)
	if err != nil {
		return 0, sqldb.Failed(what, err)
	}
	defer tx.Rollback() //nolint:errcheck // after a Commit it does nothing
	b := &batch{ctx: ctx, tx: tx, db: s.db}
	seq = basis + int64(len(plan))
	// Holding this row is what makes commits one after the other.
	res, err := b.exec(`UPDATE counters SET value = ? WHERE name = 'change' AND value = ?`, seq, basis)
	if err != nil {
		return 0, sqldb.Failed(what, err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return 0, errors.Join(ErrStale, err)
	}
	if err := b.write(basis, plan); err != nil {
		return 0, sqldb.Failed(what, err)
	}
	if len(plan) >= bigCommit && s.Kind() == "postgres" { // SQLite's planner needs no telling
		if _, err := b.exec(`ANALYZE resources`); err != nil {
			return 0, sqldb.Failed(what, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return 0, sqldb.Failed(what, err)
	}
	return seq, nil
}

// bigCommit is how many changes make the statistics of the tables worthless.
const bigCommit = 1000

// batch writes many rows with few statements: round trips are what bulk writes cost on PostgreSQL, and parsing on SQLite.
type batch struct {
	ctx context.Context
	tx  *sql.Tx
	db  *sqldb.DB
}

func (b *batch) exec(query string, args ...any) (sql.Result, error) {
	return b.tx.ExecContext(b.ctx, b.db.Rebind(query), args...)
}

func (b *batch) write(basis int64, plan []Mutation) error {
	var deleted, reRef, resources, refs, changes [][]any
	for i, m := range plan {
		r := m.Resource
		if m.Op == voice.OpDelete {
			deleted = append(deleted, []any{string(r.Kind), r.Tenant, r.Key})
		} else {
			resources = append(resources, []any{string(r.Kind), r.Tenant, r.Key, r.Version, m.Type, searchText(r.Key, m.Search),
				string(r.Body), r.UpdatedAt.UnixMicro(), r.UpdatedBy})
		}
		if m.Op != voice.OpCreate {
			reRef = append(reRef, []any{r.Tenant, string(r.Kind), r.Key})
		}
		for _, to := range uniqueRefs(m.Refs) {
			refs = append(refs, []any{r.Tenant, string(r.Kind), r.Key, string(to.Kind), to.Key})
		}
		changes = append(changes, []any{basis + int64(i) + 1, r.Tenant, string(r.Kind), r.Key, r.Version, string(m.Op),
			r.UpdatedAt.UnixMicro(), r.UpdatedBy, nullable(m.Before), nullable(m.After)})
	}
	return errors.Join(
		b.rows(`DELETE FROM resources WHERE (kind, tenant, key) IN (VALUES `, `)`, deleted),
		b.rows(`DELETE FROM refs WHERE (tenant, kind, key) IN (VALUES `, `)`, reRef),
		b.rows(`INSERT INTO resources (kind, tenant, key, version, type, search, body, updated_at, updated_by) VALUES `,
			` ON CONFLICT (kind, tenant, key) DO UPDATE SET version = excluded.version, type = excluded.type, search = excluded.search,
			body = excluded.body, updated_at = excluded.updated_at, updated_by = excluded.updated_by`, resources),
		b.rows(`INSERT INTO refs (tenant, kind, key, to_kind, to_key) VALUES `, ``, refs),
		b.rows(`INSERT INTO changes (seq, tenant, kind, key, version, op, at, by_user, before, after) VALUES `, ``, changes),
	)
}

func (b *batch) rows(head, tail string, rows [][]any) error {
	_, err := b.db.Rows(b.ctx, b.tx, head, tail, rows)
	return err
}

func uniqueRefs(refs []Ref) []Ref {
	if len(refs) < 2 {
		return refs
	}
	seen := make(map[Ref]bool, len(refs))
	out := refs[:0:0]
	for _, r := range refs {
		if !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
	}
	return out
}

// searchText is what a match looks into. The line end keeps a match from reaching over from the key into the name.
func searchText(key, more string) string {
	return strings.ToLower(key) + "\n" + strings.ToLower(more)
}

func nullable(j json.RawMessage) any {
	if len(j) == 0 {
		return nil
	}
	return string(j)
}

// Announced is the number of the last change that was published.
func (s *Store) Announced(ctx context.Context) (int64, error) { return s.counter(ctx, "announced") }

// SetAnnounced says that every change up to seq was published. It never goes back.
func (s *Store) SetAnnounced(ctx context.Context, seq int64) error {
	_, err := s.db.Write.ExecContext(ctx, s.db.Rebind(`UPDATE counters SET value = ? WHERE name = 'announced' AND value < ?`), seq, seq)
	return sqldb.Failed("note announced changes", err)
}

// Seq is the number of the newest change, 0 when there is none.
func (s *Store) Seq(ctx context.Context) (int64, error) { return s.counter(ctx, "change") }

func (s *Store) counter(ctx context.Context, name string) (v int64, err error) {
	err = s.db.Read.QueryRowContext(ctx, s.db.Rebind(`SELECT value FROM counters WHERE name = ?`), name).Scan(&v)
	return v, sqldb.Failed("read counter of changes", err)
}

func fromMicro(us int64) time.Time { return time.UnixMicro(us).UTC() }
