package cdr

import (
	"errors"
	"fmt"
	"time"
)

// Config is the part `cdr` of the configuration file.
type Config struct {
	RetentionDays int           `yaml:"retention_days"` // records of calls that began longer ago are deleted; 0 = never
	Batch         int           `yaml:"batch"`          // records written at once, at the most
	Linger        time.Duration `yaml:"linger"`         // how long a batch waits for more records; 0 = not at all
}

// DefaultConfig is what holds where the file says nothing.
func DefaultConfig() Config {
	return Config{RetentionDays: 90, Batch: 200, Linger: 200 * time.Millisecond}
}

// Limits of Validate.
const (
	maxRetentionDays = 36500
	maxBatch         = 1000
	maxLinger        = 5 * time.Second
)

// Validate returns every problem at once, each with its key.
func (c Config) Validate() error {
	var errs []error
	if c.RetentionDays < 0 || c.RetentionDays > maxRetentionDays {
		errs = append(errs, fmt.Errorf("cdr.retention_days: %d is not between 0 (keep for ever) and %d", c.RetentionDays, maxRetentionDays))
	}
	if c.Batch < 1 || c.Batch > maxBatch {
		errs = append(errs, fmt.Errorf("cdr.batch: %d is not between 1 and %d", c.Batch, maxBatch))
	}
	if c.Linger < 0 || c.Linger > maxLinger {
		errs = append(errs, fmt.Errorf("cdr.linger: %v is not between 0s and %v", c.Linger, maxLinger))
	}
	return errors.Join(errs...)
}
