package transport

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

func TestStreamFloodIsReadMoreSlowly(t *testing.T) {
	o := echoOptions("tcp://127.0.0.1:0")
	o.Limits.StreamRate = 100
	var got atomic.Int64
	o.Handler = func(Message) { got.Add(1) }
	s := start(t, o)
	c := dialTCP(t, at(t, s, TCP))
	began := time.Now()
	go func() {
		for i := range 260 {
			c.Write(request(i, 0))
		}
	}()
	eventually(t, func() bool { return got.Load() == 260 }, func() string { return fmt.Sprintf("%d of 260 came", got.Load()) })
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("260 messages took %s; a burst of 200 and then 100 a second take 0.6s", took)
	}
	if n := s.floods.Load(); n < 1 || n > 10 {
		t.Errorf("floods = %d, want one for the incident", n)
	}
}

func TestStreamBannedInTheMiddle(t *testing.T) {
	o := echoOptions("tcp://127.0.0.1:0")
	var banned atomic.Bool
	o.Banned = func(netip.Addr) bool { return banned.Load() }
	var closed closings
	o.Closed = closed.note
	s := start(t, o)
	c := dialTCP(t, at(t, s, TCP))
	roundTrip(t, c, request(1, 0))
	banned.Store(true)
	c.Write(request(2, 0))
	closed.expect(t, ClosedBanned)
	refused(t, s)
	expectDropped(t, s, TCP, dropBanned, 2)
}

func refused(t *testing.T, s *Set) {
	t.Helper()
	c, err := net.Dial("tcp", at(t, s, TCP).String())
	if err != nil {
		return // reset at once
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(wait))
	c.Write(request(0, 0))
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("served: read %d", n)
	}
}

func TestStreamCaps(t *testing.T) {
	for name, tc := range map[string]struct {
		limits Limits
		why    dropReason
	}{
		"all":    {Limits{MaxConnections: 3}, dropConnections},
		"source": {Limits{MaxPerSource: 3}, dropPerSource},
		"rate":   {Limits{ConnectRate: 1, ConnectBurst: 3}, dropConnectRate},
	} {
		t.Run(name, func(t *testing.T) {
			o := echoOptions("tcp://127.0.0.1:0")
			o.Limits = tc.limits
			s := start(t, o)
			var held []net.Conn
			for i := range 3 {
				c := dialTCP(t, at(t, s, TCP))
				roundTrip(t, c, request(i, 0))
				held = append(held, c)
			}
			refused(t, s)
			expectDropped(t, s, TCP, tc.why, 1)
			roundTrip(t, held[0], request(9, 0))
			if tc.why == dropConnectRate {
				return
			}
			held[1].Close() // makes room
			eventually(t, func() bool {
				c, err := net.Dial("tcp", at(t, s, TCP).String())
				if err != nil {
					return false
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(wait))
				c.Write(request(5, 0))
				_, err = c.Read(make([]byte, 1))
				return err == nil
			}, func() string { return "no room although one has left" })
		})
	}
}
