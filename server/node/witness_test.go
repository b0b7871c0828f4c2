package node

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/voice"
)

// A node that answers nobody and whose front door is closed loses its record; one whose front door is open keeps it, and so
// does one that answers.
func TestWitnessFindsTheDead(t *testing.T) {
	server := fabrictest.Server(t, t.TempDir())
	f, g := fabrictest.Connect(t, server, "a"), fabrictest.Connect(t, server, "c")
	open, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	shut, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	shut.Close()
	answered := make(chan struct{}, 1)
	stop, err := fabric.Handle(t.Context(), g, contract.NodeAlive, func(context.Context, struct{}) (struct{}, error) {
		select {
		case answered <- struct{}{}:
		default:
		}
		return struct{}{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	bucket := f.Bucket(fabric.BucketNodes)
	for id, at := range map[string]net.Listener{"b": shut, "c": shut, "d": open} {
		b, err := json.Marshal(contract.NodeRecord{ID: id, Proxy: &contract.ProxyRecord{TCP: at.Addr().String()}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bucket.Put(t.Context(), fabric.Key(id), b, fabric.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	r := &record{bucket: bucket, log: slog.New(slog.DiscardHandler), own: contract.NodeRecord{ID: "a"}, peers: map[string]contract.NodeRecord{}, revs: map[string]uint64{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- bucket.Watch(ctx, "", r.changed, nil) }()
	go func() { done <- (&witness{f: f, record: r, log: r.log}).run(ctx) }()
	deadline := time.After(10 * time.Second)
	for rounds := 0; rounds < 2; { // c is asked again after b was buried, and has its record still
		if _, err := bucket.Get(t.Context(), fabric.Key("b")); errors.Is(err, voice.ErrNotFound) {
			rounds++
		}
		select {
		case <-answered:
		case <-deadline:
			t.Fatal("the dead node has its record still")
		}
	}
	for _, id := range []string{"c", "d"} {
		if _, err := bucket.Get(t.Context(), fabric.Key(id)); err != nil {
			t.Errorf("the record of %s: %v", id, err)
		}
	}
	cancel()
	for range cap(done) {
		if err := <-done; err != nil {
			t.Errorf("ended with %v", err)
		}
	}
}

func TestWitnessesAreTheNextOnTheRing(t *testing.T) {
	r := &record{own: contract.NodeRecord{ID: "c"}, peers: map[string]contract.NodeRecord{"a": {}, "b": {}, "c": {}, "d": {}, "e": {}}}
	if got := r.next(3); len(got) != 3 || got[0] != "d" || got[1] != "e" || got[2] != "a" {
		t.Errorf("c watches %v, want d, e and a", got)
	}
	r.peers = map[string]contract.NodeRecord{"c": {}}
	if got := r.next(3); len(got) != 0 {
		t.Errorf("alone, c watches %v", got)
	}
}
