package orchestration

import (
	"errors"
	"fmt"
	"time"
)

// Config is the part `orchestration` of the configuration file.
type Config struct {
	MaxSessions   int           `yaml:"max_sessions"`   // at once on this node; more calls wait for another node
	MaxAge        time.Duration `yaml:"max_age"`        // a session that is older is ended
	SleepAfter    time.Duration `yaml:"sleep_after"`    // how long a session waits before it gives back its memory
	Takeover      time.Duration `yaml:"takeover"`       // how long a node may be silent before others continue its sessions
	Scripts       string        `yaml:"scripts"`        // directory of documents that file: addresses and src name; empty: none
	FetchTimeout  time.Duration `yaml:"fetch_timeout"`  // for a document or a service on the web
	FetchMax      int           `yaml:"fetch_max"`      // bytes of an answer
	FetchInternal bool          `yaml:"fetch_internal"` // scripts may fetch from loopback, link-local and private addresses
}

// DefaultConfig is what holds where the file says nothing.
func DefaultConfig() Config {
	return Config{
		MaxSessions: 20_000, MaxAge: 24 * time.Hour, SleepAfter: 5 * time.Second, Takeover: 5 * time.Second,
		FetchTimeout: 5 * time.Second, FetchMax: 1 << 20, FetchInternal: false,
	}
}

// Validate returns every problem at once, each with its key.
func (c Config) Validate() error {
	var errs []error
	between := func(key string, ok bool, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("orchestration.%s: %v is not %s", key, value, want))
		}
	}
	between("max_sessions", c.MaxSessions >= 1 && c.MaxSessions <= 1_000_000, c.MaxSessions, "between 1 and 1000000")
	between("max_age", c.MaxAge >= time.Minute && c.MaxAge <= 30*24*time.Hour, c.MaxAge, "between 1m and 720h")
	between("sleep_after", c.SleepAfter >= 0 && c.SleepAfter <= time.Hour, c.SleepAfter, "between 0s and 1h")
	between("takeover", c.Takeover >= 2*time.Second && c.Takeover <= 5*time.Minute, c.Takeover, "between 2s and 5m")
	between("fetch_timeout", c.FetchTimeout >= 100*time.Millisecond && c.FetchTimeout <= 5*time.Minute, c.FetchTimeout, "between 100ms and 5m")
	between("fetch_max", c.FetchMax >= 1024 && c.FetchMax <= 8<<20, c.FetchMax, "between 1024 and 8388608")
	return errors.Join(errs...)
}
