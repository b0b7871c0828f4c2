package rq

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/fabric"
)

func TestSingleNode(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Node, cfg.StoreDir = "n1", t.TempDir()
	reg := prometheus.NewRegistry()
	s, err := New(cfg, reg, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second start finds the store of the first
		start := time.Now()
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		up := time.Since(start)
		if err := s.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		f, err := fabric.Connect(t.Context(), fabric.Options{Node: "n1", Server: s})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("server up after %v, fabric after %v", up, time.Since(start))
		if _, err := reg.Gather(); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := f.Close(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		s.Stop()
	}
}
