package cdrs

import (
	"fmt"
	"testing"
	"time"

	"parley/internal/voice"
)

func benchBoth(b *testing.B, bench func(b *testing.B, open func() *Store)) {
	both(b, func(name string, bench func(*testing.B)) { b.Run(name, bench) }, bench)
}

// busy is call i of a house with 10,000 numbers and a call every 50 ms; one in a thousand fails.
func busy(i int) voice.CDR {
	r := record(0)
	r.CallUUID = fmt.Sprintf("%016x", uint64(i)*0x9E3779B97F4A7C15) // as good as random, but the same each time
	r.Start = epoch.Add(time.Duration(i) * 50 * time.Millisecond)
	r.Ringing, r.Answer, r.End = r.Start.Add(time.Second), r.Start.Add(4*time.Second), r.Start.Add(time.Minute)
	r.Talk = time.Duration(i%600) * time.Second
	r.Caller, r.Dialled, r.Answered = fmt.Sprintf("1%04d", i*7919%10000), fmt.Sprintf("+4930%07d", i*104729%10000), fmt.Sprint(i%500)
	if i%1000 == 0 {
		r.Outcome = voice.OutcomeFailed
	}
	return r
}

// BenchmarkInsert200 writes batches of 200 into a table that has some already.
func BenchmarkInsert200(b *testing.B) {
	benchBoth(b, func(b *testing.B, open func() *Store) {
		s := open()
		n := 0
		batch := make([]voice.CDR, 200)
		next := func() {
			for i := range batch {
				batch[i] = busy(n)
				n++
			}
			insert(b, s, 200, batch...)
		}
		for range 100 {
			next()
		}
		for b.Loop() {
			next()
		}
		b.ReportMetric(float64(b.N*200)/b.Elapsed().Seconds(), "records/s")
	})
}

// BenchmarkPageOfMillion asks a table of 1,000,000 records the questions of the page.
func BenchmarkPageOfMillion(b *testing.B) {
	const million = 1_000_000
	benchBoth(b, func(b *testing.B, open func() *Store) {
		s := open()
		batch := make([]voice.CDR, 10_000)
		for at := 0; at < million; at += len(batch) {
			for i := range batch {
				batch[i] = busy(at + i)
			}
			insert(b, s, int64(len(batch)), batch...)
		}
		if s.Shared() {
			if _, err := s.db.Write.ExecContext(b.Context(), "VACUUM ANALYZE cdrs"); err != nil { // autovacuum does it in its time
				b.Fatal(err)
			}
		}
		middle := cursorOf(&voice.CDR{Start: busy(million / 2).Start, CallUUID: "8"})
		for _, c := range []struct {
			name string
			q    Query
		}{
			{"newest", Query{}},
			{"middle", Query{After: middle}},
			{"caller", Query{Caller: busy(4711).Caller}},
			{"dialled-of-nobody", Query{Dialled: "nobody"}},
			{"outcome-rare", Query{Outcome: voice.OutcomeFailed}},
			{"outcome-of-nothing", Query{Outcome: voice.OutcomeBusy}},
			{"day", Query{From: epoch.Add(time.Hour), Until: epoch.Add(2 * time.Hour)}},
			{"text-frequent", Query{Text: "99"}},
			{"text-rare", Query{Text: busy(4711).Dialled}},
			{"text-nothing", Query{Text: "nobody has this"}},
			{"talk-longest", Query{MinTalk: 599 * time.Second}},
		} {
			b.Run(c.name, func(b *testing.B) {
				c.q.Tenant, c.q.Limit = "demo", 50
				for b.Loop() {
					if _, err := s.List(b.Context(), c.q); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}
