package sipproxy

import (
	"errors"
	"fmt"
	"time"

	"parley/internal/sipua/transport"
)

// Keep-alive methods for bindings behind NAT.
const (
	KeepAliveCRLF    = "crlf"    // an empty line: four bytes that no phone answers
	KeepAliveOptions = "options" // a request, for NATs that want to see answers
	KeepAliveOff     = "off"
)

// Config is how the front door behaves. [DefaultConfig] fills it; nothing fills in values later.
type Config struct {
	MaxRegisters    int           `yaml:"max_registers"`    // REGISTER requests at the registrar at once; one more gets 503
	MaxTransactions int           `yaml:"max_transactions"` // server transactions at once; a request beyond gets 503
	Reselect        time.Duration `yaml:"reselect"`         // a SIP node that says nothing for so long is given up for the next
	TimerC          time.Duration `yaml:"timer_c"`          // an INVITE may ring that long after its last provisional answer (RFC 3261 §16.6)
	T1              time.Duration `yaml:"t1"`               // round-trip estimate (RFC 3261 §17.1.1.1)
	Drain           time.Duration `yaml:"drain"`            // a stop waits so long for requests in progress

	KeepAlive         string        `yaml:"keep_alive"`          // crlf, options or off: what bindings behind NAT are sent
	KeepAliveInterval time.Duration `yaml:"keep_alive_interval"` // whole seconds; below what NATs forget after, which may be 30 s
	MaxBindings       int           `yaml:"max_bindings"`        // connections and NATed bindings remembered; more are served, but not kept alive

	Trace int `yaml:"trace"` // bytes of SIP messages of calls that are remembered for the pages; 0 = none

	UDPSockets int              `yaml:"udp_sockets"` // sockets a UDP listener; 0 = 1. More help from four cores on
	Origins    []string         `yaml:"origins"`     // where browsers may come from on ws and wss; empty: the host they ask for
	Limits     transport.Limits `yaml:"limits"`      // what strangers can make us do; zero fields: the defaults of the transport
}

// DefaultConfig returns the settings of an edge box.
func DefaultConfig() Config {
	return Config{
		MaxRegisters:      2048,
		MaxTransactions:   100_000,
		Reselect:          1500 * time.Millisecond,
		TimerC:            185 * time.Second,
		T1:                500 * time.Millisecond,
		Drain:             3 * time.Second,
		KeepAlive:         KeepAliveCRLF,
		KeepAliveInterval: 25 * time.Second,
		MaxBindings:       200_000,
		Trace:             16 << 20,
	}
}

// Validate returns every problem at once, each under its key below sipproxy.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("sipproxy.%s: %s", key, fmt.Sprintf(format, args...)))
	}
	between := func(key string, v, lo, hi time.Duration) {
		if v < lo || v > hi {
			bad(key, "%v is out of range (want %v to %v)", v, lo, hi)
		}
	}
	count := func(key string, v, hi int) {
		if v < 1 || v > hi {
			bad(key, "%d is out of range (want 1 to %d)", v, hi)
		}
	}
	count("max_registers", c.MaxRegisters, 4096)
	count("max_transactions", c.MaxTransactions, 10_000_000)
	count("max_bindings", c.MaxBindings, 10_000_000)
	between("reselect", c.Reselect, 100*time.Millisecond, 30*time.Second)
	between("timer_c", c.TimerC, 10*time.Second, time.Hour)
	between("t1", c.T1, 10*time.Millisecond, 5*time.Second)
	between("drain", c.Drain, 0, time.Minute)
	between("keep_alive_interval", c.KeepAliveInterval, time.Second, 10*time.Minute)
	if c.KeepAliveInterval%time.Second != 0 {
		bad("keep_alive_interval", "%v is no whole number of seconds", c.KeepAliveInterval)
	}
	switch c.KeepAlive {
	case KeepAliveCRLF, KeepAliveOptions, KeepAliveOff:
	default:
		bad("keep_alive", "unknown method %q (want %s, %s or %s)", c.KeepAlive, KeepAliveCRLF, KeepAliveOptions, KeepAliveOff)
	}
	if c.Trace != 0 && (c.Trace < minTrace || c.Trace > maxTrace) {
		bad("trace", "%d bytes is out of range (want 0 for none, or %d to %d)", c.Trace, minTrace, maxTrace)
	}
	if c.UDPSockets < 0 || c.UDPSockets > 64 {
		bad("udp_sockets", "%d is out of range (want 0 to 64)", c.UDPSockets)
	}
	return errors.Join(errs...)
}
