package fabric

import (
	"context"
	"sync"
	"time"
)

// callContext is a context with a deadline that costs nothing until somebody asks for Done. Most handlers of local
// doors never do, and a timer a call would cost more than the call.
type callContext struct {
	context.Context // the caller's
	deadline        time.Time

	mu     sync.Mutex // guards what follows
	real   context.Context
	cancel context.CancelFunc
	ended  bool
}

func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Done makes the real thing on first use.
func (c *callContext) Done() <-chan struct{} { return c.timed().Done() }

func (c *callContext) timed() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real == nil {
		c.real, c.cancel = context.WithDeadline(c.Context, c.deadline)
		if c.ended {
			c.cancel()
		}
	}
	return c.real
}

func (c *callContext) Err() error {
	c.mu.Lock()
	real, ended := c.real, c.ended
	c.mu.Unlock()
	if real != nil {
		return real.Err()
	}
	if err := c.Context.Err(); err != nil {
		return err
	}
	if ended {
		return context.Canceled
	}
	if !time.Now().Before(c.deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// end cancels the context, as the call is over.
func (c *callContext) end() {
	c.mu.Lock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
	c.mu.Unlock()
}
