package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/voice"
)

// both runs a test on each database: this is the conformance suite.
func both(t *testing.T, test func(t *testing.T, open func() *Store)) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			dsn, dir := "", t.TempDir()
			if kind == "postgres" {
				dsn = postgres.Database(t)
			}
			test(t, func() *Store {
				s, err := Open(t.Context(), dsn, dir)
				if err != nil {
					t.Fatalf("Open: %v", err)
				}
				if s.Kind() != kind {
					t.Fatalf("Kind = %s, want %s", s.Kind(), kind)
				}
				t.Cleanup(func() {
					if err := s.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				})
				return s
			})
		})
	}
}

func put(tenant string, kind voice.Kind, key string, version int64, body string) Mutation {
	op := voice.OpCreate
	if version > 1 {
		op = voice.OpUpdate
	}
	return Mutation{
		Op: op, Search: "name of " + key, Type: "t" + fmt.Sprint(len(key)%2), After: json.RawMessage(body),
		Resource: voice.Resource{
			Tenant: tenant, Kind: kind, Key: key, Version: version, Body: json.RawMessage(body),
			UpdatedAt: time.UnixMicro(1_700_000_000_123_456).UTC(), UpdatedBy: "tester",
		},
	}
}

func commit(t *testing.T, s *Store, plan ...Mutation) int64 {
	t.Helper()
	basis, err := s.Seq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seq, err := s.Commit(t.Context(), basis, plan)
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	if seq != basis+int64(len(plan)) {
		t.Fatalf("Commit of %d changes after %d = %d", len(plan), basis, seq)
	}
	return seq
}

func keys(rs []voice.Resource) (out []string) {
	for _, r := range rs {
		out = append(out, r.Key)
	}
	return out
}

func TestResourceLifeAcrossRestart(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s := open()
		ctx := t.Context()
		if _, err := s.Get(ctx, "demo", "dns", "1001"); !errors.Is(err, voice.ErrNotFound) {
			t.Errorf("Get of nothing = %v, want ErrNotFound", err)
		}
		first := put("demo", "dns", "1001", 1, `{"a": "ü 'x' \u0000"}`)
		commit(t, s, first)
		s = open() // as after a restart: what was acknowledged is there
		got, err := s.Get(ctx, "demo", "dns", "1001")
		if err != nil {
			t.Fatal(err)
		}
		if want := first.Resource; string(got.Body) != string(want.Body) || got.Version != 1 || !got.UpdatedAt.Equal(want.UpdatedAt) || got.UpdatedBy != "tester" {
			t.Errorf("Get = %+v, want %+v", got, want)
		}
		commit(t, s, put("demo", "dns", "1001", 2, `{"a": 2}`))
		if got, err = s.Get(ctx, "demo", "dns", "1001"); err != nil || got.Version != 2 || string(got.Body) != `{"a": 2}` {
			t.Errorf("after an update: %+v, %v", got, err)
		}
		gone := put("demo", "dns", "1001", 2, ``)
		gone.Op = voice.OpDelete
		commit(t, s, gone)
		if _, err := s.Get(ctx, "demo", "dns", "1001"); !errors.Is(err, voice.ErrNotFound) {
			t.Errorf("Get of a deleted resource = %v, want ErrNotFound", err)
		}
		history, err := s.History(ctx, HistoryQuery{Tenant: "demo", Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		var got3 []string
		for _, c := range history {
			got3 = append(got3, fmt.Sprintf("%d %s v%d %s", c.Seq, c.Op, c.Version, c.After))
		}
		want := []string{`3 delete v2 `, `2 update v2 {"a": 2}`, `1 create v1 {"a": "ü 'x' \u0000"}`}
		if !slices.Equal(got3, want) {
			t.Errorf("History = %q, want %q", got3, want)
		}
	})
}

func TestCommitOfStalePlanWritesNothing(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s := open()
		commit(t, s, put("demo", "dns", "1", 1, `{}`))
		_, err := s.Commit(t.Context(), 0, []Mutation{put("demo", "dns", "2", 1, `{}`)})
		if !errors.Is(err, ErrStale) {
			t.Errorf("Commit with an old basis = %v, want ErrStale", err)
		}
		if _, err := s.Get(t.Context(), "demo", "dns", "2"); !errors.Is(err, voice.ErrNotFound) {
			t.Errorf("the stale plan was written: %v", err)
		}
	})
}

func TestFailedCommitLeavesNoHole(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s := open()
		twice := []Mutation{put("demo", "dns", "1", 1, `{}`), put("demo", "dns", "2", 1, `{}`)}
		twice[0].Refs = []Ref{{"scripts", "x"}}
		twice[1] = twice[0] // the same refs twice break their primary key
		if _, err := s.Commit(t.Context(), 0, twice); err == nil || errors.Is(err, ErrStale) {
			t.Fatalf("Commit of a broken plan = %v, want an error of the database", err)
		}
		if seq := commit(t, s, put("demo", "dns", "1", 1, `{}`)); seq != 1 {
			t.Errorf("the next change has number %d, want 1", seq)
		}
	})
}

func TestWritersRaceAndOneWins(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		a, b := open(), open() // two nodes
		const each = 30
		var wg sync.WaitGroup
		for i, s := range []*Store{a, b, a, b} {
			wg.Go(func() {
				for n := 0; n < each; {
					basis, err := s.Seq(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					_, err = s.Commit(t.Context(), basis, []Mutation{put("demo", "dns", fmt.Sprintf("%d-%d", i, n), 1, `{}`)})
					switch {
					case err == nil:
						n++
					case !errors.Is(err, ErrStale):
						t.Errorf("Commit = %v, want nil or ErrStale", err)
						return
					}
				}
			})
		}
		wg.Wait()
		changes, err := a.ChangesAfter(t.Context(), 0, 1000)
		if err != nil || len(changes) != 4*each {
			t.Fatalf("ChangesAfter = %d changes, %v, want %d", len(changes), err, 4*each)
		}
		for i, c := range changes {
			if c.Seq != int64(i)+1 {
				t.Fatalf("change %d has number %d: there is a hole", i, c.Seq)
			}
		}
	})
}

func TestListPagesInByteOrder(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s := open()
		all := []string{"#1", "1001", "1002", "1_3", "1%4", "B", "Zz", "a", "b", "ä", "~"}
		slices.Sort(all)
		var plan []Mutation
		for _, k := range all {
			plan = append(plan, put("demo", "dns", k, 1, `{}`), put("other", "dns", k, 1, `{}`), put("demo", "skills", k, 1, `{}`))
		}
		commit(t, s, plan...)
		read := func(q ListQuery) (got []string) {
			for pages := 0; ; pages++ {
				p, err := s.List(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				want := len(all)
				if q.Tenant == "" {
					want *= 2
				}
				if q.Match == "" && q.Type == "" && p.Total != want {
					t.Errorf("%+v: Total = %d, want %d", q, p.Total, want)
				}
				for _, r := range p.Resources {
					if r.Kind != q.Kind || q.Tenant != "" && r.Tenant != q.Tenant {
						t.Fatalf("%+v gave %s of %s", q, r.Kind, r.Tenant)
					}
				}
				got = append(got, keys(p.Resources)...)
				if p.Next == "" {
					return got
				}
				if pages > 50 {
					t.Fatal("the pages do not end")
				}
				q.After = p.Next
			}
		}
		for limit := 1; limit <= len(all)+1; limit += 3 {
			if got := read(ListQuery{Tenant: "demo", Kind: "dns", Limit: limit}); !slices.Equal(got, all) {
				t.Errorf("pages of %d: %q, want %q", limit, got, all)
			}
			if got := read(ListQuery{Kind: "dns", Limit: limit}); !slices.Equal(got, append(slices.Clone(all), all...)) {
				t.Errorf("all tenants in pages of %d: %q", limit, got)
			}
		}
		for _, c := range []struct {
			match, typ string
			want       []string
		}{
			{"100", "", []string{"1001", "1002"}},
			{"_", "", []string{"1_3"}},
			{"%", "", []string{"1%4"}},
			{"z", "", []string{"Zz"}},
			{"NAME OF B", "", []string{"B", "b"}},
			{"e of 1001\n", "", nil},
			{`\`, "", nil},
			{"'", "", nil},
			{"100", "t0", []string{"1001", "1002"}},
			{"1", "t1", []string{"1%4", "1_3"}},
		} {
			q := ListQuery{Tenant: "demo", Kind: "dns", Match: c.match, Type: c.typ, Limit: 100}
			p, err := s.List(t.Context(), q)
			if err != nil || !slices.Equal(keys(p.Resources), c.want) || p.Total != len(c.want) {
				t.Errorf("List(match %q, type %q) = %q of %d, %v, want %q", c.match, c.typ, keys(p.Resources), p.Total, err, c.want)
			}
		}
	})
}

func TestTotalsFollowChanges(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s, other := open(), open()
		q := ListQuery{Tenant: "demo", Kind: "dns", Limit: 1}
		for n := 1; n <= 3; n++ {
			commit(t, other, put("demo", "dns", fmt.Sprint(n), 1, `{}`)) // by another node
			for range 2 {
				if p, err := s.List(t.Context(), q); err != nil || p.Total != n {
					t.Errorf("Total = %d, %v, want %d", p.Total, err, n)
				}
			}
		}
	})
}

func TestReferrers(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s := open()
		place := put("demo", "places", "p1", 1, `{}`)
		place.Refs = []Ref{{"dns", "1"}, {"dns", "2"}, {"dns", "1"}}
		far := put("other", "places", "p9", 1, `{}`)
		far.Refs = []Ref{{"dns", "1"}}
		commit(t, s, put("demo", "dns", "1", 1, `{}`), place, far)
		check := func(key string, want ...Ref) {
			t.Helper()
			got, err := s.Referrers(t.Context(), "demo", Ref{"dns", key}, 10)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("Referrers of dns %s = %v, %v, want %v", key, got, err, want)
			}
		}
		check("1", Ref{"places", "p1"})
		check("2", Ref{"places", "p1"})
		check("3")
		place = put("demo", "places", "p1", 2, `{}`)
		place.Refs = []Ref{{"dns", "3"}}
		commit(t, s, place)
		check("1")
		check("3", Ref{"places", "p1"})
		place.Op, place.Refs = voice.OpDelete, nil
		commit(t, s, place)
		check("3")
	})
}

func TestGetMany(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s := open()
		var plan []Mutation
		var ask []string
		for i := range 600 {
			plan = append(plan, put("demo", "dns", fmt.Sprint(i), 1, fmt.Sprintf(`{"n":%d}`, i)))
			ask = append(ask, fmt.Sprint(i), fmt.Sprintf("no-%d", i))
		}
		commit(t, s, plan...)
		got, err := s.GetMany(t.Context(), "demo", "dns", ask)
		if err != nil || len(got) != 600 || string(got["599"].Body) != `{"n":599}` {
			t.Errorf("GetMany = %d resources, %v, want 600", len(got), err)
		}
		if got, err := s.GetMany(t.Context(), "demo", "dns", nil); err != nil || len(got) != 0 {
			t.Errorf("GetMany of nothing = %v, %v", got, err)
		}
	})
}

func TestHistoryFiltersAndPages(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s := open()
		for i := 1; i <= 5; i++ {
			commit(t, s, put("demo", "dns", "1", int64(i), `{}`), put("demo", "skills", "x", int64(i), `{}`), put("other", "dns", "1", int64(i), `{}`))
		}
		for _, c := range []struct {
			q    HistoryQuery
			want []int64
		}{
			{HistoryQuery{Limit: 3}, []int64{15, 14, 13}},
			{HistoryQuery{Tenant: "demo", Limit: 3}, []int64{14, 13, 11}},
			{HistoryQuery{Tenant: "demo", Kind: "dns", Key: "1", Limit: 2}, []int64{13, 10}},
			{HistoryQuery{Tenant: "demo", Kind: "dns", Key: "1", Before: 10, Limit: 9}, []int64{7, 4, 1}},
			{HistoryQuery{Kind: "skills", Before: 6, Limit: 9}, []int64{5, 2}},
			{HistoryQuery{Tenant: "none", Limit: 9}, nil},
		} {
			changes, err := s.History(t.Context(), c.q)
			var got []int64
			for _, ch := range changes {
				got = append(got, ch.Seq)
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("History(%+v) = %v, %v, want %v", c.q, got, err, c.want)
			}
		}
	})
}

func TestAnnouncedNeverGoesBack(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s := open()
		for _, step := range []struct{ set, want int64 }{{3, 3}, {2, 3}, {5, 5}} {
			if err := s.SetAnnounced(t.Context(), step.set); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Announced(t.Context()); err != nil || got != step.want {
				t.Errorf("Announced after %d = %d, %v, want %d", step.set, got, err, step.want)
			}
		}
	})
}

func TestSecretIsSharedAndKept(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		a, b := open(), open()
		got := make([][]byte, 8)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				var err error
				if got[i], err = []*Store{a, b}[i%2].Secret(t.Context(), "nonce"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, g := range got {
			if len(g) != secretBytes || string(g) != string(got[0]) {
				t.Errorf("Secret = %x, want the %d bytes everybody has", g, secretBytes)
			}
		}
		if other, err := a.Secret(t.Context(), "session"); err != nil || string(other) == string(got[0]) {
			t.Errorf("another name has the same secret: %x, %v", other, err)
		}
	})
}

func TestDatabaseOfNewerProgramIsRefused(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s := open()
		if _, err := s.db.Write.ExecContext(t.Context(), s.db.Rebind(`INSERT INTO schema_versions (version, at) VALUES (?, ?)`), len(schema.Versions)+1, 0); err != nil {
			t.Fatal(err)
		}
		if err := s.db.Migrate(t.Context(), schema); err == nil || !strings.Contains(err.Error(), "newer") {
			t.Errorf("migrate of a newer database = %v, want a refusal", err)
		}
	})
}

func TestManyOpenAtOnce(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			dsn, dir := "", t.TempDir()
			if kind == "postgres" {
				dsn = postgres.Database(t)
			}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					s, err := Open(t.Context(), dsn, dir)
					if err != nil {
						t.Error(err)
						return
					}
					if err := s.Ping(t.Context()); err != nil {
						t.Error(err)
					}
					s.Close()
				})
			}
			wg.Wait()
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("not a database, and long enough to be read as one"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ dsn, dir, want string }{
		{"mysql://root:s3cret@db/x", dir, "unknown kind"},
		{"postgres://parley:s3cret@127.0.0.1:1/x?connect_timeout=2", dir, "refused"},
		{"postgres://parley:s3cret@127.0.0.1:port/x", dir, "port"},
		{"", file, "not a directory"},
		{"sqlite://" + file, dir, "not a database"},
	} {
		s, err := Open(t.Context(), c.dsn, c.dir)
		if err == nil {
			s.Close()
			t.Errorf("Open(%q) succeeded", c.dsn)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("Open(%q) = %v, want something about %q and no password", c.dsn, err, c.want)
		}
	}
}

func TestServerAwayIsUnavailable(t *testing.T) {
	_, err := Open(t.Context(), "postgres://parley@127.0.0.1:1/x", "")
	if !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("Open with nobody there = %v, want ErrUnavailable", err)
	}
}

func TestSQLiteFileIsPrivateAndAnyPathWorks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c#d%20e", "data")
	s, err := Open(t.Context(), "", dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	commit(t, s, put("demo", "dns", "1", 1, `{}`))
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing in %s: %v", dir, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v, want 0600: it holds digests of passwords", f.Name(), info.Mode(), err)
		}
	}
	for _, db := range []struct {
		name string
		want string
		q    string
	}{{"journal", "wal", "PRAGMA journal_mode"}, {"synchronous", "2", "PRAGMA synchronous"}, {"busy", "5000", "PRAGMA busy_timeout"}} {
		var got string
		if err := s.db.Write.QueryRowContext(t.Context(), db.q).Scan(&got); err != nil || got != db.want {
			t.Errorf("%s = %s, %v, want %s", db.q, got, err, db.want)
		}
	}
}

func TestReadsGoOnWhileAWriterHoldsTheLock(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s := open()
		commit(t, s, put("demo", "dns", "1", 1, `{}`))
		tx, err := s.db.Write.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(t.Context(), `UPDATE counters SET value = 99 WHERE name = 'change'`); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if r, err := s.Get(ctx, "demo", "dns", "1"); err != nil || r.Version != 1 {
			t.Errorf("Get beside a writer = %+v, %v", r, err)
		}
		if seq, err := s.Seq(ctx); err != nil || seq != 1 {
			t.Errorf("Seq beside a writer = %d, %v, want 1", seq, err)
		}
	})
}
