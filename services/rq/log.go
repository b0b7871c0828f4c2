package rq

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// bridge takes the server's log to slog. A server that starts talks a lot, so its notices are Debug here.
type bridge struct {
	log *slog.Logger

	mu    sync.Mutex
	fatal error // the first fatal message; the server logs it and goes on half started
}

func (b *bridge) say(level slog.Level, format string, args ...any) {
	if b.log.Enabled(context.Background(), level) {
		b.log.LogAttrs(context.Background(), level, "nats-server", slog.String("says", fmt.Sprintf(format, args...)))
	}
}

func (b *bridge) Noticef(format string, args ...any) { b.say(slog.LevelDebug, format, args...) }
func (b *bridge) Errorf(format string, args ...any)  { b.say(slog.LevelError, format, args...) }
func (b *bridge) Debugf(format string, args ...any)  { b.say(slog.LevelDebug, format, args...) }
func (b *bridge) Tracef(format string, args ...any)  { b.say(slog.LevelDebug, format, args...) }

// Warnf passes warnings on, but for the one about a password in plain text: it is in memory only, and is ours.
func (b *bridge) Warnf(format string, args ...any) {
	level := slog.LevelWarn
	if strings.HasPrefix(format, "Plaintext passwords detected") {
		level = slog.LevelDebug
	}
	b.say(level, format, args...)
}

func (b *bridge) Fatalf(format string, args ...any) {
	b.say(slog.LevelError, format, args...)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fatal == nil {
		b.fatal = fmt.Errorf(format, args...)
	}
}

func (b *bridge) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fatal
}
