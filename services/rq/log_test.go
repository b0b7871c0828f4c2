package rq

import (
	"log/slog"
	"testing"
)

// testLog sends a log to t.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(writer{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type writer struct{ testing.TB }

func (w writer) Write(p []byte) (int, error) {
	w.Logf("%s", p)
	return len(p), nil
}
