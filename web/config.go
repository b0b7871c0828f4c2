package web

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Config is how the pages are served.
type Config struct {
	Listen    string `yaml:"listen"`     // host:port; port 0 picks a free one
	PublicURL string `yaml:"public_url"` // how people reach the pages when it is not http(s)://listen, e.g. behind a proxy
	TLS       TLS    `yaml:"tls"`

	SessionIdle       time.Duration `yaml:"session_idle"`        // a session ends when no page was asked for so long
	SessionMax        time.Duration `yaml:"session_max"`         // and after this in any case
	StreamsPerSession int           `yaml:"streams_per_session"` // pages with live updates at once, of one session
}

// TLS is the certificate of the pages; both empty: plain HTTP.
type TLS struct {
	Cert string `yaml:"cert"` // PEM file, with intermediates
	Key  string `yaml:"key"`  // PEM file
}

// DefaultConfig returns what a node uses when its file says nothing.
func DefaultConfig() Config {
	return Config{
		Listen:            "127.0.0.1:8080",
		SessionIdle:       2 * time.Hour,
		SessionMax:        12 * time.Hour,
		StreamsPerSession: 4, // a browser opens six connections to a host over HTTP/1.1; two are left for pages
	}
}

// Validate reports every problem, each under its YAML path.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		bad("web.listen: %q is not host:port", c.Listen)
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" {
			bad("web.public_url: %q is not an address like https://voice.example.com", c.PublicURL)
		}
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		bad("web.tls: cert and key belong together; one of them is missing")
	}
	if c.SessionIdle < time.Minute {
		bad("web.session_idle: %v is too short (want at least 1m)", c.SessionIdle)
	}
	if c.SessionMax < c.SessionIdle {
		bad("web.session_max: %v is shorter than session_idle", c.SessionMax)
	}
	if c.StreamsPerSession < 1 {
		bad("web.streams_per_session: %d is too few (want at least 1)", c.StreamsPerSession)
	}
	return errors.Join(errs...)
}

// secure tells whether browsers reach the pages over TLS, so that cookies may demand it.
func (c Config) secure() bool {
	u, err := url.Parse(c.PublicURL)
	return c.TLS.Cert != "" || err == nil && u.Scheme == "https"
}
