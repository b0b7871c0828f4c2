// Package fabrictest gives tests a real fabric on a real embedded nats-server that talks to nobody. It is for tests of
// services, which must not import services/rq; nothing here is a fake.
//
// A server takes about 20 ms and a fabric about 100 ms to start; a test usually makes one of each.
package fabrictest

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"parley/internal/fabric"
	"parley/internal/fabric/blocksync"
)

// startTime bounds start and stop.
const startTime = 20 * time.Second

// NATS is a server that syncs promises as services/rq does.
type NATS struct {
	*server.Server
	*blocksync.Store
}

// Server starts a nats-server that keeps its files in dir and stops it when the test ends.
func Server(t testing.TB, dir string) *NATS {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		ServerName: "test", DontListen: true, NoSigs: true, NoLog: true, NoSublistCache: true, MaxPayload: 8 << 20,
		JetStream: true, StoreDir: dir, JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 8 << 30,
	})
	if err != nil {
		t.Fatalf("nats-server: %v", err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(startTime) {
		t.Fatal("nats-server does not come up")
	}
	return &NATS{s, blocksync.New(dir, server.DEFAULT_GLOBAL_ACCOUNT)}
}

// Connect makes a fabric for a node on s and closes it when the test ends.
func Connect(t testing.TB, s fabric.InProcess, node string) *fabric.Fabric {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	f, err := fabric.Connect(ctx, fabric.Options{Node: node, Server: s})
	if err != nil {
		t.Fatalf("fabric: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTime)
		defer cancel()
		if err := f.Close(ctx); err != nil {
			t.Errorf("close fabric: %v", err)
		}
	})
	return f
}

// New is a fabric of node "n1" on a server of its own.
func New(t testing.TB) *fabric.Fabric {
	t.Helper()
	return Connect(t, Server(t, t.TempDir()), "n1")
}
