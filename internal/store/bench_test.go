package store

import (
	"fmt"
	"testing"

	"parley/internal/voice"
)

func benchBoth(b *testing.B, fn func(b *testing.B, s *Store)) {
	for _, kind := range []string{"sqlite", "postgres"} {
		b.Run(kind, func(b *testing.B) {
			dsn := ""
			if kind == "postgres" {
				dsn = postgres.Database(b)
			}
			s, err := Open(b.Context(), dsn, b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			fn(b, s)
		})
	}
}

func fill(b *testing.B, s *Store, n int) {
	body := `{"number":"1001","type":"extension","auth":{"username":"1001","realm":"demo.local","md5":"` +
		`3d78807defe7de2157e2b0b6573a855f","sha256":"7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232"}}`
	const chunk = 10_000
	for at := 0; at < n; at += chunk {
		var plan []Mutation
		for i := at; i < min(at+chunk, n); i++ {
			m := put("demo", voice.KindDN, fmt.Sprintf("%06d", i), 1, body)
			m.Type = "extension"
			plan = append(plan, m)
		}
		basis, err := s.Seq(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Commit(b.Context(), basis, plan); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommit10k(b *testing.B) {
	benchBoth(b, func(b *testing.B, s *Store) {
		for b.Loop() {
			b.StopTimer()
			for _, table := range []string{"resources", "changes", "refs"} {
				if _, err := s.db.Write.ExecContext(b.Context(), "DELETE FROM "+table); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := s.db.Write.ExecContext(b.Context(), "UPDATE counters SET value = 0"); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			fill(b, s, 10_000)
		}
	})
}

func BenchmarkListPage100k(b *testing.B) {
	benchBoth(b, func(b *testing.B, s *Store) {
		fill(b, s, 100_000)
		for name, q := range map[string]ListQuery{
			"middle": {Tenant: "demo", Kind: "dns", After: "050000", Limit: 100},
			"match":  {Tenant: "demo", Kind: "dns", Match: "4999", Limit: 100},
			"type":   {Tenant: "demo", Kind: "dns", Type: "extension", After: "050000", Limit: 100},
			"all":    {Kind: "dns", After: "demo/050000", Limit: 100},
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					s.counts = countCache{} // the first page after a change
					if p, err := s.List(b.Context(), q); err != nil || len(p.Resources) == 0 {
						b.Fatal(len(p.Resources), err)
					}
				}
			})
		}
	})
}
