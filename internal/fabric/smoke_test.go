package fabric_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/voice"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSmoke(t *testing.T) {
	srv := fabrictest.Server(t, t.TempDir())
	start := time.Now()
	a := fabrictest.Connect(t, srv, "a")
	t.Logf("first connect %v", time.Since(start))
	start = time.Now()
	b := fabrictest.Connect(t, srv, "b")
	t.Logf("second connect %v", time.Since(start))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	door := fabric.NewDoor[int, int]("calc", "double", time.Second)
	stop, err := fabric.Handle(ctx, a, door, func(_ context.Context, n int) (int, error) {
		if n < 0 {
			return 0, voice.Errorf(voice.ErrNotFound, "no %d", n)
		}
		return 2 * n, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*fabric.Fabric{a, b} {
		if n, err := fabric.Call(ctx, f, door, 21); n != 42 || err != nil {
			t.Errorf("Call = %d, %v", n, err)
		}
		if _, err := fabric.Call(ctx, f, door, -1); !errors.Is(err, voice.ErrNotFound) {
			t.Errorf("Call = %v", err)
		}
		if n, err := fabric.CallNode(ctx, f, door, "a", 21); n != 42 || err != nil {
			t.Errorf("CallNode = %d, %v", n, err)
		}
	}
	stop()
	if _, err := fabric.Call(ctx, b, door, 21); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("Call of a closed door = %v", err)
	}

	bk := a.Bucket(fabric.BucketRegistrations)
	got := make(chan fabric.Entry, 16)
	synced := make(chan struct{})
	wctx, wcancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- b.Bucket(fabric.BucketRegistrations).Watch(wctx, "", func(e fabric.Entry) { got <- e }, func() { close(synced) })
	}()
	<-synced
	rev, err := bk.Put(ctx, fabric.Key("demo", "1001"), []byte("x"), fabric.PutOptions{CAS: true, TTL: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if e := <-got; e.Revision != rev || string(e.Value) != "x" || e.Key != "demo.1001" {
		t.Errorf("watch gave %+v", e)
	}
	if _, err := bk.Put(ctx, "demo.1001", nil, fabric.PutOptions{CAS: true}); !errors.Is(err, voice.ErrConflict) {
		t.Errorf("CAS = %v", err)
	}
	if e, err := bk.Get(ctx, "demo.1001"); err != nil || string(e.Value) != "x" || e.Revision != rev {
		t.Errorf("Get = %+v, %v", e, err)
	}
	if e := <-got; e.Op != fabric.EntryExpire {
		t.Errorf("watch gave %+v", e)
	}
	if _, err := bk.Get(ctx, "demo.1001"); !errors.Is(err, voice.ErrNotFound) {
		t.Errorf("Get = %v", err)
	}
	if _, err := bk.Put(ctx, "demo.1001", []byte("y"), fabric.PutOptions{CAS: true}); err != nil {
		t.Errorf("CAS over a marker = %v", err)
	}
	if err := bk.Delete(ctx, "demo.1001", fabric.PutOptions{}); err != nil {
		t.Error(err)
	}
	wcancel()
	if err := <-done; err != nil {
		t.Error(err)
	}

	msgs := make(chan fabric.Message, 16)
	sctx, scancel := context.WithCancel(ctx)
	go func() {
		done <- b.Subscribe(sctx, fabric.StreamDevices, "", fabric.From{}, func(m fabric.Message) { msgs <- m })
	}()
	if err := a.Publish(fabric.Event{Subject: fabric.Subject("device", "demo", "1.2", "EventX"), Payload: map[string]int{"a": 1}}); err != nil {
		t.Fatal(err)
	}
	if m := <-msgs; m.Subject[2] != "1.2" || string(m.Data) != `{"a":1}` {
		t.Errorf("message %+v", m)
	}
	if _, err := a.PublishSync(ctx, fabric.Event{Subject: fabric.Subject("cdr", "demo", "c1"), Payload: []byte("{}")}); err != nil {
		t.Error(err)
	}
	scancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
