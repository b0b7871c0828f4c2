package frontend

import (
	"errors"
	"fmt"
	"time"

	"parley/services/frontend/workspace"
)

// Config is the part `frontend` of the configuration file.
type Config struct {
	Requests        int           `yaml:"requests"`          // in progress at once
	RequestsPerUser int           `yaml:"requests_per_user"` // of one user
	Streams         int           `yaml:"streams"`           // event streams at once
	StreamsPerUser  int           `yaml:"streams_per_user"`  // of one user
	Buffer          int           `yaml:"buffer"`            // events that a client may be behind
	Heartbeat       time.Duration `yaml:"heartbeat"`         // on a quiet event stream

	Workspace workspace.Config `yaml:"workspace"` // desktops of agents
}

// DefaultConfig is what holds where the file says nothing.
func DefaultConfig() Config {
	return Config{Requests: 512, RequestsPerUser: 32, Streams: 1000, StreamsPerUser: 32, Buffer: 8192, Heartbeat: 15 * time.Second,
		Workspace: workspace.DefaultConfig()}
}

// Limits of Validate.
const (
	maxRequests  = 4096
	maxStreams   = 10_000
	minBuffer    = 64
	maxBuffer    = 1 << 18
	maxHeartbeat = 5 * time.Minute
)

// Validate returns every problem at once, each with its key.
func (c Config) Validate() error {
	var errs []error
	between := func(key string, n, low, high int) {
		if n < low || n > high {
			errs = append(errs, fmt.Errorf("frontend.%s: %d is not between %d and %d", key, n, low, high))
		}
	}
	between("requests", c.Requests, 1, maxRequests)
	between("requests_per_user", c.RequestsPerUser, 1, maxRequests)
	between("streams", c.Streams, 1, maxStreams)
	between("streams_per_user", c.StreamsPerUser, 1, maxStreams)
	between("buffer", c.Buffer, minBuffer, maxBuffer)
	if c.Heartbeat < time.Second || c.Heartbeat > maxHeartbeat {
		errs = append(errs, fmt.Errorf("frontend.heartbeat: %v is not between 1s and %v", c.Heartbeat, maxHeartbeat))
	}
	return errors.Join(append(errs, c.Workspace.Validate())...)
}
