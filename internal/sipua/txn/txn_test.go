package txn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"parley/internal/sipua/transport"
	"parley/internal/sipua/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// path is a way that remembers when what was sent, since its making.
type path struct {
	over  transport.Transport
	start time.Time
	mu    sync.Mutex // guards what follows
	err   error
	sent  []string // "1.5s 200", "0s INVITE"
}

func newPath(over transport.Transport) *path { return &path{over: over, start: time.Now()} }

func (p *path) Transport() transport.Transport { return p.over }

func (p *path) Send(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	var m wire.Message
	if err := wire.Scan(&m, b); err != nil {
		return err
	}
	what := string(m.Method())
	if !m.IsRequest() {
		what = fmt.Sprint(m.Status())
	}
	p.sent = append(p.sent, fmt.Sprint(time.Since(p.start).Round(time.Millisecond), " ", what))
	return nil
}

func (p *path) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *path) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sent)
}

// core answers as the test says and remembers what it was told.
type recorder struct {
	mu      sync.Mutex // guards what follows
	events  []string
	onReq   func(*Server)
	servers []*Server
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

func (r *recorder) Request(tx *Server) {
	r.note("request %s", tx.Request().Method())
	r.mu.Lock()
	r.servers = append(r.servers, tx)
	r.mu.Unlock()
	if r.onReq != nil {
		r.onReq(tx)
	}
}
func (r *recorder) Cancel(*Server, *Message) { r.note("cancel") }
func (r *recorder) Ack(*Message)             { r.note("ack") }
func (r *recorder) Stray(m *Message)         { r.note("stray %d", m.Status()) }
func (r *recorder) Answer(m *Message, status int) {
	r.note("answer %s %d", m.Method(), status)
}

// world is a running layer in a bubble of fake time.
type world struct {
	t    *testing.T
	l    *Layer
	core *recorder
	p    *path
	stop func()
}

func newWorld(t *testing.T, over transport.Transport, tweak func(*Options)) *world {
	w := &world{t: t, core: &recorder{}, p: newPath(over)}
	o := Options{Core: w.core, Shards: 2}
	if tweak != nil {
		tweak(&o)
	}
	w.l = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.l.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return w
}

func request(method, branch string) []byte {
	cseq := method
	return []byte(strings.Join([]string{method + " sip:b@c SIP/2.0", "Via: SIP/2.0/UDP h:1;branch=" + branch, "From: <sip:a@b>;tag=1",
		"To: <sip:b@c>", "Call-ID: call", "CSeq: 1 " + cseq, "Content-Length: 0", "", ""}, "\r\n"))
}

func response(status int, method, branch string) []byte {
	var m wire.Message
	if err := wire.Scan(&m, request(method, branch)); err != nil {
		panic(err)
	}
	return wire.AppendEnd(wire.AppendAnswer(nil, &m, status, "", transport.Flow{}.Remote(), []byte("t")))
}

func (w *world) receive(b []byte) bool {
	w.t.Helper()
	var m wire.Message
	if err := wire.Scan(&m, b); err != nil {
		w.t.Fatal(err)
	}
	ok := w.l.Receive(&m, transport.Flow{}, w.p, time.Now())
	synctest.Wait()
	return ok
}

func (w *world) do(fn func(*Shard)) {
	s := w.l.Shard([]byte("call"))
	s.Do(func() { fn(s) })
	synctest.Wait()
}

func (w *world) expect(what string, got, want []string) {
	w.t.Helper()
	if !slices.Equal(got, want) {
		w.t.Errorf("%s\n got %q\nwant %q", what, got, want)
	}
}

func respondAll(status ...int) func(*Server) {
	return func(tx *Server) {
		method := string(tx.Request().Method())
		for _, s := range status {
			if err := tx.Respond(s, response(s, method, "z9hG4bK1")); err != nil {
				panic(err)
			}
		}
	}
}

func TestServerInvite(t *testing.T) {
	t.Run("refused over UDP: repeated until the ACK", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, transport.UDP, nil)
			defer w.stop()
			w.core.onReq = respondAll(100, 486)
			w.receive(request("INVITE", "z9hG4bK1"))
			time.Sleep(1200 * time.Millisecond) // in the bubble this takes no time
			w.receive(request("INVITE", "z9hG4bK1"))
			w.receive(request("ACK", "z9hG4bK1"))
			time.Sleep(4 * time.Second)
			w.receive(request("INVITE", "z9hG4bK1")) // confirmed: absorbed without a word
			w.receive(request("ACK", "z9hG4bK1"))
			w.expect("sent", w.p.take(), []string{"0s 100", "0s 486", "500ms 486", "1.2s 486"})
			w.expect("told", w.core.take(), []string{"request INVITE"})
			if time.Sleep(2 * time.Second); w.l.Servers() != 0 {
				t.Errorf("%d transactions after Timer I", w.l.Servers())
			}
		})
	})
	t.Run("never acknowledged: Timer G doubles, Timer H ends it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, transport.UDP, nil)
			defer w.stop()
			w.core.onReq = respondAll(404)
			w.receive(request("INVITE", "z9hG4bK1"))
			time.Sleep(31 * time.Second)
			w.expect("sent", w.p.take(), []string{"0s 404", "500ms 404", "1.5s 404", "3.5s 404", "7.5s 404", "11.5s 404", "15.5s 404", "19.5s 404", "23.5s 404", "27.5s 404"})
			if time.Sleep(2 * time.Second); w.l.Servers() != 0 {
				t.Errorf("%d transactions after Timer H", w.l.Servers())
			}
		})
	})
	t.Run("accepted: 2xx are the core's, for Timer L (RFC 6026)", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, transport.UDP, nil)
			defer w.stop()
			w.core.onReq = respondAll(180, 200)
			w.receive(request("INVITE", "z9hG4bK1"))
			time.Sleep(time.Second)
			w.receive(request("INVITE", "z9hG4bK1")) // absorbed
			w.receive(request("ACK", "z9hG4bK2"))    // its own branch: for the core
			w.do(func(*Shard) {
				if err := w.core.servers[0].Respond(200, response(200, "INVITE", "z9hG4bK1")); err != nil {
					t.Error(err)
				}
				if err := w.core.servers[0].Respond(486, response(486, "INVITE", "z9hG4bK1")); !errors.Is(err, ErrEnded) {
					t.Errorf("a refusal after the 200: %v", err)
				}
			})
			w.expect("sent", w.p.take(), []string{"0s 180", "0s 200", "1s 200"})
			w.expect("told", w.core.take(), []string{"request INVITE", "ack"})
			if time.Sleep(32 * time.Second); w.l.Servers() != 0 {
				t.Errorf("%d transactions after Timer L", w.l.Servers())
			}
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, transport.TCP, nil)
			defer w.stop()
			w.receive(request("CANCEL", "z9hG4bK1")) // of nothing
			w.receive(request("INVITE", "z9hG4bK1"))
			w.receive(request("CANCEL", "z9hG4bK1"))
			w.do(func(*Shard) { _ = w.core.servers[0].Respond(487, response(487, "INVITE", "z9hG4bK1")) })
			w.receive(request("CANCEL", "z9hG4bK1")) // too late, but answered
			w.receive(request("ACK", "z9hG4bK1"))
			w.expect("told", w.core.take(), []string{"answer CANCEL 481", "request INVITE", "answer CANCEL 200", "cancel", "answer CANCEL 200"})
			if w.l.Servers() != 0 {
				t.Errorf("%d transactions: on a stream the ACK ends it", w.l.Servers())
			}
		})
	})
}

func TestServerNonInvite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, transport.UDP, nil)
		defer w.stop()
		w.receive(request("BYE", "z9hG4bK1"))
		w.receive(request("BYE", "z9hG4bK1")) // nothing to repeat yet
		w.do(func(*Shard) { respondAll(200)(w.core.servers[0]) })
		w.receive(request("BYE", "z9hG4bK1"))
		w.receive(request("BYE", "z9hG4bK2")) // another one, which nobody answers
		w.expect("sent", w.p.take(), []string{"0s 200", "0s 200"})
		w.expect("told", w.core.take(), []string{"request BYE", "request BYE"})
		time.Sleep(33 * time.Second)
		if w.l.Servers() != 1 {
			t.Errorf("%d transactions after Timer J, want the unanswered one", w.l.Servers())
		}
		if time.Sleep(40 * time.Second); w.l.Servers() != 0 {
			t.Errorf("%d transactions: age ends what nobody answers", w.l.Servers())
		}
	})
}

// TestRespondThatCannotBeSent: the transaction is over at once, whatever its state would have been.
func TestRespondThatCannotBeSent(t *testing.T) {
	for _, method := range []string{"INVITE", "BYE"} {
		for _, status := range []int{180, 200, 486} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, transport.UDP, nil)
				defer w.stop()
				w.receive(request(method, "z9hG4bK1"))
				w.p.fail(transport.ErrTooLarge)
				w.do(func(*Shard) {
					err := w.core.servers[0].Respond(status, response(status, method, "z9hG4bK1"))
					if !errors.Is(err, ErrSend) || !errors.Is(err, transport.ErrTooLarge) {
						t.Errorf("Respond = %v", err)
					}
				})
				if w.l.Servers() != 0 {
					t.Errorf("%s %d: %d transactions left", method, status, w.l.Servers())
				}
			})
		}
	}
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, transport.UDP, func(o *Options) { o.MaxServer, o.Queue = 2, 1 })
		defer w.stop()
		for i := range 3 {
			w.receive(request("BYE", fmt.Sprint("z9hG4bK", i)))
		}
		w.expect("told", w.core.take(), []string{"request BYE", "request BYE", "answer BYE 503"})
		hold := make(chan struct{})
		w.l.Shard([]byte("call")).Do(func() { <-hold })
		var m wire.Message
		if err := wire.Scan(&m, request("BYE", "z9hG4bK9")); err != nil {
			t.Fatal(err)
		}
		first, second := w.l.Receive(&m, transport.Flow{}, w.p, time.Now()), w.l.Receive(&m, transport.Flow{}, w.p, time.Now())
		if !first || second || w.l.Waiting() != 1 {
			t.Errorf("a queue of one took %v, %v; %d wait", first, second, w.l.Waiting())
		}
		close(hold)
	})
}

// waiter remembers what becomes of a request.
type waiter struct{ r *recorder }

func (w waiter) Response(c *Client, m *Message) {
	w.r.note("%d heard=%v done=%v", m.Status(), c.Heard(), c.Done())
}
func (w waiter) Failed(_ *Client, err error) { w.r.note("failed %v", err) }

func (w *world) send(method, branch string) *Client {
	w.t.Helper()
	var c *Client
	w.do(func(s *Shard) {
		var err error
		if c, err = s.Start(method, branch, request(method, branch), w.p, waiter{w.core}); err != nil {
			w.t.Error(err)
		}
	})
	return c
}

func TestClientInvite(t *testing.T) {
	t.Run("nobody answers: Timer A doubles, Timer B ends it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, transport.UDP, nil)
			defer w.stop()
			w.send("INVITE", "z9hG4bK1")
			time.Sleep(33 * time.Second)
			synctest.Wait()
			w.expect("sent", w.p.take(), []string{"0s INVITE", "500ms INVITE", "1.5s INVITE", "3.5s INVITE", "7.5s INVITE", "15.5s INVITE", "31.5s INVITE"})
			w.expect("told", w.core.take(), []string{"failed " + ErrTimeout.Error()})
			if w.l.Clients() != 0 {
				t.Errorf("%d transactions", w.l.Clients())
			}
		})
	})
	t.Run("refused: acknowledged each time, and the ACK never sleeps", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, transport.UDP, nil)
			defer w.stop()
			w.send("INVITE", "z9hG4bK1")
			w.receive(response(180, "INVITE", "z9hG4bK1"))
			for range 3 {
				w.receive(response(486, "INVITE", "z9hG4bK1"))
			}
			w.receive(response(200, "INVITE", "z9hG4bK1")) // after a refusal: absorbed
			w.expect("sent", w.p.take(), []string{"0s INVITE", "0s ACK", "0s ACK", "0s ACK"})
			w.expect("told", w.core.take(), []string{"180 heard=true done=false", "486 heard=true done=true"})
			if time.Sleep(33 * time.Second); w.l.Clients() != 0 {
				t.Errorf("%d transactions after Timer D", w.l.Clients())
			}
		})
	})
	t.Run("accepted: every 2xx is passed up, for Timer M", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, transport.UDP, nil)
			defer w.stop()
			w.send("INVITE", "z9hG4bK1")
			for range 3 {
				w.receive(response(200, "INVITE", "z9hG4bK1"))
			}
			w.receive(response(486, "INVITE", "z9hG4bK1")) // RFC 6026: not passed on
			time.Sleep(33 * time.Second)
			w.receive(response(200, "INVITE", "z9hG4bK1"))
			w.expect("sent", w.p.take(), []string{"0s INVITE"})
			w.expect("told", w.core.take(), []string{"200 heard=false done=true", "200 heard=false done=true", "200 heard=false done=true", "stray 200"})
		})
	})
	t.Run("cancelled: only when heard, and given up when nobody minds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, transport.UDP, nil)
			defer w.stop()
			c := w.send("INVITE", "z9hG4bK1")
			w.do(func(*Shard) { c.Cancel("") })
			w.receive(response(180, "INVITE", "z9hG4bK1"))
			w.do(func(*Shard) { c.Cancel(""); c.Cancel("") })
			w.receive(response(200, "CANCEL", "z9hG4bK1"))
			w.expect("sent", w.p.take(), []string{"0s INVITE", "0s CANCEL"})
			time.Sleep(33 * time.Second)
			synctest.Wait()
			w.expect("told", w.core.take(), []string{"180 heard=true done=false", "failed " + ErrTimeout.Error()})
			if w.l.Clients() != 0 {
				t.Errorf("%d transactions", w.l.Clients())
			}
		})
	})
	t.Run("rings for ever: ended by age", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, transport.TCP, nil)
			defer w.stop()
			w.send("INVITE", "z9hG4bK1")
			w.receive(response(180, "INVITE", "z9hG4bK1"))
			if time.Sleep(9 * time.Minute); w.l.Clients() != 1 {
				t.Error("ended before its time")
			}
			if time.Sleep(2 * time.Minute); w.l.Clients() != 0 {
				t.Errorf("%d transactions after ten minutes", w.l.Clients())
			}
		})
	})
}

func TestClientNonInvite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, transport.UDP, nil)
		defer w.stop()
		w.send("BYE", "z9hG4bK1")
		time.Sleep(8 * time.Second)
		w.receive(response(100, "BYE", "z9hG4bK1"))
		w.receive(response(200, "BYE", "z9hG4bK1"))
		w.receive(response(200, "BYE", "z9hG4bK1")) // absorbed for Timer K
		w.expect("sent", w.p.take(), []string{"0s BYE", "500ms BYE", "1.5s BYE", "3.5s BYE", "7.5s BYE"})
		time.Sleep(6 * time.Second)
		w.receive(response(200, "BYE", "z9hG4bK1"))
		w.expect("told", w.core.take(), []string{"100 heard=true done=false", "200 heard=true done=true", "stray 200"})
	})
}

func TestClientThatCannotSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, transport.UDP, nil)
		defer w.stop()
		w.send("BYE", "z9hG4bK1")
		w.p.fail(transport.ErrClosed)
		time.Sleep(time.Second)
		w.do(func(s *Shard) {
			if _, err := s.Start("BYE", "z9hG4bK2", request("BYE", "z9hG4bK2"), w.p, waiter{w.core}); !errors.Is(err, ErrSend) {
				t.Errorf("Start = %v", err)
			}
		})
		if got := w.core.take(); len(got) != 1 || !strings.HasPrefix(got[0], "failed") || w.l.Clients() != 0 {
			t.Errorf("told %q, %d transactions", got, w.l.Clients())
		}
	})
}

// TestRFC2543: without a unique branch, the whole request is the key.
func TestRFC2543(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, transport.UDP, nil)
		defer w.stop()
		w.core.onReq = respondAll(486)
		w.receive(request("INVITE", "1"))
		w.receive(request("INVITE", "1"))
		w.receive(request("ACK", "1"))
		w.expect("sent", w.p.take(), []string{"0s 486", "0s 486"})
		w.expect("told", w.core.take(), []string{"request INVITE"})
	})
}

// TestAPanicCostsOneMessage: a defect above us does not stop the shard.
func TestAPanicCostsOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		w := newWorld(t, transport.UDP, func(o *Options) { o.Registerer = reg })
		defer w.stop()
		w.core.onReq = func(*Server) { panic("a defect") }
		w.receive(request("BYE", "z9hG4bK1"))
		w.core.onReq = respondAll(200)
		w.receive(request("BYE", "z9hG4bK2"))
		w.expect("sent", w.p.take(), []string{"0s 200"})
	})
}

// TestTimersOfManyTimes: times beyond those of SIP work too, and leave nothing behind.
func TestTimersOfManyTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, transport.UDP, nil)
		defer w.stop()
		const n = 500
		fired := 0
		w.do(func(s *Shard) {
			for i := range n {
				s.After(time.Duration(n-i)*time.Millisecond, func() { fired++ })
			}
		})
		time.Sleep(time.Second)
		w.do(func(s *Shard) {
			s.After(time.Hour, func() {})
			if fired != n || len(s.timers.queues) > 2 {
				t.Errorf("%d timers fired, want %d; %d queues left", fired, n, len(s.timers.queues))
			}
		})
	})
}

func TestTimersFireInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, transport.UDP, nil)
		defer w.stop()
		w.do(func(s *Shard) {
			var timers []*Timer
			for _, ms := range []int{50, 10, 40, 20, 30, 25} {
				timers = append(timers, s.After(time.Duration(ms)*time.Millisecond, func() { w.core.note("%d", ms) }))
			}
			timers[4].Stop()
			timers[4].Stop()
			timers[1].Reset(45 * time.Millisecond)
		})
		time.Sleep(time.Second)
		synctest.Wait()
		w.expect("fired", w.core.take(), []string{"20", "25", "40", "10", "50"})
	})
}
