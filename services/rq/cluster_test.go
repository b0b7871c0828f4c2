package rq

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/internal/fabric"
	"parley/internal/porttest"
	"parley/internal/voice"
)

const clusterTime = time.Minute

// testNode is one node of a cluster under test.
type testNode struct {
	rq     *Service
	fabric *fabric.Fabric
}

func (n *testNode) stop(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.fabric.Close(ctx); err != nil {
		t.Logf("close: %v", err)
	}
	n.rq.Stop()
}

// startCluster starts three nodes at once, as three machines would.
func startCluster(t testing.TB) []*testNode {
	t.Helper()
	dir := t.TempDir()
	addrs := porttest.TCP(t, 3)
	nodes := make([]*testNode, 3)
	ctx, cancel := context.WithTimeout(t.Context(), clusterTime)
	defer cancel()
	start := time.Now()
	var g errgroup.Group
	for i := range nodes {
		cfg := DefaultConfig()
		cfg.Node = fmt.Sprintf("n%d", i+1)
		cfg.StoreDir = filepath.Join(dir, cfg.Node)
		cfg.ClusterName, cfg.ClusterListen = "test", addrs[i]
		cfg.User, cfg.Password = "parley", "s3cret, with a comma"
		for j, a := range addrs {
			if j != i {
				cfg.Routes = append(cfg.Routes, a)
			}
		}
		s, err := New(cfg, nil, testLog(t).With("n", i))
		if err != nil {
			t.Fatal(err)
		}
		nodes[i] = &testNode{rq: s}
		g.Go(func() (err error) {
			if err := s.Start(ctx); err != nil {
				return err
			}
			if err := s.WaitReady(ctx); err != nil {
				return err
			}
			nodes[i].fabric, err = fabric.Connect(ctx, fabric.Options{Node: cfg.Node, Server: s, Replicas: 3, Log: testLog(t).With("n", i)})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("cluster usable after %v", time.Since(start))
	return nodes
}

// TestCluster starts three nodes in this process and uses them up: starting them is what takes time.
func TestCluster(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t)
	t.Run("bucket", func(t *testing.T) { clusterBucket(t, nodes) })
	t.Run("leader", func(t *testing.T) { clusterLosesLeader(t, nodes) })
}

// clusterLosesLeader writes from all nodes while the leader of the streams goes down: writes go on, and
// everything that was acknowledged is there afterwards, once and in order.
func clusterLosesLeader(t *testing.T, nodes []*testNode) {
	ctx, cancel := context.WithTimeout(t.Context(), clusterTime)
	defer cancel()

	victim := 0
	for i, n := range nodes {
		if n.rq.running().JetStreamIsLeader() {
			victim = i
		}
	}
	var acked sync.Map // call number -> stream sequence
	var count, failed atomic.Int64
	writing, stopWriting := context.WithCancel(ctx)
	var writers sync.WaitGroup
	var next atomic.Int64
	for i, n := range nodes {
		for range 4 {
			writers.Go(func() {
				for writing.Err() == nil {
					id := next.Add(1)
					seq, err := n.fabric.PublishSync(writing, fabric.Event{
						Subject: fabric.Subject("cdr", "demo", fmt.Sprint(id)), Payload: map[string]int64{"id": id}})
					switch {
					case err == nil:
						acked.Store(id, seq)
						count.Add(1)
					case errors.Is(err, voice.ErrUnavailable) && i == victim:
						return // its node is gone
					case writing.Err() == nil:
						failed.Add(1)
						t.Errorf("write on n%d: %v", i+1, err)
					}
				}
			})
		}
	}
	reached := func(n int64) {
		t.Helper()
		for count.Load() < n {
			select {
			case <-ctx.Done():
				t.Fatalf("only %d writes", count.Load())
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	reached(500)
	before := count.Load()
	down := time.Now()
	nodes[victim].stop(t)
	reached(count.Load() + 500)
	t.Logf("n%d stopped after %d writes; 500 more took %v", victim+1, before, time.Since(down))
	stopWriting()
	writers.Wait()

	survivor := nodes[(victim+1)%3]
	seen := map[string]uint64{}
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	want := int(count.Load())
	found := 0
	err := survivor.fabric.Subscribe(reading, fabric.StreamCDR, "", fabric.From{}, func(m fabric.Message) {
		id := m.Subject[2]
		if first, twice := seen[id]; twice {
			t.Errorf("record %s is stored twice, at %d and %d", id, first, m.Seq)
		}
		seen[id] = m.Seq
		var n int64
		if _, err := fmt.Sscan(id, &n); err != nil {
			t.Error(err)
		}
		if seq, ok := acked.Load(n); ok {
			found++
			if seq != m.Seq {
				t.Errorf("record %s was acknowledged as %v and is %d", id, seq, m.Seq)
			}
		}
		if found == want {
			stopReading()
		}
	})
	if err != nil || found != want {
		t.Errorf("%d of %d acknowledged records found, %v", found, want, err)
	}
	for i, n := range nodes {
		if i != victim { // before the first of them stops: one alone can store nothing
			if err := n.fabric.Flush(ctx); err != nil {
				t.Error(err)
			}
		}
	}
	for i, n := range nodes {
		if i != victim {
			n.stop(t)
		}
	}
}

// clusterBucket checks that revisions, compare-and-set, expiry and watches mean the same on every node.
func clusterBucket(t *testing.T, nodes []*testNode) {
	ctx, cancel := context.WithTimeout(t.Context(), clusterTime)
	defer cancel()
	key := fabric.Key("demo", "counter")

	type seen struct {
		node  int
		entry fabric.Entry
	}
	events := make(chan seen, 1000)
	var watches sync.WaitGroup
	watching, stopWatching := context.WithCancel(ctx)
	for i, n := range nodes {
		watches.Go(func() {
			if err := n.fabric.Bucket(fabric.BucketAgents).Watch(watching, "demo", func(e fabric.Entry) { events <- seen{i, e} }, nil); err != nil {
				t.Error(err)
			}
		})
	}

	const rounds = 20
	var g errgroup.Group
	for _, n := range nodes {
		b := n.fabric.Bucket(fabric.BucketAgents)
		g.Go(func() error {
			for range rounds {
				if err := increment(ctx, b, key); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	e, err := nodes[0].fabric.Bucket(fabric.BucketAgents).Get(ctx, key)
	if err != nil || string(e.Value) != fmt.Sprint(3*rounds) {
		t.Errorf("counter = %q, %v, want %d", e.Value, err, 3*rounds)
	}
	if _, err := nodes[1].fabric.Bucket(fabric.BucketAgents).Put(ctx, key, []byte("bye"), fabric.PutOptions{TTL: time.Second}); err != nil {
		t.Fatal(err)
	}
	expired := map[int]bool{}
	for len(expired) < 3 {
		select {
		case s := <-events:
			if s.entry.Op == fabric.EntryExpire {
				expired[s.node] = true
			}
		case <-ctx.Done():
			t.Fatalf("expiry seen by %v only", expired)
		}
	}
	stopWatching()
	watches.Wait()
}

// increment is a compare-and-set loop.
func increment(ctx context.Context, b *fabric.Bucket, key string) error {
	for {
		var n int
		e, err := b.Get(ctx, key)
		switch {
		case errors.Is(err, voice.ErrNotFound):
		case err != nil:
			return err
		default:
			if _, err := fmt.Sscan(string(e.Value), &n); err != nil {
				return err
			}
		}
		_, err = b.Put(ctx, key, []byte(fmt.Sprint(n+1)), fabric.PutOptions{CAS: true, Revision: e.Revision})
		if !errors.Is(err, voice.ErrConflict) {
			return err
		}
	}
}
