package transport

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestStreamSlowReaderHoldsUpNobody(t *testing.T) {
	eachStream(t, func(t *testing.T, _ Transport, o Options, connect func(*testing.T, *Set) net.Conn) {
		flows := make(chan Flow, 2)
		var closed closings
		o.Closed = closed.note
		echo := o.Handler
		o.Handler = func(m Message) { flows <- m.Flow; echo(m) }
		s := start(t, o)
		slow, quick := connect(t, s), connect(t, s)
		roundTrip(t, slow, request(1, 0))
		f := <-flows
		var err error
		for i := 0; err == nil && i < 10000; i++ { // far more than the kernel and the queue hold
			began := time.Now()
			err = f.Send(request(i, 50000))
			if took := time.Since(began); took > wait/4 {
				t.Fatalf("a send waited %s for the peer", took)
			}
		}
		if err == nil {
			t.Error("a peer that never reads was sent 500 MB")
		}
		closed.expect(t, ClosedSlow)
		roundTrip(t, quick, request(2, 100))
		if s.waits.Load() == 0 {
			t.Error("sip_stream_transport_wait_drain_total did not count")
		}
	})
}

func TestStreamQueueReachesAPeerThatReadsAtLast(t *testing.T) {
	eachStream(t, func(t *testing.T, _ Transport, o Options, connect func(*testing.T, *Set) net.Conn) {
		o.Limits.MaxQueue = 64 << 20
		flows := make(chan Flow, 1)
		o.Handler = func(m Message) { flows <- m.Flow }
		s := start(t, o)
		c := connect(t, s)
		c.Write(request(0, 0))
		f := <-flows
		const n = 300
		for i := range n { // 15 MB: more than socket buffers take
			if err := f.Send(request(i, 50000)); err != nil {
				t.Fatal(err)
			}
		}
		if s.waits.Load() == 0 {
			t.Fatal("nothing was queued")
		}
		f.Close() // must not cut what is queued
		r := bufio.NewReader(c)
		for i := range n {
			if m := readMessage(t, r); !strings.Contains(m, fmt.Sprintf("CSeq: %d ", i)) {
				t.Fatalf("message %d is %.100q", i, m)
			}
		}
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("after the last message: %v, want EOF", err)
		}
	})
}

func TestStreamCloseInTheHandlerLetsTheQueueLeave(t *testing.T) {
	eachStream(t, func(t *testing.T, _ Transport, o Options, connect func(*testing.T, *Set) net.Conn) {
		o.Limits.MaxQueue = 64 << 20
		var closed closings
		o.Closed = closed.note
		const n = 300
		var handled atomic.Int64
		o.Handler = func(m Message) {
			handled.Add(1)
			for i := range n {
				if err := m.Flow.Send(request(i, 50000)); err != nil {
					t.Error(err)
				}
			}
			m.Flow.Close()
		}
		s := start(t, o)
		c := connect(t, s)
		c.Write(append(request(0, 0), request(1, 0)...)) // the second comes too late
		r := bufio.NewReader(c)
		for i := range n {
			if m := readMessage(t, r); !strings.Contains(m, fmt.Sprintf("CSeq: %d ", i)) {
				t.Fatalf("message %d is %.100q", i, m)
			}
		}
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("after the last message: %v, want EOF", err)
		}
		closed.expect(t, ClosedByUs)
		if handled.Load() != 1 {
			t.Errorf("%d messages handled, want none after Close", handled.Load())
		}
	})
}

func TestStreamStalledQueueIsCut(t *testing.T) {
	o := echoOptions("tcp://127.0.0.1:0")
	o.Limits.MaxQueue = 64 << 20
	o.Limits.WriteTimeout = 50 * time.Millisecond
	var closed closings
	o.Closed = closed.note
	flows := make(chan Flow, 1)
	o.Handler = func(m Message) { flows <- m.Flow }
	s := start(t, o)
	c := dialTCP(t, at(t, s, TCP))
	c.Write(request(0, 0))
	f := <-flows
	for i := range 300 {
		if err := f.Send(request(i, 50000)); err != nil {
			break
		}
	}
	closed.expect(t, ClosedSlow)
}
