package fabric_test

import (
	"errors"
	"fmt"
	"testing"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/voice"
)

func TestReadIsWhatIsThereOfOneCall(t *testing.T) {
	f := fabrictest.New(t)
	ctx := testContext(t)
	for i := range 30 {
		subject := fabric.Subject("call", "demo", fmt.Sprint("c", i%3), fmt.Sprint("Event", i%2))
		if err := f.Publish(fabric.Event{Subject: subject, Payload: i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	read := func(filter string, limit int) (out []string) {
		t.Helper()
		list, err := f.Read(ctx, fabric.StreamCalls, filter, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			out = append(out, string(m.Data))
		}
		return out
	}
	if got := fmt.Sprint(read(fabric.Filter("call", "demo", "c1", fabric.Rest), 100)); got != "[1 4 7 10 13 16 19 22 25 28]" {
		t.Errorf("the events of c1 are %s", got)
	}
	if got := fmt.Sprint(read(fabric.Filter("call", "demo", "c1", fabric.Rest), 3)); got != "[1 4 7]" {
		t.Errorf("the first three of c1 are %s", got)
	}
	if got := read(fabric.Filter("call", "demo", "c9", fabric.Rest), 100); got != nil {
		t.Errorf("the events of a call that never was: %v", got)
	}
	if m, ok, err := f.ReadLast(ctx, fabric.StreamCalls, fabric.Filter("call", "demo", "c1", fabric.Rest)); err != nil || !ok || string(m.Data) != "28" {
		t.Errorf("the last event of c1 is %q, %v, %v", m.Data, ok, err)
	}
	if _, ok, err := f.ReadLast(ctx, fabric.StreamCalls, fabric.Filter("call", "demo", "c9", fabric.Rest)); err != nil || ok {
		t.Errorf("the last event of a call that never was: %v, %v", ok, err)
	}
	if _, err := f.Read(ctx, "NONE", "", 1); !errors.Is(err, voice.ErrInvalid) {
		t.Errorf("a stream that is none: %v", err)
	}
}
