package callstate

import (
	"errors"
	"fmt"
	"time"
)

// Config is the part `callstate` of the configuration file.
type Config struct {
	Grace time.Duration `yaml:"grace"` // a call that no node has for longer is stuck
	Check time.Duration `yaml:"check"` // how often calls are looked at
}

// DefaultConfig is what holds where the file says nothing.
func DefaultConfig() Config { return Config{Grace: 30 * time.Second, Check: 5 * time.Second} }

// Validate returns every problem at once, each with its key.
func (c Config) Validate() error {
	const least, most = 100 * time.Millisecond, time.Hour
	var errs []error
	if c.Grace < least || c.Grace > most {
		errs = append(errs, fmt.Errorf("callstate.grace: %v is not between %v and %v", c.Grace, least, most))
	}
	if c.Check < least || c.Check > most {
		errs = append(errs, fmt.Errorf("callstate.check: %v is not between %v and %v", c.Check, least, most))
	}
	return errors.Join(errs...)
}
