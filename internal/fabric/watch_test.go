package fabric_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/voice"
)

func TestWatch(t *testing.T) {
	a, b := newPair(t)
	ctx := testContext(t)
	bucket := a.Bucket(fabric.BucketAgents)
	put(t, bucket, "demo.1", "old", fabric.PutOptions{})
	put(t, bucket, "demo.1", "one", fabric.PutOptions{})
	put(t, bucket, "demo.2", "two", fabric.PutOptions{})
	put(t, bucket, "demonstration.1", "other", fabric.PutOptions{})
	put(t, bucket, "demo.3", "gone", fabric.PutOptions{})
	if err := bucket.Delete(ctx, "demo.3", fabric.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	all, allSynced := watch(t, b.Bucket(fabric.BucketAgents), "")
	next(t, allSynced)
	for range 2 { // the second and third join the feed of the first
		demo, synced := watch(t, b.Bucket(fabric.BucketAgents), "demo")
		next(t, synced)
		got := map[string]string{}
		for range len(demo) {
			e := next(t, demo)
			got[e.Key] = string(e.Value)
		}
		if want := map[string]string{"demo.1": "one", "demo.2": "two"}; !maps.Equal(got, want) {
			t.Errorf("current entries %v, want %v", got, want)
		}
		rev := put(t, bucket, "demo.1", "new", fabric.PutOptions{})
		if e := next(t, demo); e.Key != "demo.1" || string(e.Value) != "new" || e.Revision != rev || e.Op != fabric.EntryPut {
			t.Errorf("change %+v", e)
		}
		put(t, bucket, "demonstration.1", "not under the prefix", fabric.PutOptions{})
		put(t, bucket, "demo", "the prefix itself", fabric.PutOptions{})
		if e := next(t, demo); e.Key != "demo" {
			t.Errorf("change %+v", e)
		}
		for _, key := range []string{"demo", "never.there"} {
			if err := bucket.Delete(ctx, key, fabric.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if e := next(t, demo); e.Key != "demo" || e.Op != fabric.EntryDelete || e.Value != nil {
			t.Errorf("change %+v", e)
		}
		put(t, bucket, "demo.1", "one", fabric.PutOptions{})
		next(t, demo)
	}
	seen := map[string]int{}
	for range 3 + 2*5 {
		seen[next(t, all).Key]++
	}
	if want := map[string]int{"demo.1": 1 + 4, "demo.2": 1, "demonstration.1": 1 + 2, "demo": 4}; !maps.Equal(seen, want) {
		t.Errorf("the first watch saw %v, want %v", seen, want)
	}
	if len(all) != 0 {
		t.Errorf("and then %+v", next(t, all))
	}
}

// TestWatchExpiry: a key whose time is over is seen to go, by its name, within two seconds; one that was renewed is not.
func TestWatchExpiry(t *testing.T) {
	t.Parallel()
	f := fabrictest.New(t)
	b := f.Bucket(fabric.BucketRegistrations)
	entries, synced := watch(t, b, "")
	next(t, synced)
	start := time.Now()
	put(t, b, "renewed", "", fabric.PutOptions{TTL: time.Second})
	put(t, b, "short", "", fabric.PutOptions{TTL: 300 * time.Millisecond}) // rounded up
	put(t, b, "long", "", fabric.PutOptions{TTL: time.Hour})
	put(t, b, "ever", "", fabric.PutOptions{})
	put(t, b, "renewed", "", fabric.PutOptions{TTL: time.Hour})
	for range 5 {
		next(t, entries)
	}
	e := next(t, entries)
	if took := time.Since(start); e.Key != "short" || e.Op != fabric.EntryExpire || took < time.Second || took > 3*time.Second {
		t.Errorf("%+v after %v", e, took)
	}
	rev := put(t, b, "short", "again", fabric.PutOptions{CAS: true})
	if e := next(t, entries); e.Revision != rev || string(e.Value) != "again" {
		t.Errorf("created again: %+v", e)
	}
	if len(entries) != 0 {
		t.Errorf("and then %+v", next(t, entries))
	}
}

// consumers counts the consumers on a bucket's stream.
func consumers(t testing.TB, srv *fabrictest.NATS, bucket string) int {
	t.Helper()
	js, err := srv.Jsz(&server.JSzOptions{Accounts: true, Streams: true, Consumer: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, acc := range js.AccountDetails {
		for _, s := range acc.Streams {
			if s.Name == "KV_"+bucket {
				return len(s.Consumer)
			}
		}
	}
	t.Fatalf("no stream for %s", bucket)
	return 0
}

// TestManyWatchesOneConsumer: the JetStream sees one watch, however many there are.
func TestManyWatchesOneConsumer(t *testing.T) {
	srv := fabrictest.Server(t, t.TempDir())
	f := fabrictest.Connect(t, srv, "a")
	b := f.Bucket(fabric.BucketAgents)
	put(t, b, "k", "", fabric.PutOptions{})
	var all []<-chan fabric.Entry
	for range 50 {
		entries, synced := watch(t, b, "")
		next(t, synced)
		if e := next(t, entries); e.Key != "k" {
			t.Errorf("%+v", e)
		}
		all = append(all, entries)
	}
	eventually(t, func() error {
		if n := consumers(t, srv, fabric.BucketAgents); n != 1 {
			return fmt.Errorf("%d consumers", n)
		}
		return nil
	})
	put(t, b, "k", "changed", fabric.PutOptions{})
	for i, entries := range all {
		e := next(t, entries)
		if string(e.Value) != "changed" {
			t.Errorf("watch %d: %+v", i, e)
		}
		clear(e.Value) // it is the receiver's own
	}
}

// TestLateWatchMissesNothing: watches that start while a bucket changes see the last value of every key.
func TestLateWatchMissesNothing(t *testing.T) {
	a, b := newPair(t)
	writer, bucket := a.Bucket(fabric.BucketAgents), b.Bucket(fabric.BucketAgents)
	const keys, rounds = 50, 40
	var writing sync.WaitGroup
	writing.Go(func() {
		for r := range rounds {
			for k := range keys {
				put(t, writer, fabric.Key("demo", fmt.Sprint(k)), fmt.Sprint(r), fabric.PutOptions{})
			}
		}
	})
	type state struct {
		mu   sync.Mutex
		last map[string]fabric.Entry
	}
	var states []*state
	for range 10 {
		s := &state{last: map[string]fabric.Entry{}}
		states = append(states, s)
		synced := make(chan struct{})
		run(t, func(ctx context.Context) error {
			return bucket.Watch(ctx, "demo", func(e fabric.Entry) {
				s.mu.Lock()
				defer s.mu.Unlock()
				if e.Revision <= s.last[e.Key].Revision {
					t.Errorf("revision %d after %d", e.Revision, s.last[e.Key].Revision)
				}
				s.last[e.Key] = e
			}, func() { close(synced) })
		})
		next(t, synced)
	}
	writing.Wait()
	for i, s := range states {
		eventually(t, func() error {
			s.mu.Lock()
			defer s.mu.Unlock()
			for k := range keys {
				if e := s.last[fabric.Key("demo", fmt.Sprint(k))]; string(e.Value) != fmt.Sprint(rounds-1) {
					return fmt.Errorf("watch %d: key %d ends with %q", i, k, e.Value)
				}
			}
			return nil
		})
	}
}

// TestWatchSurvivesBreaks: what happened while a watch had no connection, a deletion and an expiry among it, is seen
// afterwards, once; also when the server itself was away.
func TestWatchSurvivesBreaks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv := fabrictest.Server(t, dir)
	way := &link{to: srv}
	f := connect(t, fabric.Options{Node: "a", Server: way})
	writer := fabrictest.Connect(t, srv, "writer").Bucket(fabric.BucketAgents)
	entries, synced := watch(t, f.Bucket(fabric.BucketAgents), "")
	late, lateSynced := watch(t, f.Bucket(fabric.BucketAgents), "")
	next(t, synced)
	next(t, lateSynced)
	for _, key := range []string{"stays", "changes", "goes"} {
		put(t, writer, key, "before", fabric.PutOptions{})
	}
	put(t, writer, "expires", "before", fabric.PutOptions{TTL: time.Second})
	for range 4 {
		next(t, entries)
		next(t, late)
	}
	way.cut()
	put(t, writer, "changes", "after", fabric.PutOptions{})
	if err := writer.Delete(testContext(t), "goes", fabric.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	put(t, writer, "comes", "after", fabric.PutOptions{})
	eventually(t, func() error {
		if _, err := writer.Get(t.Context(), "expires"); err == nil {
			return errors.New("still there")
		}
		return nil
	})
	way.mend()
	want := map[string]fabric.EntryOp{"changes": fabric.EntryPut, "goes": fabric.EntryDelete, "comes": fabric.EntryPut, "expires": fabric.EntryExpire}
	for _, ch := range []<-chan fabric.Entry{entries, late} {
		got := map[string]fabric.EntryOp{}
		for range len(want) {
			e := next(t, ch)
			got[e.Key] = e.Op
		}
		if !maps.Equal(got, want) {
			t.Errorf("seen %v, want %v", got, want)
		}
	}

	way.cut()
	srv.Shutdown()
	srv.WaitForShutdown()
	srv = fabrictest.Server(t, dir)
	way.lead(srv)
	way.mend()
	eventually(t, func() error {
		_, err := f.Bucket(fabric.BucketAgents).Put(t.Context(), "restarted", nil, fabric.PutOptions{CAS: true})
		if errors.Is(err, voice.ErrConflict) {
			return nil // stored by an attempt whose acknowledgement was lost
		}
		return err
	})
	for _, ch := range []<-chan fabric.Entry{entries, late} {
		if e := next(t, ch); e.Key != "restarted" || e.Op != fabric.EntryPut {
			t.Errorf("after a restart: %+v", e)
		}
		if len(ch) != 0 {
			t.Errorf("and then %+v", next(t, ch))
		}
	}
	if err := closeNow(t, f); err != nil {
		t.Error(err)
	}
}

// TestWatchMissingMarkers: keys that went while nobody looked and whose markers are gone too are still seen to go.
func TestWatchMissingMarkers(t *testing.T) {
	t.Parallel()
	srv := fabrictest.Server(t, t.TempDir())
	way := &link{to: srv}
	f := connect(t, fabric.Options{Node: "a", Server: way})
	helper := fabrictest.Connect(t, srv, "helper")
	b := f.Bucket(fabric.BucketAgents)
	entries, synced := watch(t, b, "")
	next(t, synced)
	for _, key := range []string{"stays", "goes"} {
		put(t, b, key, "", fabric.PutOptions{})
		next(t, entries)
	}
	way.cut()
	purge(t, srv, "KV_"+fabric.BucketAgents)
	put(t, helper.Bucket(fabric.BucketAgents), "stays", "new", fabric.PutOptions{})
	way.mend()
	got := map[string]fabric.EntryOp{}
	for range 2 {
		e := next(t, entries)
		got[e.Key] = e.Op
	}
	if want := map[string]fabric.EntryOp{"stays": fabric.EntryPut, "goes": fabric.EntryDelete}; !maps.Equal(got, want) {
		t.Errorf("seen %v, want %v", got, want)
	}
	if err := closeNow(t, f); err != nil {
		t.Error(err)
	}
}

// purge empties a stream without a trace, as after the markers' own time.
func purge(t testing.TB, srv fabric.InProcess, stream string) {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	m, err := nc.Request("$JS.API.STREAM.PURGE."+stream, nil, testTime)
	if err != nil || !strings.Contains(string(m.Data), `"success":true`) {
		t.Fatalf("purge: %v", err)
	}
}

// TestWatchPanic: a callback that panics is logged and called again for the next entry.
func TestWatchPanic(t *testing.T) {
	f := fabrictest.New(t)
	b := f.Bucket(fabric.BucketAgents)
	seen, synced := make(chan string, 10), make(chan struct{})
	run(t, func(ctx context.Context) error {
		return b.Watch(ctx, "", func(e fabric.Entry) {
			seen <- e.Key
			if e.Key == "bad" {
				panic("as bad as it gets")
			}
		}, func() { close(synced) })
	})
	next(t, synced)
	put(t, b, "bad", "", fabric.PutOptions{})
	put(t, b, "good", "", fabric.PutOptions{})
	if first, second := next(t, seen), next(t, seen); first != "bad" || second != "good" {
		t.Errorf("seen %s, %s", first, second)
	}
}
