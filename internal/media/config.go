package media

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Config says which ports carry media and how long things last. Start from [DefaultConfig].
type Config struct {
	Bind      netip.Addr // address the sockets are bound to; unspecified (0.0.0.0, ::) is all of them
	External  netip.Addr // address told to peers in SDP; the zero Addr leaves it to [Plane.HostFor]
	FirstPort int        // first and last port of the range, RTP on even ones and RTCP on the odd ones above
	LastPort  int

	Quarantine    time.Duration // how long a returned pair rests before another call gets it
	LearnWindow   time.Duration // how long after the first packet a peer's address may still move (symmetric RTP)
	MaxPacketRate int           // packets a second that one side may send; more are dropped
	DSCP          int           // differentiated services code point of what is sent; 46 is expedited forwarding. Linux only
	Readers       int           // goroutines that move packets; 0 is one for every two processors. Linux only
}

// DefaultConfig is a range of 5,000 pairs on all IPv4 addresses.
func DefaultConfig() Config {
	return Config{
		Bind: netip.IPv4Unspecified(), FirstPort: 20000, LastPort: 29999,
		Quarantine: 3 * time.Second, LearnWindow: 3 * time.Second, MaxPacketRate: 500, DSCP: 46,
	}
}

// Validate names every value that cannot be used.
func (c Config) Validate() error {
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("media."+format, args...))
		}
	}
	bad(c.Bind.IsValid(), "bind: want an IP address, 0.0.0.0 for all")
	bad(!c.External.IsValid() || !c.External.IsUnspecified() && !c.External.IsMulticast(), "external_host: %v is no address peers could send to", c.External)
	first, pairs := pairsOf(c.FirstPort, c.LastPort)
	bad(c.FirstPort >= 1 && c.LastPort <= 65535 && first > 0 && pairs >= 2,
		"ports: %d-%d holds no two pairs of an even and the next odd port", c.FirstPort, c.LastPort)
	bad(c.Quarantine >= 0 && c.Quarantine <= time.Hour, "quarantine: %v is not between 0 and an hour", c.Quarantine)
	bad(c.LearnWindow >= 0 && c.LearnWindow <= time.Minute, "learn_window: %v is not between 0 and a minute", c.LearnWindow)
	bad(c.MaxPacketRate >= 50, "max_packet_rate: %d is less than the 50 of ordinary audio", c.MaxPacketRate)
	bad(c.DSCP >= 0 && c.DSCP < 64, "dscp: %d is not between 0 and 63", c.DSCP)
	bad(c.Readers >= 0 && c.Readers <= 64, "readers: %d is not between 0 and 64", c.Readers)
	return errors.Join(errs...)
}

// pairsOf is the first even port of a range and the number of pairs (n, n+1) in it.
func pairsOf(first, last int) (even, pairs int) {
	even = first + first&1
	return even, max(0, (last-even+1)/2)
}
