package registrar

import (
	"strings"
	"testing"
	"time"
)

func TestTalliesSlide(t *testing.T) {
	const window = 1000
	steps := []struct {
		atMS int64
		add  int
		want int
	}{
		{0, 10, 10},
		{500, 5, 15},
		{999, 0, 15},
		{1000, 0, 15}, // the window before counts whole
		{1500, 2, 2 + 7},
		{1999, 0, 2},
		{2000, 1, 1 + 2},
		{9000, 1, 1},
	}
	c := newTallies[string](window, 8)
	for _, s := range steps {
		if got := c.add("x", s.add, s.atMS); got != s.want {
			t.Errorf("at %d ms: add(%d) = %d, want %d", s.atMS, s.add, got, s.want)
		}
	}
	c.clear("x")
	if got := c.count("x", 9000); got != 0 {
		t.Errorf("after clear: %d, want 0", got)
	}
}

// TestTalliesBounded floods the table and looks whether the persistent source is still known.
func TestTalliesBounded(t *testing.T) {
	const limit = 64
	c := newTallies[int](60_000, limit)
	for range 10 {
		c.add(-1, 1, 0)
	}
	for i := range 100_000 {
		c.add(i, 1, 0)
		if i%3 == 0 {
			c.clear(i)
		}
	}
	if len(c.slots) > limit || len(c.at) > limit {
		t.Errorf("%d slots, %d keys; want %d at the most", len(c.slots), len(c.at), limit)
	}
	if got := c.count(-1, 0); got != 10 {
		t.Errorf("the persistent source counts %d after the flood, want 10", got)
	}
	for k, i := range c.at {
		if !c.slots[i].taken || c.slots[i].key != k {
			t.Fatalf("key %d points at slot %+v", k, c.slots[i])
		}
	}
}

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatalf("the default is refused: %v", err)
	}
	tests := []struct {
		key    string
		change func(*Config)
	}{
		{"expires.min", func(c *Config) { c.Expires.Min = 2 * time.Hour }},
		{"expires.max", func(c *Config) { c.Expires.Max = time.Second }},
		{"expires.default", func(c *Config) { c.Expires.Default = 0 }},
		{"contacts.max", func(c *Config) { c.Contacts.Max = 0 }},
		{"contacts.when_full", func(c *Config) { c.Contacts.WhenFull = "explode" }},
		{"path", func(c *Config) { c.Path = "" }},
		{"digest.offer", func(c *Config) { c.Digest.Offer = nil }},
		{"digest.offer", func(c *Config) { c.Digest.Offer = []string{"md5", "MD5"} }},
		{"digest.offer", func(c *Config) { c.Digest.Offer = []string{"crc32"} }},
		{"digest.md5_only[0]", func(c *Config) { c.Digest.MD5Only = []string{""} }},
		{"digest.lifetime", func(c *Config) { c.Digest.Lifetime = 0 }},
		{"digest.remember", func(c *Config) { c.Digest.Remember = 1 }},
		{"bans.failures", func(c *Config) { c.Bans.Failures = -1 }},
		{"bans.window", func(c *Config) { c.Bans.Window = 0 }},
		{"bans.duration", func(c *Config) { c.Bans.Duration = -1 }},
		{"bans.account", func(c *Config) { c.Bans.Account = -1 }},
		{"bans.sources", func(c *Config) { c.Bans.Sources = 0 }},
		{"bans.max", func(c *Config) { c.Bans.Max = 0 }},
		{"bans.exempt", func(c *Config) { c.Bans.Exempt = []string{"10.0.0.0/99"} }},
	}
	all := DefaultConfig()
	for _, tt := range tests {
		c := DefaultConfig()
		tt.change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "registrar."+tt.key+": ") {
			t.Errorf("Validate with a bad %s = %v", tt.key, err)
		}
		tt.change(&all)
	}
	if err := all.Validate(); strings.Count(err.Error(), "registrar.") < 16 {
		t.Errorf("not every problem is reported at once:\n%v", err)
	}
}
