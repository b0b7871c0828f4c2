package fabric_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/voice"
)

var errDisk = errors.New("disk on fire")

// disk is a server whose syncs a test can hold up and let fail, and counts.
type disk struct {
	*fabrictest.NATS

	mu      sync.Mutex // guards what follows
	synced  []string   // streams, in order
	hold    chan struct{}
	started chan string // of each sync that is held up
	fail    bool
}

func newDisk(t testing.TB) (*disk, *fabric.Fabric) {
	t.Helper()
	d := &disk{NATS: fabrictest.Server(t, t.TempDir()), started: make(chan string, 1000)}
	f := connect(t, fabric.Options{Node: "a", Server: d})
	return d, f
}

func (d *disk) SyncStream(stream string) error {
	d.mu.Lock()
	d.synced = append(d.synced, stream)
	hold, fail := d.hold, d.fail
	d.mu.Unlock()
	if hold != nil {
		d.started <- stream
		<-hold
	}
	if fail {
		return errDisk
	}
	return d.NATS.SyncStream(stream)
}

// set changes how it behaves and forgets what was counted.
func (d *disk) set(hold chan struct{}, fail bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.synced, d.hold, d.fail = nil, hold, fail
}

func (d *disk) syncs() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.synced)
}

func cdr(n int) fabric.Event {
	return fabric.Event{Subject: fabric.Subject("cdr", "demo", fmt.Sprint("c", n))}
}

// TestSyncAtConnect: what an earlier process has left is on disk before anything new is promised.
func TestSyncAtConnect(t *testing.T) {
	d, f := newDisk(t)
	want := []string{fabric.StreamCDR, fabric.StreamConfig, fabric.StreamInteractions, fabric.StreamVoicemail, fabric.StreamWork}
	got := d.syncs()
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("synced %v, want %v", got, want)
	}
	if err := closeNow(t, f); err != nil {
		t.Error(err)
	}
	d.set(nil, true)
	if _, err := fabric.Connect(testContext(t), fabric.Options{Node: "b", Server: d}); !errors.Is(err, errDisk) {
		t.Errorf("Connect on a broken disk = %v", err)
	}
}

// TestGroupSync: promises wait for the disk, share its syncs, and hold up nothing else.
func TestGroupSync(t *testing.T) {
	d, f := newDisk(t)
	ctx := testContext(t)
	js := inspect(t, d)
	hold := make(chan struct{})
	d.set(hold, false)
	const n = 64
	results := make(chan error, n)
	for i := range n {
		go func() {
			_, err := f.PublishSync(ctx, cdr(i))
			results <- err
		}()
	}
	if s := next(t, d.started); s != fabric.StreamCDR {
		t.Errorf("synced %s", s)
	}
	eventually(t, func() error { // the JetStream has acknowledged them all
		s, err := js.Stream(ctx, fabric.StreamCDR)
		if err == nil && s.CachedInfo().State.Msgs != n {
			err = fmt.Errorf("%d of %d records", s.CachedInfo().State.Msgs, n)
		}
		return err
	})
	if _, err := f.PublishSync(ctx, fabric.Event{Subject: call(1)}); err != nil {
		t.Errorf("a presence event waits for the disk: %v", err)
	}
	soon, cancel := context.WithCancel(ctx)
	cancel()
	if err := f.Flush(soon); err == nil {
		t.Error("flushed while no record is on disk")
	}
	select {
	case err := <-results:
		t.Errorf("stored before it was on disk: %v", err)
	default:
	}
	close(hold)
	for range n {
		if err := next(t, results); err != nil {
			t.Error(err)
		}
	}
	if syncs := len(d.syncs()); syncs > n/4 {
		t.Errorf("%d syncs for %d records", syncs, n)
	}
	if err := f.Flush(ctx); err != nil {
		t.Error(err)
	}
	if err := closeNow(t, f); err != nil {
		t.Error(err)
	}
}

// TestSyncFails: nobody is told that an event is stored, it is counted, and not tried again: the JetStream has it.
func TestSyncFails(t *testing.T) {
	d, f := newDisk(t)
	ctx := testContext(t)
	d.set(nil, true)
	before := metric(t, f, "kafka_producer_error_total")
	if seq, err := f.PublishSync(ctx, cdr(1)); !errors.Is(err, voice.ErrUnavailable) || !errors.Is(err, errDisk) || seq != 0 {
		t.Errorf("PublishSync = %d, %v", seq, err)
	}
	if err := f.Publish(cdr(2)); err != nil {
		t.Error(err)
	}
	if err := f.Flush(ctx); err != nil {
		t.Error(err)
	}
	if n := len(d.syncs()); n != 2 {
		t.Errorf("%d syncs, want one each", n)
	}
	if n := metric(t, f, "kafka_producer_error_total") - before; n != 2 {
		t.Errorf("%v errors counted", n)
	}
	d.set(nil, false)
	if _, err := f.PublishSync(ctx, cdr(3)); err != nil {
		t.Errorf("PublishSync after the failure = %v", err)
	}
	if err := closeNow(t, f); err != nil {
		t.Error(err)
	}
}

// TestCloseWhileSyncing: a sync under way is waited for even when Close's time is over, and its events are stored.
func TestCloseWhileSyncing(t *testing.T) {
	d, f := newDisk(t)
	hold := make(chan struct{})
	d.set(hold, false)
	result := make(chan error, 1)
	go func() {
		_, err := f.PublishSync(context.Background(), cdr(1))
		result <- err
	}()
	next(t, d.started)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	closed := make(chan error, 1)
	go func() { closed <- f.Close(over) }()
	eventually(t, func() error {
		if err := f.Publish(cdr(2)); !errors.Is(err, voice.ErrUnavailable) {
			return fmt.Errorf("Publish after Close = %v", err)
		}
		return nil
	})
	close(hold)
	if err := next(t, result); err != nil {
		t.Errorf("PublishSync = %v, and it is on disk", err)
	}
	if err := next(t, closed); err != nil {
		t.Logf("Close: %v", err) // the events refused above
	}
	if n := metric(t, f, "kafka_producer__messages_total"); n != 1 {
		t.Errorf("%v events counted as stored", n)
	}
}

// TestRecordsShareASync: records that nobody waits for gather, and are on disk soon all the same.
func TestRecordsShareASync(t *testing.T) {
	d, f := newDisk(t)
	d.set(nil, false)
	const n = 100
	for i := range n {
		if err := f.Publish(cdr(i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() error {
		if n := metric(t, f, "kafka_producer_queue_depth"); n > 0 {
			return fmt.Errorf("%v records wait for the disk", n)
		}
		return nil
	})
	if got := len(d.syncs()); got == 0 || got > n/10 {
		t.Errorf("%d records took %d syncs", n, got)
	}
	if err := closeNow(t, f); err != nil {
		t.Error(err)
	}
}
