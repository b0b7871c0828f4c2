package rig

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"parley/internal/contract"
	"parley/internal/obs"
)

// State is what a node tells of itself at its control socket.
type State struct {
	Goroutines int
	Live       int64 // bytes alive in the heap after a collection
	Calls      int   // in progress
}

// Ready waits until every service of a node passes: before that the first calls are turned away.
func Ready(ctx context.Context, socket string) error {
	var last error
	for deadline := time.Now().Add(30 * time.Second); ctx.Err() == nil; Pause(ctx, 20*time.Millisecond) {
		body, err := Control(ctx, socket, "/status")
		if err == nil {
			var report contract.StatusReport
			err = json.NewDecoder(body).Decode(&report)
			body.Close()
			if err == nil && report.Level == obs.LevelPass {
				return nil
			}
			last = errors.Join(err, fmt.Errorf("level %v: %+v", report.Level, report.Services))
		} else {
			last = err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the node is not ready: %w", last)
		}
	}
	return ctx.Err()
}

// Runtime asks a node for its State, after a collection.
func Runtime(ctx context.Context, socket string) (s State, err error) {
	heap, err := Control(ctx, socket, "/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return s, err
	}
	defer heap.Close()
	lines := bufio.NewScanner(heap)
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "# HeapAlloc = %d", &s.Live) // every other line is something else
	}
	if err := lines.Err(); err != nil {
		return s, err
	}
	stacks, err := Control(ctx, socket, "/debug/pprof/goroutine?debug=1")
	if err != nil {
		return s, err
	}
	defer stacks.Close()
	if _, err := fmt.Fscanf(stacks, "goroutine profile: total %d", &s.Goroutines); err != nil {
		return s, fmt.Errorf("goroutines: %w", err)
	}
	status, err := Control(ctx, socket, "/status")
	if err != nil {
		return s, err
	}
	defer status.Close()
	var report contract.StatusReport
	err = json.NewDecoder(status).Decode(&report)
	s.Calls = report.Calls
	return s, err
}
