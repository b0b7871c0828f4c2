package sipproxy

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"parley/internal/contract"
	"parley/internal/fabric"
)

// knows makes a node of the test answer for dialogs; here tells, at each question, whether it has it, and moving whether it may get it.
func (w *two) knows(h *house, answer func(callID string) contract.FindDialogResponse) {
	handle(w.t, w.t.Context(), h.f, contract.FindDialog, func(_ context.Context, r contract.FindDialogRequest) (contract.FindDialogResponse, error) {
		return answer(r.CallID), nil
	})
}

// kill takes the record of a node away, as its end does.
func (w *two) kill(id string) {
	w.t.Helper()
	if err := w.a.f.Bucket(fabric.BucketNodes).Delete(w.t.Context(), fabric.Key(id), fabric.PutOptions{}); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, "the node is gone", func() bool { return w.a.s.nodes.get(id) == nil })
}

// A request of a dialog whose node died waits until another node has the call, and goes there, as does all that follows, without
// asking again.
func TestDialogMovesToAnotherNode(t *testing.T) {
	w := startTwo(t, nil)
	w.leaveToB()
	var asked atomic.Int64
	w.knows(w.a, func(id string) contract.FindDialogResponse {
		n := asked.Add(1)
		return contract.FindDialogResponse{Here: id == "m1" && n > 3}
	})
	p := dial(t, "udp", w.a.address("udp"))
	c := p.invite("m1")
	c.answered()
	c.request("ACK")
	eventually(t, "b got the ACK", func() bool { return len(w.nb.methods("m1")) == 2 })
	w.kill("b")
	for _, method := range []string{"INFO", "INVITE", "ACK", "BYE"} {
		c.request(method)
		if method != "ACK" {
			p.expect("200")
		}
	}
	eventually(t, "a got what follows", func() bool { return slices.Equal(w.na.methods("m1"), []string{"INFO", "INVITE", "ACK", "BYE"}) })
	if n := asked.Load(); n != 4 {
		t.Errorf("a was asked %d times, want 4: none once it had the dialog", n)
	}
	if n := w.a.metric("parley_sipproxy_dialogs_found_total"); n != 1 {
		t.Errorf("%v dialogs found, want 1", n)
	}
}

// A node that is alive and has handed a call on says 481; the request finds who has it now. Where nobody has it the 481 stands.
func TestDialogHandedOn(t *testing.T) {
	w := startTwo(t, nil)
	w.leaveToB()
	var moving atomic.Int64
	w.knows(w.a, func(id string) contract.FindDialogResponse {
		if id != "h1" {
			return contract.FindDialogResponse{}
		}
		n := moving.Add(1)
		return contract.FindDialogResponse{Here: n > 2, Moving: n <= 2}
	})
	w.knows(w.b, func(string) contract.FindDialogResponse { return contract.FindDialogResponse{} })
	p := dial(t, "udp", w.a.address("udp"))
	for _, id := range []string{"h1", "h2"} {
		c := p.invite(id)
		c.answered()
		c.request("ACK")
		eventually(t, "b got the ACK", func() bool { return len(w.nb.methods(id)) == 2 })
		w.nb.forget(id)
		c.request("BYE")
		if want := map[string]string{"h1": "200", "h2": "481"}[id]; !is(p.read(), want) {
			t.Errorf("BYE of %s: want %s", id, want)
		}
	}
	if got := w.na.methods("h1"); !slices.Equal(got, []string{"BYE"}) {
		t.Errorf("a got %v", got)
	}
	if n := w.a.metric("parley_sipproxy_dialogs_not_found_total"); n != 1 {
		t.Errorf("%v dialogs not found, want 1", n)
	}
}

// A CANCEL of a re-INVITE whose dialog is being looked for ends it.
func TestCancelWhileADialogMoves(t *testing.T) {
	w := startTwo(t, nil)
	w.leaveToB()
	asked := make(chan struct{}, 64)
	w.knows(w.a, func(string) contract.FindDialogResponse {
		select {
		case asked <- struct{}{}:
		default:
		}
		return contract.FindDialogResponse{Moving: true}
	})
	p := dial(t, "udp", w.a.address("udp"))
	c := p.invite("k1")
	c.answered()
	c.request("ACK")
	eventually(t, "b got the ACK", func() bool { return len(w.nb.methods("k1")) == 2 })
	w.kill("b")
	c.request("INVITE")
	<-asked
	c.request("CANCEL")
	p.expect("487")
}

func TestMovesForgetTheOldest(t *testing.T) {
	v := newMoves(3)
	for i := range 5 {
		v.put(fmt.Sprint(i), "n")
	}
	v.put("4", "m")
	for i, want := range []string{"", "", "n", "n", "m"} {
		if got, _ := v.get([]byte(fmt.Sprint(i))); got != want {
			t.Errorf("%d is on %q, want %q", i, got, want)
		}
	}
	if len(v.to) != 3 {
		t.Errorf("%d are remembered, want 3", len(v.to))
	}
}
