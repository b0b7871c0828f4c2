package tenant

import (
	"context"
	"fmt"
	"time"

	"parley/internal/passwd"
	"parley/internal/voice"
)

// maxPasswordLen is the longest password that is looked at, in bytes; a longer one is wrong.
const maxPasswordLen = 4 * passwd.MaxLength

// checker verifies passwords, few at a time: one verification takes passwd.MemoryKiB and some tens of milliseconds.
type checker struct {
	slots   chan struct{} // one token a verification under way
	line    chan struct{} // one token a verification under way or waiting
	metrics *metrics
}

func newChecker(c Config, m *metrics) *checker {
	return &checker{
		slots:   make(chan struct{}, c.Verifications),
		line:    make(chan struct{}, c.Verifications+c.Waiting),
		metrics: m,
	}
}

// check tells whether password is the one behind hash. An empty hash or an impossible password takes the same work
// and is wrong. It returns voice.ErrOverloaded when the line is full, or the error of ctx while waiting.
func (c *checker) check(ctx context.Context, hash, password string) (bool, error) {
	select {
	case c.line <- struct{}{}:
		defer func() { <-c.line }()
	default:
		return false, voice.Errorf(voice.ErrOverloaded, "too many sign-ins at once, try again in a moment")
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	c.metrics.inUse.Inc()
	defer c.metrics.inUse.Dec()
	start := time.Now()
	defer func() { c.metrics.seconds.Observe(time.Since(start).Seconds()) }()

	if hash == "" || password == "" || len(password) > maxPasswordLen {
		passwd.Decoy(password[:min(len(password), maxPasswordLen)])
		return false, nil
	}
	right, err := passwd.Verify(hash, password)
	if err != nil {
		return false, fmt.Errorf("stored password hash: %w", err)
	}
	return right, nil
}
