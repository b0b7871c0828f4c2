package workspace

import (
	"errors"
	"fmt"
	"time"
)

// Config is what an operator may set.
type Config struct {
	MaxSessions int           `yaml:"max_sessions"` // at once on this node
	Poll        time.Duration `yaml:"poll"`         // how long a poll waits when there is nothing to tell
	Silence     time.Duration `yaml:"silence"`      // a session nobody has used for so long ends
	Secure      bool          `yaml:"-"`            // the listener is reached over TLS only: cookies say so
}

// DefaultConfig is what holds when nothing is set.
func DefaultConfig() Config {
	return Config{MaxSessions: 200, Poll: 25 * time.Second, Silence: 10 * time.Minute}
}

// Validate tells everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	if c.MaxSessions < 1 || c.MaxSessions > 10_000 {
		errs = append(errs, fmt.Errorf("frontend.workspace.max_sessions: %d is not between 1 and 10000", c.MaxSessions))
	}
	if c.Poll < time.Second || c.Poll > 50*time.Second { // clients wait 60 s for an answer
		errs = append(errs, fmt.Errorf("frontend.workspace.poll: %v is not between 1s and 50s", c.Poll))
	}
	if c.Silence < c.Poll || c.Silence > 24*time.Hour {
		errs = append(errs, fmt.Errorf("frontend.workspace.silence: %v is not between workspace.poll and 24h", c.Silence))
	}
	return errors.Join(errs...)
}

// Limits nobody needs to set.
const (
	maxPersonSessions = 10 // of one person; one more ends the one unused for longest
	maxClients        = 4  // of a session's push channel; one more drops the oldest

	maxQueue      = 256     // messages that wait for a client
	maxQueueBytes = 1 << 20 // of them together
	maxBatch      = 16      // messages of one request to the push channel
	maxBody       = 64 << 10

	maxCalls   = 64 // of one device that a session shows
	maxPending = 8  // requests of a session under way
	maxOps     = 64 // operation ids whose outcome may still be told

	maxCodes = 1_000 // authorization codes that wait to be used
	codeLife = time.Minute

	deviceFresh = 5 * time.Second // how long it holds that a device was found to be its person's

	clientSilence = 30 * time.Second // a client that has not polled for so long after an answer is gone
	sweepEvery    = 5 * time.Second
	maxText       = 256 // bytes of a name, number or id from outside
)
