package media

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"parley/internal/voice"
)

// testPool is a pool of n pairs under a clock that the test moves.
func testPool(t *testing.T, n int, quarantine time.Duration) (*Pool, *time.Time) {
	t.Helper()
	cfg := testConfig()
	cfg.LastPort = cfg.FirstPort + 2*n - 1
	cfg.Quarantine = quarantine
	now := time.Unix(1000, 0)
	p, err := newPool(cfg, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return p, &now
}

func free(uint16) error { return nil }

func mustAcquire(t *testing.T, p *Pool) uint16 {
	t.Helper()
	port, err := p.acquire(free)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Every pair is handed out once before any comes again, and none before its quarantine is over.
func TestPortIsNeverReusedEarly(t *testing.T) {
	const pairs, quarantine = 8, 3 * time.Second
	p, now := testPool(t, pairs, quarantine)
	returned := map[uint16]time.Time{}
	for range 50 * pairs {
		port, err := p.acquire(free)
		if err != nil {
			*now = now.Add(quarantine / pairs)
			continue
		}
		if port%2 != 0 || port < 12000 || port >= 12000+2*pairs {
			t.Fatalf("port %d is odd or out of range", port)
		}
		if at, again := returned[port]; again && now.Sub(at) < quarantine {
			t.Fatalf("port %d after a rest of %v, want %v", port, now.Sub(at), quarantine)
		}
		p.put(port)
		returned[port] = *now
		*now = now.Add(100 * time.Millisecond)
	}
	if len(returned) != pairs {
		t.Errorf("%d different pairs were used, want %d", len(returned), pairs)
	}
}

func TestLongestRestedGoesFirst(t *testing.T) {
	p, now := testPool(t, 3, time.Second)
	var order []uint16
	for range 3 {
		order = append(order, mustAcquire(t, p))
	}
	for _, i := range []int{2, 0, 1} {
		p.put(order[i])
		*now = now.Add(time.Minute)
	}
	for _, i := range []int{2, 0, 1} {
		if got := mustAcquire(t, p); got != order[i] {
			t.Errorf("got port %d, want %d, which rested longer", got, order[i])
		}
	}
}

func TestExhaustedPool(t *testing.T) {
	p, now := testPool(t, 2, time.Second)
	first := mustAcquire(t, p)
	mustAcquire(t, p)
	if _, err := p.acquire(free); !errors.Is(err, voice.ErrOverloaded) || !strings.Contains(err.Error(), "2 are in use") {
		t.Errorf("acquire = %v, want ErrOverloaded with the counts", err)
	}
	p.put(first)
	if _, err := p.acquire(free); !errors.Is(err, voice.ErrOverloaded) {
		t.Errorf("acquire = %v while the only pair rests, want ErrOverloaded", err)
	}
	if s := p.Stats(); s != (PoolStats{InUse: 1, Resting: 1, Exhausted: 2}) {
		t.Errorf("%+v", s)
	}
	*now = now.Add(time.Second)
	if s := p.Stats(); s.Free != 1 || s.Resting != 0 {
		t.Errorf("%+v after the rest", s)
	}
	if got := mustAcquire(t, p); got != first {
		t.Errorf("got port %d, want %d", got, first)
	}
}

// Pairs that others have are passed over and looked at again later; any other error ends the attempt and keeps the pair.
func TestOccupiedPortsArePassedOver(t *testing.T) {
	p, now := testPool(t, 4, time.Second)
	mine := uint16(12004)
	occupied := func(port uint16) error {
		if port != mine {
			return fmt.Errorf("bind: %w", errOccupied)
		}
		return nil
	}
	if got, err := p.acquire(occupied); err != nil || got != mine {
		t.Fatalf("acquire = %d, %v, want %d", got, err, mine)
	}
	if _, err := p.acquire(occupied); !errors.Is(err, voice.ErrOverloaded) {
		t.Errorf("acquire = %v with all others occupied, want ErrOverloaded", err)
	}
	if s := p.Stats(); s.InUse != 1 || s.PassedOver != 3 {
		t.Errorf("%+v, want 3 passed over and 1 in use", s)
	}
	*now = now.Add(time.Second)
	broken := errors.New("no such device")
	if _, err := p.acquire(func(uint16) error { return broken }); !errors.Is(err, broken) || errors.Is(err, voice.ErrOverloaded) {
		t.Errorf("acquire = %v, want the error of bind", err)
	}
	if s := p.Stats(); s.InUse != 1 {
		t.Errorf("%+v after a failed bind, want no pair lost", s)
	}
}

// A real port that somebody else has, be it the RTP or the RTCP one, is never given to a leg.
func TestRealOccupiedPorts(t *testing.T) {
	for name, open := range drivers() {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			cfg.FirstPort, cfg.LastPort = 14000, 14011
			taken := map[uint16]bool{}
			for _, port := range []int{14000, 14003, 14006} { // three of six pairs; another program may have more
				if conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: loopback.AsSlice(), Port: port}); err == nil {
					defer func() { _ = conn.Close() }()
				}
				taken[uint16(port&^1)] = true
			}
			p := startPlane(t, cfg, open)
			var legs []*Leg
			for {
				l, err := p.Open(Hooks{})
				if errors.Is(err, voice.ErrOverloaded) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				legs = append(legs, l)
				if rtp, rtcp := l.Ports(); taken[rtp] || rtcp != rtp+1 {
					t.Errorf("a leg has ports %d and %d", rtp, rtcp)
				}
			}
			if len(legs) > 3 {
				t.Errorf("%d legs opened on at most three free pairs", len(legs))
			}
			if s := p.pool.Stats(); s.InUse != len(legs) || s.PassedOver < 3 {
				t.Errorf("%+v with %d legs", s, len(legs))
			}
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"media.bind":          func(c *Config) { c.Bind = netip.Addr{} },
		"media.external_host": func(c *Config) { c.External = netip.IPv4Unspecified() },
		"media.ports":         func(c *Config) { c.FirstPort, c.LastPort = 20001, 20004 },
		"media.quarantine":    func(c *Config) { c.Quarantine = -1 },
		"media.learn_window":  func(c *Config) { c.LearnWindow = time.Hour },
		"media.max_packet":    func(c *Config) { c.MaxPacketRate = 10 },
		"media.dscp":          func(c *Config) { c.DSCP = 64 },
		"media.readers":       func(c *Config) { c.Readers = -1 },
	} {
		c := DefaultConfig()
		change(&c)
		if _, err := NewPool(c); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("NewPool = %v, want an error about %s", err, want)
		}
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("DefaultConfig: %v", err)
	}
}

func TestPairsOf(t *testing.T) {
	for _, c := range []struct{ first, last, even, pairs int }{
		{20000, 29999, 20000, 5000}, {20001, 20004, 20002, 1}, {20000, 20000, 20000, 0}, {65534, 65535, 65534, 1},
	} {
		if even, pairs := pairsOf(c.first, c.last); even != c.even || pairs != c.pairs {
			t.Errorf("pairsOf(%d, %d) = %d, %d, want %d, %d", c.first, c.last, even, pairs, c.even, c.pairs)
		}
	}
}
