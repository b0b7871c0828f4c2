package sip

import (
	"errors"
	"fmt"
	"time"

	"parley/services/sip/recording"
)

// Config says how the node treats calls. Paths in messages are those of the platform's YAML, under calls.
type Config struct {
	MaxCalls       int           `yaml:"max_calls"`        // calls at once on this node; one more gets 503
	MaxTenantCalls int           `yaml:"max_tenant_calls"` // of one tenant on this node; 0 = no limit of its own
	MaxContacts    int           `yaml:"max_contacts"`     // of a number that ring at once
	MaxForwards    int           `yaml:"max_forwards"`     // times a call may be forwarded
	Ring           time.Duration `yaml:"ring"`             // how long a place rings that has no time of its own
	MaxDuration    time.Duration `yaml:"max_duration"`     // the longest call
	Silence        time.Duration `yaml:"silence"`          // a phone that should send audio and sends nothing so long is gone; 0 = never
	MaxWait        time.Duration `yaml:"max_wait"`         // work that waits longer for a processor makes new calls get 503; 0 = never
	SessionExpires time.Duration `yaml:"session_expires"`  // how often sessions are refreshed (RFC 4028); 0 = only where a phone asks
	MinSE          time.Duration `yaml:"min_se"`           // the least a phone may ask for; 90 s or more
	TimerC         time.Duration `yaml:"timer_c"`          // how long a trunk may ring after it last said so (RFC 3261 §16.6)
	Drain          time.Duration `yaml:"drain"`            // how long calls get to end when the node stops

	Recording recording.Config `yaml:"recording"`

	Direct bool          `yaml:"-"` // audio goes from phone to phone where that is sure to work
	T1     time.Duration `yaml:"-"` // RFC 3261 §17.1.1.1
}

// DefaultConfig returns the settings of an edge box.
func DefaultConfig() Config {
	return Config{
		MaxCalls: 5000, MaxContacts: 10, MaxForwards: 5, Ring: 30 * time.Second,
		MaxDuration: 12 * time.Hour, SessionExpires: 30 * time.Minute, MinSE: 90 * time.Second, TimerC: 181 * time.Second,
		Silence: 2 * time.Minute, MaxWait: 250 * time.Millisecond, Drain: 2 * time.Second, T1: 500 * time.Millisecond,
		Recording: recording.DefaultConfig(),
	}
}

// Validate reports everything that is wrong, each under its YAML path.
func (c Config) Validate() error {
	var errs []error
	within := func(key string, v, least, most int) {
		if v < least || v > most {
			errs = append(errs, fmt.Errorf("calls.%s: %d: want %d to %d", key, v, least, most))
		}
	}
	span := func(key string, v, least, most time.Duration) {
		if v < least || v > most {
			errs = append(errs, fmt.Errorf("calls.%s: %v: want %v to %v", key, v, least, most))
		}
	}
	within("max_calls", c.MaxCalls, 1, 1_000_000)
	within("max_tenant_calls", c.MaxTenantCalls, 0, 1_000_000)
	within("max_contacts", c.MaxContacts, 1, 100)
	within("max_forwards", c.MaxForwards, 0, 20)
	span("ring", c.Ring, time.Second, 10*time.Minute)
	span("max_duration", c.MaxDuration, time.Minute, 7*24*time.Hour)
	span("silence", c.Silence, 0, time.Hour)
	span("max_wait", c.MaxWait, 0, time.Minute)
	if c.SessionExpires != 0 && (c.SessionExpires < c.MinSE || c.SessionExpires > 24*time.Hour) {
		errs = append(errs, fmt.Errorf("calls.session_expires: %v: want calls.min_se (%v) to 24h, or 0", c.SessionExpires, c.MinSE))
	}
	span("min_se", c.MinSE, 90*time.Second, time.Hour) // RFC 4028 §5
	span("timer_c", c.TimerC, 10*time.Second, time.Hour)
	span("drain", c.Drain, 0, time.Minute)
	if c.T1 <= 0 {
		errs = append(errs, errors.New("calls: T1 must be positive"))
	}
	return errors.Join(append(errs, c.Recording.Check()...)...)
}
