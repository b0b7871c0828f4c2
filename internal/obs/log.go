package obs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// LogFormat is how log lines look.
type LogFormat string

// The formats: logfmt for people, JSON for collectors.
const (
	FormatText LogFormat = "text"
	FormatJSON LogFormat = "json"
)

// ParseLevel reads debug, info, warn or error.
func ParseLevel(s string) (slog.Level, error) {
	for _, l := range levels {
		if s == levelName(l) {
			return l, nil
		}
	}
	return 0, fmt.Errorf("unknown level %q (want debug, info, warn or error)", s)
}

// Logs makes the loggers of one node. They share a writer, each line is one Write, and each logger counts the bytes
// it wrote on the registry of its service.
type Logs struct {
	out    *lockedWriter
	level  slog.Leveler
	format LogFormat
}

// NewLogs returns Logs that write lines of level and above to w. An unknown format is text.
func NewLogs(w io.Writer, level slog.Leveler, format LogFormat) *Logs {
	if format != FormatJSON {
		format = FormatText
	}
	return &Logs{out: &lockedWriter{w: w}, level: level, format: format}
}

// For returns the logger of one module: its lines carry service=module and are counted as
// log_output_bytes_total{level,format,module} on reg. A nil reg counts nothing. Ask once for each module and registry.
func (l *Logs) For(module string, reg prometheus.Registerer) *slog.Logger {
	return slog.New(l.handler(module, reg)).With(slog.String("service", module))
}

func (l *Logs) handler(module string, reg prometheus.Registerer) slog.Handler {
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "log_output_bytes_total",
		Help: "Volume of log text written, in bytes.",
	}, []string{"level", "format", "module"})
	if reg != nil {
		reg.MustRegister(bytes)
	}
	h := &levelHandler{min: l.level}
	for i, level := range levels {
		w := countingWriter{l.out, bytes.WithLabelValues(levelName(level), string(l.format), module)}
		opts := &slog.HandlerOptions{Level: slog.LevelDebug}
		if l.format == FormatJSON {
			h.by[i] = slog.NewJSONHandler(w, opts)
		} else {
			h.by[i] = slog.NewTextHandler(w, opts)
		}
	}
	return h
}

// levels are the levels that are told apart in the counter, lowest first.
var levels = [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

func levelName(l slog.Level) string { return strings.ToLower(l.String()) }

// levelHandler sends each record to the handler of its level. Those differ only in the counter behind their writer:
// slog formats and writes in one step, so this is the only place where both the level and the length are known.
type levelHandler struct {
	min slog.Leveler
	by  [len(levels)]slog.Handler
}

func (h *levelHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.min.Level() }

func (h *levelHandler) Handle(ctx context.Context, r slog.Record) error {
	i := 0
	for i+1 < len(levels) && r.Level >= levels[i+1] {
		i++
	}
	return h.by[i].Handle(ctx, r)
}

func (h *levelHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.each(func(in slog.Handler) slog.Handler { return in.WithAttrs(attrs) })
}

func (h *levelHandler) WithGroup(name string) slog.Handler {
	return h.each(func(in slog.Handler) slog.Handler { return in.WithGroup(name) })
}

func (h *levelHandler) each(f func(slog.Handler) slog.Handler) slog.Handler {
	out := &levelHandler{min: h.min}
	for i := range h.by {
		out.by[i] = f(h.by[i])
	}
	return out
}

// lockedWriter keeps the lines of many handlers apart.
type lockedWriter struct {
	mu sync.Mutex // held during a write to w
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// countingWriter counts what got through.
type countingWriter struct {
	w io.Writer
	n prometheus.Counter
}

func (c countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n.Add(float64(n))
	return n, err
}
