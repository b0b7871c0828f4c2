package recording

import (
	"fmt"
	"slices"
	"time"

	"parley/internal/media/wav"
)

// Config says how calls are recorded and what is kept. Paths in messages are those of the platform's YAML.
type Config struct {
	Encoding      string        `yaml:"encoding"`       // pcm, or alaw and ulaw, which take half of it
	Pauses        string        `yaml:"pauses"`         // KeepPauses or LeaveOutPauses
	Warning       string        `yaml:"warning"`        // what both sides hear when a recording begins: WarnNot, WarnTone or WarnWords
	WarningEvery  time.Duration `yaml:"warning_every"`  // a tone again and again while it goes on; 0 = none
	RetentionDays int           `yaml:"retention_days"` // older ones are deleted; 0 = never
	QuotaMB       int           `yaml:"quota_mb"`       // the oldest beyond that are deleted; 0 = no limit
	ReserveMB     int           `yaml:"reserve_mb"`     // what is left free on the disk for everything else
	MaxTapes      int           `yaml:"max_at_once"`
}

// What Config.Pauses and Config.Warning say.
const (
	KeepPauses     = "silence"
	LeaveOutPauses = "left_out"

	WarnNot   = "none"
	WarnTone  = "tone"
	WarnWords = "announcement"
)

var encodings = map[string]wav.Encoding{"pcm": wav.PCM, "alaw": wav.ALaw, "ulaw": wav.ULaw}

// DefaultConfig returns the settings of an edge box.
func DefaultConfig() Config {
	return Config{Encoding: "pcm", Pauses: KeepPauses, Warning: WarnNot, RetentionDays: 90, ReserveMB: 512, MaxTapes: 1000}
}

// Check returns everything that is wrong.
func (c Config) Check() (errs []error) {
	oneOf := func(key, v string, of ...string) {
		if !slices.Contains(of, v) {
			errs = append(errs, fmt.Errorf("calls.recording.%s: %q: want one of %q", key, v, of))
		}
	}
	within := func(key string, v, least, most int) {
		if v < least || v > most {
			errs = append(errs, fmt.Errorf("calls.recording.%s: %d: want %d to %d", key, v, least, most))
		}
	}
	oneOf("encoding", c.Encoding, "pcm", "alaw", "ulaw")
	oneOf("pauses", c.Pauses, KeepPauses, LeaveOutPauses)
	oneOf("warning", c.Warning, WarnNot, WarnTone, WarnWords)
	if c.WarningEvery != 0 && (c.WarningEvery < 5*time.Second || c.WarningEvery > time.Hour) {
		errs = append(errs, fmt.Errorf("calls.recording.warning_every: %v: want 5s to 1h, or 0", c.WarningEvery))
	}
	within("retention_days", c.RetentionDays, 0, 36500)
	within("quota_mb", c.QuotaMB, 0, 1<<30)
	within("reserve_mb", c.ReserveMB, 0, 1<<30)
	within("max_at_once", c.MaxTapes, 0, 100_000)
	return errs
}
