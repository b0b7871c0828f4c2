package config

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"parley/internal/contract"
	"parley/internal/voice"
)

func manyExtensions(n int) []byte {
	var b strings.Builder
	b.WriteString("tenants:\n  - name: demo\n    domains: [demo.local]\n    default: true\n    dns:\n")
	for i := range n {
		fmt.Fprintf(&b, "      - {number: \"%06d\", type: extension, name: Extension %d, password: s3cret-%d}\n", i, i, i)
	}
	return []byte(b.String())
}

// BenchmarkApply10k is a provisioning file with 10,000 new extensions, from YAML to disk, digests included; "again" is
// the same file once more, which changes nothing.
func BenchmarkApply10k(b *testing.B) {
	text := manyExtensions(10_000)
	for _, kind := range []string{"sqlite", "postgres"} {
		apply := func(b *testing.B, s *rig) {
			if _, err := s.Apply(context.Background(), contract.ConfigApplyRequest{YAML: text}); err != nil {
				b.Fatal(readable(err))
			}
		}
		fresh := func(b *testing.B) *rig {
			o := rigOptions{idle: true}
			if kind == "postgres" {
				o.dsn = postgres.Database(b)
			}
			return start(b, o)
		}
		b.Run(kind+"/new", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s := fresh(b)
				b.StartTimer()
				apply(b, s)
			}
		})
		b.Run(kind+"/again", func(b *testing.B) {
			s := fresh(b)
			apply(b, s)
			for b.Loop() {
				apply(b, s)
			}
		})
	}
}

// BenchmarkListPage100k is one page of a hundred from the middle of 100,000 numbers, without secrets.
func BenchmarkListPage100k(b *testing.B) {
	s := start(b, rigOptions{idle: true})
	for i := range 10 {
		text := strings.ReplaceAll(string(manyExtensions(10_000)), `number: "0`, fmt.Sprintf(`number: "%d`, i))
		if _, err := s.Apply(context.Background(), contract.ConfigApplyRequest{YAML: []byte(text)}); err != nil {
			b.Fatal(readable(err))
		}
	}
	runtime.GC()
	for name, req := range map[string]contract.ConfigListRequest{
		"page":  {Tenant: "demo", Kind: voice.KindDN, After: "505000"},
		"match": {Tenant: "demo", Kind: voice.KindDN, Match: "Extension 77"},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if res, err := s.List(context.Background(), req); err != nil || len(res.Resources) == 0 {
					b.Fatal(len(res.Resources), err)
				}
			}
		})
	}
}
