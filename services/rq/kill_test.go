package rq

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/fabric"
	"parley/internal/porttest"
	"parley/internal/voice"
)

// childEnv makes the test binary a node that a test can kill: its value is the node's Config in JSON.
const childEnv = "PARLEY_TEST_NODE"

func TestMain(m *testing.M) {
	if cfg := os.Getenv(childEnv); cfg != "" {
		if err := child(cfg); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child runs a node until it is killed. Alone it writes as fast as it can and prints what was acknowledged; in a
// cluster it prints where it listens and when it becomes the leader.
func child(config string) error {
	var cfg Config
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return err
	}
	s, err := New(cfg, nil, nil)
	if err != nil {
		return err
	}
	if err := s.Start(context.Background()); err != nil {
		return err
	}
	if !cfg.Clustered() {
		return childWrites(s, cfg.Node)
	}
	fmt.Println("listen", s.Address())
	leader := false
	for range time.Tick(10 * time.Millisecond) {
		if now := s.running().JetStreamIsLeader(); now != leader {
			leader = now
			fmt.Println("leader", now)
		}
	}
	return nil
}

func childWrites(s *Service, node string) error {
	ctx := context.Background()
	f, err := fabric.Connect(ctx, fabric.Options{Node: node, Server: s})
	if err != nil {
		return err
	}
	bucket := f.Bucket(fabric.BucketRegistrations)
	failed := make(chan error)
	var next atomic.Int64
	for range 8 {
		go func() {
			for {
				n := next.Add(1)
				seq, err := f.PublishSync(ctx, fabric.Event{Subject: fabric.Subject("cdr", "demo", fmt.Sprint(n)), Payload: n})
				if err != nil {
					failed <- err
				}
				fmt.Println("cdr", n, seq)
				rev, err := bucket.Put(ctx, fmt.Sprint(n), nil, fabric.PutOptions{TTL: time.Hour})
				if err != nil {
					failed <- err
				}
				fmt.Println("put", n, rev)
				fmt.Println("again", n, 0) // from here on it may have changed, acknowledged or not
				if n%2 == 0 {
					if rev, err = bucket.Put(ctx, fmt.Sprint(n), nil, fabric.PutOptions{TTL: time.Hour, CAS: true, Revision: rev}); err != nil {
						failed <- err
					}
					fmt.Println("put", n, rev)
					continue
				}
				if err := bucket.Delete(ctx, fmt.Sprint(n), fabric.PutOptions{}); err != nil {
					failed <- err
				}
				fmt.Println("deleted", n, 0)
			}
		}()
	}
	return <-failed
}

// process is a child and what it printed.
type process struct {
	cmd   *exec.Cmd
	lines chan string   // closed when it has ended
	read  chan struct{} // closed when all it printed is in lines
}

func startProcess(t testing.TB, cfg Config) *process {
	t.Helper()
	config, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(self), lines: make(chan string, 1<<20), read: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(config))
	p.cmd.Stderr = writer{t}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.read)
		defer close(p.lines)
		in := bufio.NewReader(out)
		for {
			line, err := in.ReadString('\n')
			if err != nil { // the end; a line that the kill cut was not acknowledged to anybody
				return
			}
			p.lines <- strings.TrimSpace(line)
		}
	}()
	t.Cleanup(p.kill)
	return p
}

// kill is kill -9; it may be called again.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it has ended
	<-p.read
	_ = p.cmd.Wait() // says "killed"
}

// keyState is what a child has said of a key.
type keyState struct {
	rev     uint64 // of the last acknowledged put
	deleted bool   // acknowledged
	open    bool   // a change was under way
}

// holds tells whether a read after the restart agrees with what was acknowledged.
func (s keyState) holds(e fabric.Entry, err error) bool {
	switch gone := errors.Is(err, voice.ErrNotFound); {
	case s.deleted:
		return gone
	case s.open:
		return gone || err == nil && e.Revision >= s.rev
	default:
		return err == nil && e.Revision == s.rev
	}
}

// TestKillNine kills a writing node with SIGKILL: every record, put and deletion that was acknowledged is there after
// the restart.
func TestKillNine(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Node, cfg.StoreDir = "n1", t.TempDir()
	p := startProcess(t, cfg)
	records, keys := map[string]uint64{}, map[string]keyState{}
	killed := false
	for line := range p.lines {
		var what, n string
		var seq uint64
		if _, err := fmt.Sscan(line, &what, &n, &seq); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		switch what {
		case "cdr":
			records[n] = seq
		case "put":
			keys[n] = keyState{rev: seq}
		case "again":
			keys[n] = keyState{rev: keys[n].rev, open: true}
		case "deleted":
			keys[n] = keyState{deleted: true}
		default:
			t.Fatalf("the child says %q", line)
		}
		if len(records) > 1000 && !killed {
			killed = true
			go p.kill()
		}
	}
	if !killed {
		t.Fatal("the child ended by itself")
	}

	s, err := New(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), clusterTime)
	defer cancel()
	start := time.Now()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	f, err := fabric.Connect(ctx, fabric.Options{Node: "n1", Server: s})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("usable %v after the restart", time.Since(start))
	open := 0
	for n, s := range keys {
		e, err := f.Bucket(fabric.BucketRegistrations).Get(ctx, n)
		if !s.holds(e, err) {
			t.Errorf("key %s: acknowledged %+v, found revision %d, %v", n, s, e.Revision, err)
		}
		if s.open {
			open++
		}
	}
	if open > 8 { // one a writer
		t.Errorf("%d changes were under way", open)
	}
	t.Logf("%d records and %d keys acknowledged", len(records), len(keys))
	verify(ctx, t, f, records)
	if err := f.Close(ctx); err != nil {
		t.Error(err)
	}
}

// verify finds every acknowledged record in CDR, under the sequence it was acknowledged with, and once.
func verify(ctx context.Context, t testing.TB, f *fabric.Fabric, want map[string]uint64) {
	t.Helper()
	last := slices.Max(slices.Collect(maps.Values(want)))
	missing := maps.Clone(want)
	seen := map[string]bool{}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	err := f.Subscribe(ctx, fabric.StreamCDR, "", fabric.From{}, func(m fabric.Message) {
		n := m.Subject[2]
		if seen[n] {
			t.Errorf("record %s is stored twice", n)
		}
		seen[n] = true
		if want[n] == m.Seq {
			delete(missing, n)
		}
		if m.Seq >= last {
			stop()
		}
	})
	if err != nil || len(missing) > 0 {
		t.Errorf("%d of %d acknowledged records are lost: %v, %v", len(missing), len(want), missing, err)
	}
}

// TestKillNineCluster kills the leader of a cluster of three processes with SIGKILL while others write, and then all of
// them at once: what was acknowledged is there each time.
func TestKillNineCluster(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addrs := porttest.TCP(t, 6)
	nodes := make([]Config, 3)
	procs := make([]*process, 3)
	var urls []string
	for i := range nodes {
		cfg := DefaultConfig()
		cfg.Node = "n" + strconv.Itoa(i+1)
		cfg.StoreDir = filepath.Join(dir, cfg.Node)
		cfg.Listen, cfg.ClusterName, cfg.ClusterListen = addrs[3+i], "test", addrs[i]
		cfg.User, cfg.Password = "parley", "s3cret"
		for j := range nodes {
			if j != i {
				cfg.Routes = append(cfg.Routes, addrs[j])
			}
		}
		urls = append(urls, "nats://"+cfg.Listen)
		nodes[i] = cfg
		procs[i] = startProcess(t, cfg)
		if line := <-procs[i].lines; line != "listen "+cfg.Listen {
			t.Fatalf("n%d says %q", i+1, line)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), clusterTime)
	defer cancel()
	f, err := fabric.Connect(ctx, fabric.Options{Node: "writer", URL: strings.Join(urls, ","), User: "parley", Password: "s3cret", Replicas: 3, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}

	var mu sync.Mutex
	acked := map[string]uint64{}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(acked) }
	writing, stopWriting := context.WithCancel(ctx)
	var writers sync.WaitGroup
	var next atomic.Int64
	for range 8 {
		writers.Go(func() {
			for writing.Err() == nil {
				n := fmt.Sprint(next.Add(1))
				seq, err := f.PublishSync(writing, fabric.Event{Subject: fabric.Subject("cdr", "demo", n), Payload: n})
				if err == nil {
					mu.Lock()
					acked[n] = seq
					mu.Unlock()
				} else if writing.Err() == nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	reached := func(n int) {
		t.Helper()
		for count() < n {
			select {
			case <-ctx.Done():
				t.Fatalf("only %d writes", count())
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	reached(300)
	leader := slices.IndexFunc(procs, func(p *process) bool {
		select {
		case line := <-p.lines:
			return line == "leader true"
		default:
			return false
		}
	})
	if leader < 0 {
		t.Fatal("nobody says that it leads")
	}
	down, before := time.Now(), count()
	procs[leader].kill()
	reached(count() + 300)
	t.Logf("n%d killed after %d writes; 300 more took %v", leader+1, before, time.Since(down))
	stopWriting()
	writers.Wait()
	verify(ctx, t, f, acked)

	for _, p := range procs {
		p.kill()
	}
	start := time.Now()
	for i, cfg := range nodes {
		procs[i] = startProcess(t, cfg)
	}
	verify(ctx, t, f, acked)
	t.Logf("all %d records read %v after all three were killed", len(acked), time.Since(start))
	if err := f.Close(ctx); err != nil {
		t.Error(err)
	}
}
