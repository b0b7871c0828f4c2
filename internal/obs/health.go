package obs

import (
	"sort"
	"sync"
	"time"
)

// Level is the health of a service on the scale most dashboards of this family use.
type Level int

// The levels. Some services expose another scale on their health metric; that is a matter of the metric.
const (
	LevelFail     Level = -1
	LevelStarting Level = 0
	LevelDegraded Level = 1
	LevelPass     Level = 2
)

// String returns fail, starting, degraded or pass.
func (l Level) String() string {
	switch l {
	case LevelFail:
		return "fail"
	case LevelDegraded:
		return "degraded"
	case LevelPass:
		return "pass"
	default:
		return "starting"
	}
}

// MarshalText makes a level a word in JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the word of a level; an unknown word is LevelFail.
func (l *Level) UnmarshalText(b []byte) error {
	for _, k := range []Level{LevelFail, LevelStarting, LevelDegraded, LevelPass} {
		if k.String() == string(b) {
			*l = k
			return nil
		}
	}
	*l = LevelFail
	return nil
}

// Check is one thing a service depends on or does, and how it is.
type Check struct {
	Name   string    `json:"name"`
	Level  Level     `json:"level"`
	Reason string    `json:"reason,omitempty"` // a sentence; empty when all is well
	Since  time.Time `json:"since"`            // when the level last changed
}

// Health collects the checks of one service; its level is the worst of them. The zero value is not usable: see NewHealth.
type Health struct {
	mu     sync.Mutex // guards checks
	checks map[string]Check
	now    func() time.Time
}

// NewHealth returns a Health whose named checks are all "starting".
func NewHealth(checks ...string) *Health {
	h := &Health{checks: map[string]Check{}, now: time.Now}
	for _, c := range checks {
		h.checks[c] = Check{Name: c, Level: LevelStarting, Since: h.now()}
	}
	return h
}

// Set records how check is; reason says why when it is not LevelPass.
func (h *Health) Set(check string, l Level, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, ok := h.checks[check]
	if !ok || c.Level != l {
		c.Since = h.now()
	}
	c.Name, c.Level, c.Reason = check, l, reason
	h.checks[check] = c
}

// Report returns the worst level and every check, by name. A service without checks passes.
func (h *Health) Report() (Level, []Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Check, 0, len(h.checks))
	worst := LevelPass
	for _, c := range h.checks {
		out = append(out, c)
		worst = min(worst, c.Level)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return worst, out
}

// Ready tells whether the service can do its work: pass or degraded.
func (h *Health) Ready() bool {
	l, _ := h.Report()
	return l >= LevelDegraded
}
