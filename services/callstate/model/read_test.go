package model

import (
	"runtime"
	"testing"
	"time"
)

func FuzzRead(f *testing.F) {
	w := newWorld(1)
	for range 20 {
		w.act()
	}
	for _, e := range w.out {
		f.Add(e.AppendJSON(nil))
	}
	f.Add([]byte(`{"id":"EventRinging","ThisDN":"1","ConnID":"1","CallUUID":"1","CallThreadID":"1","tenant":"t","node":"n","seq":18446744073709551615,"time":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"UserData":{"a":1.5}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Read(data)
		if err != nil {
			return
		}
		again, err := Read(e.AppendJSON(nil))
		if err != nil || again.CallUUID != e.CallUUID || again.Seq != e.Seq {
			t.Fatalf("%+v is read as %+v, %v", e, again, err)
		}
		// Whatever it says, the model takes it, and forgets it in time.
		r := newRig()
		r.give(e, again)
		r.pass(defaultPatience)
		r.pass(defaultPatience)
		if _, total := r.Find(Query{Tenant: e.Tenant, DN: e.ThisDN, Limit: 1}); total > 0 {
			for range 2 {
				r.Deny(e.CallUUID, e.Node, NoDialog, 0, "")
			}
		}
		r.pass(2 * defaultKeep)
		r.pass(2 * time.Second)
		r.wantEmpty(t)
	})
}

func BenchmarkApply(b *testing.B) {
	w := newWorld(1)
	for range 20_000 {
		w.talk()
		w.hangUp(w.calls[len(w.calls)-1])
	}
	var raw [][]byte
	for _, e := range w.out {
		raw = append(raw, e.AppendJSON(nil))
	}
	b.ReportAllocs()
	b.ResetTimer()
	r, n := newRig(), 0
	for b.Loop() {
		if n == len(raw) {
			r, n = newRig(), 0
		}
		e, err := Read(raw[n])
		if err != nil {
			b.Fatal(err)
		}
		n++
		r.Apply(e, uint64(n), epoch)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkMemory tells what a standing call with two parties and a little user data costs.
func BenchmarkMemory(b *testing.B) {
	const calls = 5_000
	for b.Loop() {
		w := newWorld(1)
		for range calls {
			w.change(w.talk())
		}
		var raw [][]byte
		for _, e := range w.out {
			raw = append(raw, e.AppendJSON(nil))
		}
		w = nil
		before := heap()
		r := newRig()
		for i, data := range raw {
			e, err := Read(data)
			if err != nil {
				b.Fatal(err)
			}
			r.Apply(e, uint64(i+1), epoch)
		}
		b.ReportMetric(float64(heap()-before)/calls, "B/call")
		runtime.KeepAlive(raw)
		if n, _ := r.Count(); n != calls {
			b.Fatalf("%d calls", n)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
