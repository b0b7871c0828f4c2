package cdr

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/obs"
	"parley/internal/store/cdrs"
	"parley/internal/voice"
)

func TestRecordsReachTheTable(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *cdrs.Store) {
		f := fabrictest.New(t)
		store := open()
		publishCalls(t, f, 0, 450) // before anybody listens
		n := start(t, f, store, nil)
		eventually(t, func() error { return holds(t, store, 450) })
		publishCalls(t, f, 450, 500)
		eventually(t, func() error { return holds(t, store, 500) })
		eventually(t, func() error {
			if w := n.metric("parley_cdr_waiting"); w != 0 {
				return fmt.Errorf("parley_cdr_waiting = %v, want 0", w)
			}
			return nil
		})
		for name, want := range map[string]float64{
			"parley_cdr_stored_total": 500, "parley_cdr_repeated_total": 0, "parley_cdr_rejected_total": 0, "parley_cdr_store_failures_total": 0,
			"parley_cdr_store_lag_seconds": 500, "parley_cdr_health_level": float64(obs.LevelPass),
		} {
			if got := n.metric(name); got != want {
				t.Errorf("%s = %v, want %v", name, got, want)
			}
		}
		page, err := fabric.Call(t.Context(), f, contract.CDRs, contract.CDRQuery{Tenant: "demo", Limit: 1})
		if err != nil || len(page.Records) != 1 || page.Records[0] != record(499) || page.Next == "" {
			t.Errorf("the door lists %+v, %v, want the newest\n%+v", page, err, record(499))
		}
		if r, err := fabric.Call(t.Context(), f, contract.CDRGet, contract.CDRKey{Tenant: "demo", CallUUID: record(3).CallUUID}); err != nil || r != record(3) {
			t.Errorf("the door gets %+v, %v", r, err)
		}
		if _, err := fabric.Call(t.Context(), f, contract.CDRs, contract.CDRQuery{}); !errors.Is(err, voice.ErrInvalid) {
			t.Errorf("a question without a tenant = %v, want ErrInvalid", err)
		}
	})
}

func TestMetricNames(t *testing.T) {
	n := start(t, fabrictest.New(t), openStore(t, "", t.TempDir()), nil)
	problems, err := testutil.GatherAndLint(n.reg, "parley_cdr_stored_total", "parley_cdr_repeated_total", "parley_cdr_rejected_total", "parley_cdr_store_failures_total",
		"parley_cdr_expired_total", "parley_cdr_stream_trimmed_total", "parley_cdr_store_lag_seconds", "parley_cdr_waiting", "parley_cdr_health_level")
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// table that does something before or after an insert.
type meddling struct {
	*cdrs.Store
	before, after func() error
}

func (m *meddling) Insert(ctx context.Context, records []voice.CDR) (int64, error) {
	if m.before != nil {
		if err := m.before(); err != nil {
			return 0, err
		}
	}
	n, err := m.Store.Insert(ctx, records)
	if err == nil && m.after != nil {
		err = m.after()
	}
	return n, err
}

// way leads to a server, until it is cut.
type way struct {
	*fabrictest.NATS
	mu    sync.Mutex // guards what follows
	conns []net.Conn
	isCut bool
}

func (w *way) InProcessConn() (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isCut {
		return nil, errors.New("the way is cut")
	}
	c, err := w.NATS.InProcessConn()
	w.conns = append(w.conns, c)
	return c, err
}

func (w *way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = true
	for _, c := range w.conns {
		c.Close()
	}
}

// TestKillBetweenCommitAndConfirmation: a node writes a batch and is gone before the stream hears of it. The next one
// gets the batch again.
func TestKillBetweenCommitAndConfirmation(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *cdrs.Store) {
		srv := fabrictest.Server(t, t.TempDir())
		dying := &way{NATS: srv}
		f := fabrictest.Connect(t, dying, "n1")
		publishCalls(t, f, 0, 300)
		store := open()
		committed := make(chan struct{})
		var once sync.Once
		first := start(t, f, &meddling{Store: store, after: func() error {
			once.Do(func() { dying.cut(); close(committed) })
			return nil
		}}, nil)
		select {
		case <-committed:
		case <-time.After(patience):
			t.Fatal("nothing was written")
		}
		first.stop()
		written := first.metric("parley_cdr_stored_total")

		second := start(t, fabrictest.Connect(t, srv, "n1"), open(), nil)
		eventually(t, func() error { return holds(t, store, 300) })
		eventually(t, func() error {
			if got := second.metric("parley_cdr_repeated_total"); got != written || written == 0 {
				return fmt.Errorf("%v records came again, want the %v of the first batch", got, written)
			}
			return nil
		})
		if got := second.metric("parley_cdr_stored_total"); got != 300-written {
			t.Errorf("the second wrote %v, want %v", got, 300-written)
		}
	})
}

// TestStopInTheMiddle ends the service while a batch is being written: it is committed and confirmed.
func TestStopInTheMiddle(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *cdrs.Store) {
		f := fabrictest.New(t)
		store := open()
		publishCalls(t, f, 0, 100)
		writing, stopping := make(chan struct{}), make(chan struct{})
		var once sync.Once
		first := start(t, f, &meddling{Store: store, before: func() error {
			once.Do(func() { close(writing); <-stopping })
			return nil
		}}, nil)
		select {
		case <-writing:
		case <-time.After(patience):
			t.Fatal("nothing was written")
		}
		done := make(chan struct{})
		go func() { first.stop(); close(done) }()
		close(stopping)
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatal("the service does not end")
		}
		second := start(t, f, open(), nil)
		eventually(t, func() error { return holds(t, store, 100) })
		if got := second.metric("parley_cdr_repeated_total"); got != 0 {
			t.Errorf("%v records came again after an orderly stop", got)
		}
	})
}

func TestDatabaseAwayForAWhile(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *cdrs.Store) {
		f := fabrictest.New(t)
		store := open()
		var mu sync.Mutex
		away := true
		n := start(t, f, &meddling{Store: store, before: func() error {
			mu.Lock()
			defer mu.Unlock()
			if away {
				return voice.ErrUnavailable
			}
			return nil
		}}, nil)
		publishCalls(t, f, 0, 50)
		eventually(t, func() error {
			level, checks := n.health.Report()
			if level != obs.LevelFail || n.metric("parley_cdr_waiting") != 50 || n.metric("parley_cdr_store_failures_total") < 1 {
				return fmt.Errorf("health %v %v, %v waiting, %v failures; want a failed check and 50 waiting", level, checks,
					n.metric("parley_cdr_waiting"), n.metric("parley_cdr_store_failures_total"))
			}
			return nil
		})
		mu.Lock()
		away = false
		mu.Unlock()
		eventually(t, func() error { return holds(t, store, 50) })
		eventually(t, func() error {
			if level, checks := n.health.Report(); level != obs.LevelPass {
				return fmt.Errorf("health %v %v after the database is back", level, checks)
			}
			return nil
		})
		if got := n.metric("parley_cdr_stored_total"); got != 50 {
			t.Errorf("parley_cdr_stored_total = %v, want 50", got)
		}
	})
}

func TestWhatIsNoRecordDoesNotHoldUpOthers(t *testing.T) {
	f := fabrictest.New(t)
	store := openStore(t, "", t.TempDir())
	n := start(t, f, store, nil)
	publish(t, f, []byte("{not JSON"), "a")
	publish(t, f, voice.CDR{Tenant: "demo", Start: epoch}, "b")
	publish(t, f, []byte(`{"call_uuid":"c","tenant":"demo","start":"yesterday"}`), "c")
	publish(t, f, []byte(`{"call_uuid":"d","tenant":"demo","talk_ns":"long"}`), "d")
	publishCalls(t, f, 0, 3)
	eventually(t, func() error { return holds(t, store, 3) })
	eventually(t, func() error {
		if got := n.metric("parley_cdr_rejected_total"); got != 4 {
			return fmt.Errorf("%v rejected, want 4", got)
		}
		return nil
	})
	eventually(t, func() error {
		b, err := f.Backlog(context.Background(), fabric.StreamCDR, n.place.Name)
		if err == nil && b != (fabric.Backlog{}) {
			err = fmt.Errorf("backlog %+v: what is no record was not confirmed", b)
		}
		return err
	})
}

// TestNodesTogether: on PostgreSQL two nodes share the work, on SQLite each has all records.
func TestNodesTogether(t *testing.T) {
	srv := fabrictest.Server(t, t.TempDir())
	a, b := fabrictest.Connect(t, srv, "a"), fabrictest.Connect(t, srv, "node b.example")
	t.Run("postgres", func(t *testing.T) {
		dsn := postgres.Database(t)
		one, two := openStore(t, dsn, ""), openStore(t, dsn, "")
		na, nb := start(t, a, one, nil), start(t, b, two, nil)
		publishCalls(t, a, 0, 500)
		eventually(t, func() error { return holds(t, one, 500) })
		eventually(t, func() error {
			if sum := na.metric("parley_cdr_stored_total") + nb.metric("parley_cdr_stored_total"); sum != 500 {
				return fmt.Errorf("both wrote %v, want 500", sum)
			}
			return nil
		})
		if r := na.metric("parley_cdr_repeated_total") + nb.metric("parley_cdr_repeated_total"); r != 0 {
			t.Errorf("%v records were written by both", r)
		}
	})
	t.Run("sqlite", func(t *testing.T) {
		one, two := openStore(t, "", t.TempDir()), openStore(t, "", t.TempDir())
		start(t, a, one, nil)
		start(t, b, two, nil)
		eventually(t, func() error { return errors.Join(holds(t, one, 500), holds(t, two, 500)) })
	})
}

func TestOldRecordsAreDeleted(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *cdrs.Store) {
		store := open()
		var records []voice.CDR
		for i := range 1200 {
			r := record(i)
			r.Start = epoch.AddDate(0, 0, -91)
			if i >= 1100 {
				r.Start = epoch.AddDate(0, 0, -88)
			}
			records = append(records, r)
		}
		if _, err := store.Insert(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		forever := start(t, fabrictest.New(t), store, func(s *Service) { s.cfg.RetentionDays = 0 })
		forever.expire(t.Context()) // returns at once
		forever.stop()
		n := start(t, fabrictest.New(t), store, nil)
		eventually(t, func() error {
			if got := n.metric("parley_cdr_expired_total"); got != 1100 {
				return fmt.Errorf("parley_cdr_expired_total = %v, want 1100", got)
			}
			return nil
		})
		p, err := store.List(t.Context(), cdrs.Query{Tenant: "demo", Limit: 1000})
		if err != nil || len(p.Records) != 100 {
			t.Errorf("%d records are left, %v, want 100", len(p.Records), err)
		}
	})
}

func TestPlacesOfNodesDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, node := range []string{"a", "a.b", "a-b", "a_b", "A", "ä", "", strings.Repeat("a", 80), strings.Repeat("a", 81)} {
		p := placeOf(node)
		if other, taken := seen[p]; taken || len(p) > 48 {
			t.Errorf("nodes %q and %q have the place %q", node, other, p)
		}
		seen[p] = node
	}
}

func TestConfigReportsEverything(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	err := Config{RetentionDays: -1, Batch: 0, Linger: time.Minute}.Validate()
	for _, key := range []string{"cdr.retention_days: ", "cdr.batch: ", "cdr.linger: "} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("Validate = %v, want %s in it", err, key)
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Error("New without anything succeeded")
	}
	f, store := fabrictest.New(t), openStore(t, "", t.TempDir())
	if _, err := New(Options{Fabric: f, Store: store}); err == nil || !strings.Contains(err.Error(), "cdr.batch") {
		t.Errorf("New with a zero Config = %v", err)
	}
	if _, err := New(Options{Fabric: f, Store: store, Config: DefaultConfig()}); err != nil {
		t.Errorf("New = %v", err)
	}
}
