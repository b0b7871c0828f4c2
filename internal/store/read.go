package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parley/internal/store/sqldb"
	"parley/internal/voice"
)

// MaxPage is the most resources a List or changes a History returns at once.
const MaxPage = 10_000

const columns = `tenant, kind, key, version, body, updated_at, updated_by`

// Get returns one resource, or voice.ErrNotFound.
func (s *Store) Get(ctx context.Context, tenant string, kind voice.Kind, key string) (voice.Resource, error) {
	row := s.db.Read.QueryRowContext(ctx, s.db.Rebind(`SELECT `+columns+` FROM resources WHERE kind = ? AND tenant = ? AND key = ?`),
		string(kind), tenant, key)
	r, err := scanResource(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("%s %q of tenant %q: %w", kind, key, tenant, voice.ErrNotFound)
	}
	return r, sqldb.Failed("read resource", err)
}

// GetMany returns those of keys that exist. It asks in ranges of neighbouring keys: a database that has not counted its
// rows yet would otherwise go through all of them for each question.
func (s *Store) GetMany(ctx context.Context, tenant string, kind voice.Kind, keys []string) (map[string]voice.Resource, error) {
	const atOnce = 256
	found := make(map[string]voice.Resource, len(keys))
	for chunk := range slices.Chunk(slices.Sorted(slices.Values(keys)), atOnce) {
		args := []any{string(kind), tenant, chunk[0], chunk[len(chunk)-1]}
		for _, k := range chunk {
			args = append(args, k)
		}
		marks := strings.TrimSuffix(strings.Repeat("?, ", len(chunk)), ", ")
		err := s.each(ctx, `SELECT `+columns+` FROM resources WHERE kind = ? AND tenant = ? AND key BETWEEN ? AND ? AND key IN (`+marks+`)`, args, func(r voice.Resource) {
			found[r.Key] = r
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (s *Store) each(ctx context.Context, query string, args []any, fn func(voice.Resource)) error {
	rows, err := s.db.Read.QueryContext(ctx, s.db.Rebind(query), args...)
	if err != nil {
		return sqldb.Failed("read resources", err)
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanResource(rows.Scan)
		if err != nil {
			return sqldb.Failed("read resources", err)
		}
		fn(r)
	}
	return sqldb.Failed("read resources", rows.Err())
}

func scanResource(scan func(...any) error) (voice.Resource, error) {
	var r voice.Resource
	var body []byte
	var at int64
	err := scan(&r.Tenant, &r.Kind, &r.Key, &r.Version, &body, &at, &r.UpdatedBy)
	r.Body, r.UpdatedAt = body, fromMicro(at)
	return r, err
}

// ListQuery chooses resources of one kind, in order of tenant and key.
type ListQuery struct {
	Tenant string // "" = all
	Kind   voice.Kind
	Match  string // substring of key or search text, case ignored; "" = all
	Type   string // "" = all
	After  string // resume after this key; with Tenant "": after this "tenant/key"
	Limit  int    // at most MaxPage
}

// Page is one page of a list. Next is the After of the next one, "" at the end. Total counts all pages.
type Page struct {
	Resources []voice.Resource
	Next      string
	Total     int
}

// List returns one page. The total costs a count, which is remembered until the next change.
func (s *Store) List(ctx context.Context, q ListQuery) (Page, error) {
	where, args := q.filter()
	total, err := s.count(ctx, q, where, args)
	if err != nil || total == 0 {
		return Page{}, err
	}
	if q.After != "" && q.Tenant != "" {
		where, args = where+` AND key > ?`, append(args, q.After)
	} else if q.After != "" {
		tenant, key, _ := strings.Cut(q.After, "/")
		where, args = where+` AND (tenant, key) > (?, ?)`, append(args, tenant, key)
	}
	q.Limit = min(max(q.Limit, 1), MaxPage)
	page := Page{Total: total, Resources: make([]voice.Resource, 0, min(q.Limit, total))}
	more := false
	err = s.each(ctx, `SELECT `+columns+` FROM resources WHERE `+where+` ORDER BY tenant, key LIMIT ?`, append(args, q.Limit+1), func(r voice.Resource) {
		if more = len(page.Resources) == q.Limit; !more {
			page.Resources = append(page.Resources, r)
		}
	})
	if more {
		last := page.Resources[q.Limit-1]
		page.Next = last.Key
		if q.Tenant == "" {
			page.Next = last.Tenant + "/" + last.Key
		}
	}
	return page, err
}

func (q ListQuery) filter() (where string, args []any) {
	where, args = `kind = ?`, []any{string(q.Kind)}
	if q.Tenant != "" {
		where, args = where+` AND tenant = ?`, append(args, q.Tenant)
	}
	if q.Type != "" {
		where, args = where+` AND type = ?`, append(args, q.Type)
	}
	if q.Match != "" {
		where, args = where+` AND search LIKE ? ESCAPE '\'`, append(args, sqldb.Like(strings.ToLower(q.Match)))
	}
	return where, args
}

func (s *Store) count(ctx context.Context, q ListQuery, where string, args []any) (int, error) {
	seq, err := s.Seq(ctx)
	if err != nil {
		return 0, err
	}
	q.After, q.Limit = "", 0
	if n, ok := s.counts.get(seq, q); ok {
		return n, nil
	}
	var n int
	err = s.db.Read.QueryRowContext(ctx, s.db.Rebind(`SELECT COUNT(*) FROM resources WHERE `+where), args...).Scan(&n)
	if err != nil {
		return 0, sqldb.Failed("count resources", err)
	}
	s.counts.put(seq, q, n)
	return n, nil
}

// Referrers returns who points at a resource, at most limit.
func (s *Store) Referrers(ctx context.Context, tenant string, to Ref, limit int) ([]Ref, error) {
	rows, err := s.db.Read.QueryContext(ctx, s.db.Rebind(`SELECT kind, key FROM refs WHERE tenant = ? AND to_kind = ? AND to_key = ?
		ORDER BY kind, key LIMIT ?`), tenant, string(to.Kind), to.Key, limit)
	if err != nil {
		return nil, sqldb.Failed("read references", err)
	}
	defer rows.Close()
	var refs []Ref
	for rows.Next() {
		var r Ref
		if err := rows.Scan(&r.Kind, &r.Key); err != nil {
			return nil, sqldb.Failed("read references", err)
		}
		refs = append(refs, r)
	}
	return refs, sqldb.Failed("read references", rows.Err())
}

// HistoryQuery chooses changes, newest first. Empty strings choose all.
type HistoryQuery struct {
	Tenant string
	Kind   voice.Kind
	Key    string
	Before int64 // changes with a lower number only; 0 = from the newest
	Limit  int
}

// History returns changes, newest first.
func (s *Store) History(ctx context.Context, q HistoryQuery) ([]Change, error) {
	where, args := `1 = 1`, []any{}
	for _, c := range []struct{ column, value string }{{"tenant", q.Tenant}, {"kind", string(q.Kind)}, {"key", q.Key}} {
		if c.value != "" {
			where, args = where+` AND `+c.column+` = ?`, append(args, c.value)
		}
	}
	if q.Before > 0 {
		where, args = where+` AND seq < ?`, append(args, q.Before)
	}
	return s.changes(ctx, where+` ORDER BY seq DESC LIMIT ?`, append(args, min(max(q.Limit, 1), MaxPage)))
}

// ChangesAfter returns the changes with numbers above seq, oldest first, without Before and After.
func (s *Store) ChangesAfter(ctx context.Context, seq int64, limit int) ([]Change, error) {
	changes, err := s.changes(ctx, `seq > ? ORDER BY seq LIMIT ?`, []any{seq, limit})
	for i := range changes {
		changes[i].Before, changes[i].After = nil, nil
	}
	return changes, err
}

func (s *Store) changes(ctx context.Context, where string, args []any) ([]Change, error) {
	rows, err := s.db.Read.QueryContext(ctx, s.db.Rebind(`SELECT seq, tenant, kind, key, version, op, at, by_user, before, after FROM changes WHERE `+where), args...)
	if err != nil {
		return nil, sqldb.Failed("read changes", err)
	}
	defer rows.Close()
	var out []Change
	for rows.Next() {
		var c Change
		var at int64
		var before, after []byte
		if err := rows.Scan(&c.Seq, &c.Tenant, &c.Kind, &c.Key, &c.Version, &c.Op, &at, &c.User, &before, &after); err != nil {
			return nil, sqldb.Failed("read changes", err)
		}
		c.Time, c.Before, c.After = fromMicro(at), before, after
		out = append(out, c)
	}
	return out, sqldb.Failed("read changes", rows.Err())
}
