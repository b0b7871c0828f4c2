package fabric_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTime bounds every test; none should come near.
const testTime = 20 * time.Second

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	t.Cleanup(cancel)
	return ctx
}

// link is the way to a server, which can be cut and mended, and led to another server.
type link struct {
	mu    sync.Mutex // guards what follows
	to    *fabrictest.NATS
	conns []net.Conn
	isCut bool
}

func (l *link) InProcessConn() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		return nil, errors.New("the link is cut")
	}
	c, err := l.to.InProcessConn()
	if err == nil {
		l.conns = append(l.conns, c)
	}
	return c, err
}

func (l *link) SyncStream(stream string) error {
	l.mu.Lock()
	to := l.to
	l.mu.Unlock()
	return to.SyncStream(stream)
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = false
}

func (l *link) lead(to *fabrictest.NATS) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = to
}

// eventually polls until ok returns nil, and fails with its last error.
func eventually(t testing.TB, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(testTime)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// next takes one value of ch, or fails.
func next[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(testTime):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// watch starts a watch and returns its entries and a channel closed when it has synced. It ends with the test.
func watch(t testing.TB, b *fabric.Bucket, prefix string) (entries <-chan fabric.Entry, synced <-chan struct{}) {
	t.Helper()
	ch, ok := make(chan fabric.Entry, 10000), make(chan struct{})
	run(t, func(ctx context.Context) error {
		return b.Watch(ctx, prefix, func(e fabric.Entry) { ch <- e }, func() { close(ok) })
	})
	return ch, ok
}

// subscribe starts a subscription and returns its messages. It ends with the test.
func subscribe(t testing.TB, f *fabric.Fabric, stream, filter string, from fabric.From) <-chan fabric.Message {
	t.Helper()
	ch := make(chan fabric.Message, 100000)
	run(t, func(ctx context.Context) error {
		return f.Subscribe(ctx, stream, filter, from, func(m fabric.Message) { ch <- m })
	})
	return ch
}

// run runs fn until the test ends and reports its error.
func run(t testing.TB, fn func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := next(t, done); err != nil {
			t.Error(err)
		}
	})
}

func newPair(t testing.TB) (a, b *fabric.Fabric) {
	t.Helper()
	srv := fabrictest.Server(t, t.TempDir())
	return fabrictest.Connect(t, srv, "a"), fabrictest.Connect(t, srv, "b")
}

func call(n int) string { return fabric.Subject("call", "demo", fmt.Sprint("c", n), "EventX") }
