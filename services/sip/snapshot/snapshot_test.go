package snapshot

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/media/sdp"
	"parley/internal/voice"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sample(uuid string, seq uint64) *Call {
	leg := func(id string) *Leg {
		return &Leg{
			CallID: id, Local: "<sip:1001@demo.local>;tag=a", Remote: "<sip:1002@demo.local>;tag=b", Tag: "a", PeerTag: "b",
			Target: "sip:1002@192.0.2.7:5060", Routes: []string{"<sip:token@192.0.2.1;lr>"}, Contact: "<sip:x@192.0.2.1>", Seq: 3, PeerSeq: 7,
			Interval: 30 * time.Minute, Ends: time.Unix(1_800_000_000, 0).UTC(),
			Audio: &Audio{Through: true, Author: sdp.AuthorState{ID: 7, Version: 9}, Formats: []sdp.Format{{Type: 8, Encoding: "PCMA", Clock: 8000}}, Told: sdp.Terms{PTime: 20 * time.Millisecond}},
		}
	}
	return &Call{
		UUID:     uuid,
		Identity: Identity{UUID: uuid, Conn: "c", Number: 5, Tenant: "demo", Kind: voice.CallInternal, Thread: uuid},
		Caller:   Party{Number: "1001", Shown: "1001"}, Dialled: "1002", Phase: "talking", Legs: [2]*Leg{leg("in"), leg("out")},
		Times: Times{Start: time.Unix(1_700_000_000, 0).UTC()}, Data: voice.KVList{"k": "v"}, DataRev: 2, Seq: seq,
		Events: []*voice.CallEvent{{ID: voice.EventEstablished, CallUUID: uuid, Seq: seq}},
	}
}

func TestCallIsReadAsItWasWritten(t *testing.T) {
	c := sample("u1", 4)
	c.Owner, c.Epoch = Owner{"a", time.Unix(1_600_000_000, 5).UTC()}, 3
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, c) {
		t.Errorf("read %+v, wrote %+v", got, c)
	}
	for _, bad := range []string{"", "{}", `{"version":2,"uuid":"x","owner":{"node":"a"},"identity":{"uuid":"x"}}`, `{"version":1,"uuid":"x","identity":{"uuid":"x"}}`} {
		if c, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%q is read as %+v", bad, c)
		}
	}
}

func writer(t testing.TB, bucket *fabric.Bucket, node string) (*Writer, chan string) {
	lost := make(chan string, 16)
	w := New(Options{Store: bucket, Owner: Owner{node, time.Unix(1, 0).UTC()}, Lost: func(uuid string) { lost <- uuid }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w, lost
}

func flush(t testing.TB, w *Writer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := w.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func stored(t *testing.T, b *fabric.Bucket, uuid string) (*Call, uint64) {
	t.Helper()
	e, err := b.Get(t.Context(), Key(uuid))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Decode(e.Value)
	if err != nil {
		t.Fatal(err)
	}
	return c, e.Revision
}

// The newest state is what is stored in the end, in fewer writes than saves; a call that ends is gone.
func TestNewestStateIsStored(t *testing.T) {
	bucket := fabrictest.New(t).Bucket(fabric.BucketCalls)
	w, _ := writer(t, bucket, "a")
	for seq := range uint64(50) {
		w.Save(sample("u1", seq+1))
	}
	flush(t, w)
	c, first := stored(t, bucket, "u1")
	if c.Seq != 50 || c.Owner.Node != "a" || c.Epoch != 1 {
		t.Errorf("stored is %+v", c)
	}
	w.Save(sample("u1", 51))
	flush(t, w)
	if c, rev := stored(t, bucket, "u1"); c.Seq != 51 || rev <= first {
		t.Errorf("stored is seq %d at revision %d, after %d", c.Seq, rev, first)
	}
	w.End("u1")
	w.Save(sample("u1", 52)) // it can be saved again after all
	flush(t, w)
	if c, _ := stored(t, bucket, "u1"); c.Seq != 52 {
		t.Errorf("stored is seq %d", c.Seq)
	}
	w.End("u1")
	w.Save(sample("u2", 1))
	w.End("u2") // before it was written
	flush(t, w)
	for _, id := range []string{"u1", "u2"} {
		if e, err := bucket.Get(t.Context(), Key(id)); !errors.Is(err, voice.ErrNotFound) {
			t.Errorf("%s: %+v %v", id, e, err)
		}
	}
}

// Once another node has written, the one before writes no more and is told: also when it takes the call to have ended.
func TestRevisionIsTheFence(t *testing.T) {
	bucket := fabrictest.New(t).Bucket(fabric.BucketCalls)
	w, lost := writer(t, bucket, "a")
	w.Save(sample("u1", 1))
	w.Save(sample("u2", 1))
	flush(t, w)
	for _, id := range []string{"u1", "u2"} {
		c, rev := stored(t, bucket, id)
		c.Owner, c.Epoch = Owner{"b", time.Unix(2, 0).UTC()}, c.Epoch+1
		b, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bucket.Put(t.Context(), Key(id), b, fabric.PutOptions{CAS: true, Revision: rev}); err != nil {
			t.Fatal(err)
		}
	}
	w.Save(sample("u1", 9))
	w.End("u2")
	told := map[string]bool{}
	for len(told) < 2 {
		select {
		case id := <-lost:
			told[id] = true
		case <-time.After(20 * time.Second):
			t.Fatalf("the node before is told of %v only", told)
		}
	}
	w.Save(sample("u1", 10))
	flush(t, w)
	for _, id := range []string{"u1", "u2"} {
		if c, _ := stored(t, bucket, id); c.Owner.Node != "b" || c.Seq != 1 {
			t.Errorf("%s is %s's, seq %d", id, c.Owner.Node, c.Seq)
		}
	}
}

// A call that was claimed is written on, and one that is released is written no more.
func TestAdoptedAndReleased(t *testing.T) {
	bucket := fabrictest.New(t).Bucket(fabric.BucketCalls)
	a, _ := writer(t, bucket, "a")
	c := sample("u1", 1)
	c.Released = true
	a.Save(c)
	flush(t, a)
	a.Save(sample("u1", 2)) // it is not a's any more: this is another call that must not exist
	flush(t, a)
	got, rev := stored(t, bucket, "u1")
	if !got.Released || got.Seq != 1 {
		t.Errorf("stored is %+v", got)
	}
	b, _ := writer(t, bucket, "b")
	b.Adopt("u1", rev, got.Epoch+1)
	b.Save(sample("u1", 3))
	flush(t, b)
	if got, _ = stored(t, bucket, "u1"); got.Owner.Node != "b" || got.Epoch != 2 || got.Seq != 3 {
		t.Errorf("stored is %+v", got)
	}
}

func BenchmarkEncode(b *testing.B) {
	c := sample("0123456789abcdef0123456789abcdef", 4)
	b.ReportAllocs()
	for b.Loop() {
		out, err := c.Encode()
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(out)))
	}
}

// BenchmarkCall is what the snapshots of one call cost, from ringing to its end.
func BenchmarkCall(b *testing.B) {
	w, _ := writer(b, fabrictest.New(b).Bucket(fabric.BucketCalls), "a")
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for range 1000 {
			n++
			id := fmt.Sprintf("%032x", n)
			w.Save(sample(id, 1))
		}
		flush(b, w)
		for i := range 1000 {
			w.Save(sample(fmt.Sprintf("%032x", n-i), 4))
		}
		flush(b, w)
		for i := range 1000 {
			w.End(fmt.Sprintf("%032x", n-i))
		}
		flush(b, w)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/call")
}
