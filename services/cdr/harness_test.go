package cdr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/fabric"
	"parley/internal/httpapi/apitest"
	"parley/internal/obs"
	"parley/internal/store/cdrs"
	"parley/internal/store/pgtest"
	"parley/internal/voice"
)

var postgres pgtest.Server

func TestMain(m *testing.M) { postgres.Main(m, apitest.Clock()) }

const patience = 15 * time.Second // for what happens on other goroutines

// eventually polls until ok returns nil, and fails with its last error.
func eventually(t testing.TB, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-tick.C
	}
}

// onBoth runs a test with each database. open opens it once more, as another node would.
func onBoth(t *testing.T, test func(t *testing.T, open func() *cdrs.Store)) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			dsn, dir := "", t.TempDir()
			if kind == "postgres" {
				dsn = postgres.Database(t)
			}
			test(t, func() *cdrs.Store { return openStore(t, dsn, dir) })
		})
	}
}

func openStore(t testing.TB, dsn, dir string) *cdrs.Store {
	t.Helper()
	s, err := cdrs.Open(t.Context(), dsn, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// node is a service that runs.
type node struct {
	*Service
	reg  *prometheus.Registry
	stop func() // waits until it has ended
}

// start runs a service on f and store until the test ends. change may be nil.
func start(t testing.TB, f *fabric.Fabric, store table, change func(*Service)) *node {
	t.Helper()
	n := &node{reg: prometheus.NewRegistry()}
	cfg := DefaultConfig()
	cfg.Linger = 20 * time.Millisecond
	svc, err := build(Options{Fabric: f, Config: cfg, Registry: n.reg, Health: obs.NewHealth(), Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))}, store)
	if err != nil {
		t.Fatal(err)
	}
	svc.place.Patience, svc.tick = time.Second, 50*time.Millisecond
	if change != nil {
		change(svc)
	}
	n.Service = svc
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := svc.Run(ctx); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	n.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(n.stop)
	return n
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// metric reads one value of a metric without labels; -1 when it is absent.
func (n *node) metric(name string) float64 {
	families, err := n.reg.Gather()
	if err != nil {
		return -1
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return -1
}

var epoch = time.Now().UTC().Add(-24 * time.Hour).Truncate(time.Second)

// record is call number i, which began i seconds after epoch.
func record(i int) voice.CDR {
	begun := epoch.Add(time.Duration(i) * time.Second)
	r := voice.CDR{
		CallUUID: fmt.Sprintf("call-%06d", i), ThreadID: "thread", Tenant: "demo", Node: "n1", Type: voice.CallInternal, Caller: fmt.Sprint(1000 + i%10),
		Dialled: fmt.Sprint(2000 + i%10), Start: begun, End: begun.Add(time.Minute), Outcome: voice.OutcomeAnswered, Status: 200, EndedBy: "caller", Events: 6,
	}
	r.Ringing, r.Answer = begun.Add(time.Second), begun.Add(time.Duration(2)*time.Second)
	r.Talk = r.End.Sub(r.Answer)
	return r
}

func publish(t testing.TB, f *fabric.Fabric, payload any, call string) {
	t.Helper()
	if err := f.Publish(fabric.Event{Subject: fabric.Subject("cdr", "demo", call), MsgID: call, Payload: payload}); err != nil {
		t.Fatal(err)
	}
}

// publishCalls publishes the records of the calls from to to-1 and waits until the stream has them.
func publishCalls(t testing.TB, f *fabric.Fabric, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		publish(t, f, record(i), record(i).CallUUID)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := f.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// holds says what is wrong when store does not hold the calls 0 to n-1, each once.
func holds(t testing.TB, store *cdrs.Store, n int) error {
	t.Helper()
	seen := map[string]int{}
	q := cdrs.Query{Tenant: "demo", Limit: cdrs.MaxPage}
	for {
		p, err := store.List(context.Background(), q)
		if err != nil {
			return err
		}
		for _, r := range p.Records {
			seen[r.CallUUID]++
		}
		if q.After = p.Next; q.After == "" {
			break
		}
	}
	var errs []error
	if len(seen) != n {
		errs = append(errs, fmt.Errorf("%d records, want %d", len(seen), n))
	}
	for i := range n {
		if c := record(i).CallUUID; seen[c] != 1 {
			errs = append(errs, fmt.Errorf("%s is there %d times", c, seen[c]))
		}
	}
	return errors.Join(errs...)
}
