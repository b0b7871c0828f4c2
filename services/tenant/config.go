package tenant

import (
	"errors"
	"fmt"
	"time"
)

// Config is how people sign in. Durations are written like 15m or 12h.
type Config struct {
	Verifications int           `yaml:"verifications"` // password checks at once, 19 MiB of memory each
	Waiting       int           `yaml:"waiting"`       // sign-ins that may wait for a check; more are told to come back
	TokenTTL      time.Duration `yaml:"token_ttl"`     // life of a token when nobody asks for another
	MaxTokenTTL   time.Duration `yaml:"max_token_ttl"` // longest life; a longer ask is cut down to it
	Lockout       Lockout       `yaml:"lockout"`
}

// Lockout is when a name or a source has failed too often.
type Lockout struct {
	NameFailures   int           `yaml:"name_failures"`   // failures of one name within Window before it is locked
	SourceFailures int           `yaml:"source_failures"` // the same for one source address (IPv6: its /64)
	Window         time.Duration `yaml:"window"`          // failures older than this are forgotten
	Duration       time.Duration `yaml:"duration"`        // how long a lock lasts
	Remember       int           `yaml:"remember"`        // names, and sources, remembered at the most
}

// DefaultConfig returns what a node uses when its file says nothing.
func DefaultConfig() Config {
	return Config{
		Verifications: 2,
		Waiting:       64,
		TokenTTL:      12 * time.Hour,
		MaxTokenTTL:   90 * 24 * time.Hour,
		Lockout: Lockout{
			NameFailures:   8,
			SourceFailures: 32,
			Window:         15 * time.Minute,
			Duration:       5 * time.Minute,
			Remember:       10_000,
		},
	}
}

// Validate reports every problem, each under its YAML path.
func (c Config) Validate() error {
	var errs []error
	atLeast := func(key string, got, want int) {
		if got < want {
			errs = append(errs, fmt.Errorf("tenant.%s: %d is too few (want at least %d)", key, got, want))
		}
	}
	lasting := func(key string, got, want time.Duration) {
		if got < want {
			errs = append(errs, fmt.Errorf("tenant.%s: %v is too short (want at least %v)", key, got, want))
		}
	}
	atLeast("verifications", c.Verifications, 1)
	atLeast("waiting", c.Waiting, 0)
	lasting("token_ttl", c.TokenTTL, time.Minute)
	lasting("max_token_ttl", c.MaxTokenTTL, c.TokenTTL)
	atLeast("lockout.name_failures", c.Lockout.NameFailures, 1)
	atLeast("lockout.source_failures", c.Lockout.SourceFailures, 1)
	lasting("lockout.window", c.Lockout.Window, time.Second)
	lasting("lockout.duration", c.Lockout.Duration, time.Second)
	atLeast("lockout.remember", c.Lockout.Remember, 100)
	return errors.Join(errs...)
}
