package sip

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// A standing call is small: what brought it about is let go. The ports of its audio are not counted here.
func TestStandingCallIsSmall(t *testing.T) {
	const calls, most = 500, 14 << 10
	s := newStage(t)
	s.phone("1002", "b", "c")
	kept := make([]*call, 0, calls)
	set := func(n int) {
		for i := range n {
			in := s.call("1002", "Supported: 100rel, timer", "Allow: INVITE, ACK, BYE, UPDATE")
			b := s.last("INVITE", "b")
			b.answer(180, "")
			b.answer(200, sdpAnswer+strings.Repeat("a=x-more:of what phones say\r\n", 20))
			s.last("INVITE", "c").answer(487, "")
			s.callerSays("ACK", 1, "")
			if s.c.phase != talking {
				t.Fatalf("call %d is %v: %s", i, s.c.phase, in.last)
			}
			kept = append(kept, s.c)
			s.dialogs[fmt.Sprint(len(kept))] = s.c
			s.sent, s.events = nil, nil
			s.ladder.Reset()
			running := s.timers[:0]
			for _, timer := range s.timers {
				if !timer.stopped {
					running = append(running, timer)
				}
			}
			clear(s.timers[len(running):])
			s.timers = running
		}
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	set(10)
	before := heap()
	set(calls)
	each := (heap() - before) / calls
	t.Logf("%d bytes a call", each)
	if each > most {
		t.Errorf("a standing call takes %d bytes, want %d at most", each, most)
	}
	runtime.KeepAlive(kept)
}
