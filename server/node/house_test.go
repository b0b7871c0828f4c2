package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// order records names from several goroutines.
type order struct {
	mu    sync.Mutex
	names []string
}

func (o *order) add(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.names = append(o.names, name)
}

func TestHouseStopsInReverse(t *testing.T) {
	h := newHouse(slog.New(slog.DiscardHandler))
	var stopped order
	for _, name := range []string{"core", "middle", "edge"} {
		h.start(name, func(ctx context.Context) error {
			<-ctx.Done()
			stopped.add(name)
			return nil
		})
	}
	if err := h.stop(time.Minute); err != nil {
		t.Fatal(err)
	}
	if want := []string{"edge", "middle", "core"}; !slices.Equal(stopped.names, want) {
		t.Errorf("stopped %v, want %v", stopped.names, want)
	}
	select {
	case err := <-h.failed:
		t.Errorf("an orderly stop reported a failure: %v", err)
	default:
	}
}

func TestHouseReportsWhatFails(t *testing.T) {
	for name, run := range map[string]func(context.Context) error{
		"boom":            func(context.Context) error { return errors.New("boom") },
		"ended by itself": func(context.Context) error { return nil },
	} {
		h := newHouse(slog.New(slog.DiscardHandler))
		h.start("registrar", run)
		if err := <-h.failed; err == nil || !strings.Contains(err.Error(), "registrar: "+name) {
			t.Errorf("failed = %v, want registrar: %s", err, name)
		}
		if err := h.stop(time.Minute); err != nil {
			t.Error(err)
		}
	}
}

func TestHouseReportsWhatFailsOnTheWayOut(t *testing.T) {
	h := newHouse(slog.New(slog.DiscardHandler))
	h.start("store", func(ctx context.Context) error {
		<-ctx.Done()
		return errors.New("disk full")
	})
	if err := h.stop(time.Minute); err == nil || !strings.Contains(err.Error(), "store: disk full") {
		t.Errorf("stop = %v, want store: disk full", err)
	}
}

func TestHouseStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(slog.New(slog.DiscardHandler))
		release := make(chan struct{})
		var stopped order
		h.start("core", func(ctx context.Context) error {
			<-ctx.Done()
			stopped.add("core")
			return nil
		})
		h.start("stuck", func(context.Context) error {
			<-release
			return nil
		})
		start := time.Now()
		err := h.stop(10 * time.Second)
		if err == nil || !strings.Contains(err.Error(), "stuck did not stop within 10s") {
			t.Errorf("stop = %v, want the name of what is stuck", err)
		}
		if took := time.Since(start); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("stop took %v, want about 10s", took)
		}
		if !slices.Equal(stopped.names, []string{"core"}) {
			t.Errorf("stopped %v, want core all the same", stopped.names)
		}
		close(release)
	})
}
