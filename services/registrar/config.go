package registrar

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"parley/internal/sipua/digest"
)

// Config is the part `registrar` of the configuration file.
type Config struct {
	Expires  ExpiresConfig  `yaml:"expires"`
	Contacts ContactsConfig `yaml:"contacts"`
	Digest   DigestConfig   `yaml:"digest"`
	Bans     BansConfig     `yaml:"bans"`
	Path     string         `yaml:"path"`     // a Path without "Supported: path": accept, or refuse with 420 (RFC 3327 §5.3)
	Date     bool           `yaml:"date"`     // put a Date header into each 200
	Location string         `yaml:"location"` // label location of the metrics; empty: the node's id
}

// ExpiresConfig bounds how long a registration lasts (RFC 3261 §10.3).
type ExpiresConfig struct {
	Default time.Duration `yaml:"default"` // when a phone asks for no time
	Min     time.Duration `yaml:"min"`     // a shorter ask gets 423; at most one hour
	Max     time.Duration `yaml:"max"`     // a longer ask is cut down to it
}

// ContactsConfig bounds the contacts of one number.
type ContactsConfig struct {
	Max      int    `yaml:"max"`       // at the most, in a request and in force
	WhenFull string `yaml:"when_full"` // one more contact: replace the one that ends first, or refuse with 403
}

// DigestConfig says how phones prove who they are (RFC 8760).
//
// With both algorithms offered, a phone that follows RFC 8760 takes the first it knows. Many phones look at the first
// challenge only and know nothing but MD5, so MD5 stands first; put sha-256 first where no such phones are. A few
// cannot even bear a challenge they do not know: agents whose User-Agent begins with an entry of MD5Only get the MD5
// challenge alone.
type DigestConfig struct {
	Offer      []string      `yaml:"offer"`       // md5, sha-256, in the order of the challenges; others are not accepted
	MD5Only    []string      `yaml:"md5_only"`    // beginnings of User-Agent, if md5 is offered at all
	Lifetime   time.Duration `yaml:"lifetime"`    // of a nonce
	BindSource bool          `yaml:"bind_source"` // a nonce is good only for the address that asked for it
	Legacy     bool          `yaml:"legacy"`      // accept answers without qop (RFC 2069)
	MatchURI   bool          `yaml:"match_uri"`   // refuse answers whose uri is not the Request-URI (RFC 7616 §3.4.6); many phones write another
	Remember   int           `yaml:"remember"`    // used nonces kept against replay, about 64 bytes each
}

// BansConfig says when a source that keeps failing is not served for a while.
type BansConfig struct {
	Failures int           `yaml:"failures"` // wrong answers within Window that bring a ban; 0 = never
	Window   time.Duration `yaml:"window"`
	Duration time.Duration `yaml:"duration"` // of a ban
	Account  int           `yaml:"account"`  // wrong answers for one number within Window after which each counts more; 0 = never
	Exempt   []string      `yaml:"exempt"`   // addresses or prefixes that are never banned
	Sources  int           `yaml:"sources"`  // failing sources remembered at the most, about 100 bytes each
	Max      int           `yaml:"max"`      // bans in force at the most; more are not made
}

// Values of Config.Path and ContactsConfig.WhenFull.
const (
	PathAccept  = "accept"
	PathRefuse  = "refuse"
	FullReplace = "replace"
	FullRefuse  = "refuse"
)

// DefaultConfig is what holds where the file says nothing.
func DefaultConfig() Config {
	return Config{
		Expires:  ExpiresConfig{Default: time.Hour, Min: time.Minute, Max: 2 * time.Hour},
		Contacts: ContactsConfig{Max: 10, WhenFull: FullReplace},
		Digest: DigestConfig{
			Offer:      []string{"md5", "sha-256"},
			MD5Only:    []string{"baresip v0.", "baresip v1.", "baresip v2."}, // an unknown algorithm ends their registration
			Lifetime:   5 * time.Minute,
			BindSource: true,
			Remember:   128 << 10,
		},
		Bans: BansConfig{
			Failures: 20, Window: 5 * time.Minute, Duration: 15 * time.Minute,
			Account: 25, Sources: 64 << 10, Max: 64 << 10,
		},
		Path: PathAccept,
		Date: true,
	}
}

// Limits of Validate.
const (
	maxMinExpires = time.Hour // RFC 3261 §10.3 step 7: an hour or more may not be called too brief
	maxExpires    = 30 * 24 * time.Hour
	maxContacts   = 100
)

// Validate returns every problem at once, each with its key.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("registrar.%s: %s", key, fmt.Sprintf(format, args...)))
	}
	e := c.Expires
	if e.Min < time.Second || e.Min > maxMinExpires {
		bad("expires.min", "%v is not between 1s and %v", e.Min, maxMinExpires)
	}
	if e.Max < e.Min || e.Max > maxExpires {
		bad("expires.max", "%v is not between expires.min (%v) and %v", e.Max, e.Min, maxExpires)
	}
	if e.Default < e.Min || e.Default > e.Max {
		bad("expires.default", "%v is not between expires.min (%v) and expires.max (%v)", e.Default, e.Min, e.Max)
	}
	if c.Contacts.Max < 1 || c.Contacts.Max > maxContacts {
		bad("contacts.max", "%d is not between 1 and %d", c.Contacts.Max, maxContacts)
	}
	if c.Contacts.WhenFull != FullReplace && c.Contacts.WhenFull != FullRefuse {
		bad("contacts.when_full", "%q is neither %q nor %q", c.Contacts.WhenFull, FullReplace, FullRefuse)
	}
	if c.Path != PathAccept && c.Path != PathRefuse {
		bad("path", "%q is neither %q nor %q", c.Path, PathAccept, PathRefuse)
	}
	c.Digest.validate(bad)
	c.Bans.validate(bad)
	return errors.Join(errs...)
}

func (d DigestConfig) validate(bad func(key, format string, args ...any)) {
	if _, err := d.offer(); err != nil {
		bad("digest.offer", "%v", err)
	}
	for i, agent := range d.MD5Only {
		if agent == "" {
			bad(fmt.Sprintf("digest.md5_only[%d]", i), "is empty and would fit every phone; offer md5 alone instead")
		}
	}
	if d.Lifetime < 10*time.Second || d.Lifetime > 24*time.Hour {
		bad("digest.lifetime", "%v is not between 10s and 24h", d.Lifetime)
	}
	if d.Remember < 1024 || d.Remember > 16<<20 {
		bad("digest.remember", "%d is not between 1024 and %d", d.Remember, 16<<20)
	}
}

// offer returns the algorithms in the order of the challenges.
func (d DigestConfig) offer() ([]digest.Algorithm, error) {
	var out []digest.Algorithm
	for _, name := range d.Offer {
		a := digest.ParseAlgorithm(name)
		if a == digest.AlgorithmUnknown {
			return nil, fmt.Errorf("%q is neither md5 nor sha-256", name)
		}
		for _, b := range out {
			if a == b {
				return nil, fmt.Errorf("%s stands there twice", strings.ToLower(name))
			}
		}
		out = append(out, a)
	}
	if len(out) == 0 {
		return nil, errors.New("is empty; want md5, sha-256 or both")
	}
	return out, nil
}

func (b BansConfig) validate(bad func(key, format string, args ...any)) {
	if b.Failures < 0 || b.Failures > 1_000_000 {
		bad("bans.failures", "%d is not between 0 and 1000000", b.Failures)
	}
	if b.Window < time.Second || b.Window > 24*time.Hour {
		bad("bans.window", "%v is not between 1s and 24h", b.Window)
	}
	if b.Duration < time.Second || b.Duration > maxBan {
		bad("bans.duration", "%v is not between 1s and %v", b.Duration, maxBan)
	}
	if b.Account < 0 {
		bad("bans.account", "%d is negative", b.Account)
	}
	if b.Sources < 64 || b.Sources > 16<<20 {
		bad("bans.sources", "%d is not between 64 and %d", b.Sources, 16<<20)
	}
	if b.Max < 1 || b.Max > 1<<20 {
		bad("bans.max", "%d is not between 1 and %d", b.Max, 1<<20)
	}
	if _, err := b.exempt(); err != nil {
		bad("bans.exempt", "%v", err)
	}
}

// exempt returns the prefixes of sources that are never banned.
func (b BansConfig) exempt() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range b.Exempt {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return nil, fmt.Errorf("%q is neither an address nor a prefix such as 10.0.0.0/8", s)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}
