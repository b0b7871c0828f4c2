package books

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/internal/voice"
)

var begin = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// call writes a call down from a line such as "Dialing caller, Ringing callee, ...", a second an event.
func call(uuid string, outcome voice.Outcome, text string) Books {
	var b Books
	r := voice.CDR{CallUUID: uuid, Tenant: "demo", Outcome: outcome, Start: begin, Status: 200}
	for i, step := range strings.Split(text, ", ") {
		id, dn, _ := strings.Cut(step, " ")
		e := voice.CallEvent{ID: voice.EventName("Event" + id), CallUUID: uuid, ConnID: "c" + uuid, Tenant: "demo",
			ThisDN: dn, ThisDNRole: voice.RoleDestination, Seq: uint64(i + 1), Time: begin.Add(time.Duration(i) * time.Second)}
		if dn == "caller" {
			e.ThisDNRole = voice.RoleOrigination
		}
		b.Events = append(b.Events, e)
		r.Events++
		r.End = e.Time
		if outcome == voice.OutcomeAnswered && r.Answer.IsZero() && e.ID == voice.EventEstablished {
			r.Answer = e.Time
		}
	}
	b.Records = append(b.Records, r)
	return b
}

func (b Books) and(o Books) Books {
	return Books{Events: append(b.Events, o.Events...), Records: append(b.Records, o.Records...)}
}

const (
	simple    = "Dialing caller, Ringing 1002, Established caller, Established 1002, Held caller, Retrieved caller, Released 1002, Released caller"
	abandoned = "Dialing caller, Ringing 1002, Released caller, Abandoned 1002"
	busy      = "Dialing caller, DestinationBusy caller, Released caller"
	diverted  = "Dialing caller, Ringing 1002, Diverted 1002, Ringing 1003, Established caller, Established 1003, Released caller, Released 1003"
	again     = "Dialing caller, Ringing 1002, Diverted 1002, Ringing 1002, Released 1002, Released caller"
)

func TestGoodBooks(t *testing.T) {
	b := call("a", voice.OutcomeAnswered, simple).and(call("b", voice.OutcomeAbandoned, abandoned)).and(call("c", voice.OutcomeBusy, busy)).
		and(call("d", voice.OutcomeAnswered, diverted)).and(call("e", voice.OutcomeNoAnswer, again))
	b.Records = append(b.Records, voice.CDR{CallUUID: "f", Tenant: "demo", Outcome: voice.OutcomeRejected, Start: begin, End: begin, TrunkIn: "gw"},
		voice.CDR{CallUUID: "g", Tenant: "demo", Outcome: voice.OutcomeAnswered, Start: begin, Answer: begin, End: begin, TrunkIn: "gw", TrunkOut: "gw"})
	if err := b.Check(); err != nil {
		t.Error(err)
	}
}

// TestBadBooks spoils good books in each way that Check is there for.
func TestBadBooks(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(b *Books)
		want  string
	}{
		{"no record", func(b *Books) { b.Records = nil }, "no record"},
		{"two records", func(b *Books) { b.Records = append(b.Records, b.Records[0]) }, "two records"},
		{"an event is lost", func(b *Books) { b.Events = append(b.Events[:3], b.Events[4:]...) }, "7 events, its record says 8"},
		{"an event is lost, and the record agrees", func(b *Books) { b.Events, b.Records[0].Events = append(b.Events[:3], b.Events[4:]...), 7 }, "event 5 in place 4"},
		{"an event comes twice", func(b *Books) { b.Events = append(b.Events, b.Events[7]) }, "event 8 in place 9"},
		{"two events are swapped", func(b *Books) { b.Events[3], b.Events[4] = b.Events[4], b.Events[3] }, "event 5 in place 4"},
		{"times go back", func(b *Books) { b.Events[3].Time = begin }, "back in time"},
		{"another tenant", func(b *Books) { b.Events[3].Tenant = "x" }, "of another call"},
		{"another connection", func(b *Books) { b.Events[3].ConnID = "x" }, "of another call"},
		{"begins with its end", func(b *Books) { b.Events[0].ID = voice.EventReleased }, "who is not in the call"},
		{"rings twice", func(b *Books) { b.Events[3].ID = voice.EventRinging }, "begins twice"},
		{"goes on after its end", func(b *Books) { b.Events[3].ID = voice.EventReleased }, "who is not in the call"},
		{"never ends", func(b *Books) { b.Events[7].ID = voice.EventEstablished }, "never leaves"},
		{"holds what was not answered", func(b *Books) { b.Events[2].ID = voice.EventHeld }, "before an answer"},
		{"abandons what was answered", func(b *Books) { b.Events[6].ID = voice.EventAbandoned }, "after an answer"},
		{"no outcome", func(b *Books) { b.Records[0].Outcome = "" }, "no outcome"},
		{"answered without a time", func(b *Books) { b.Records[0].Answer = time.Time{} }, "no time of it"},
		{"the record says busy", func(b *Books) { b.Records[0].Outcome, b.Records[0].Answer = voice.OutcomeBusy, time.Time{} }, "knows nothing"},
		{"abandoned, and the record knows nothing", func(b *Books) { *b = call("a", voice.OutcomeFailed, abandoned) }, "abandoned, and"},
		{"ended before it began", func(b *Books) { b.Records[0].End = begin.Add(-1) }, "times in no order"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := call("a", voice.OutcomeAnswered, simple)
			c.spoil(&b)
			if err := b.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Check = %v, want %q", err, c.want)
			}
		})
	}
}

func TestManyProblemsAreCounted(t *testing.T) {
	var b Books
	for i := range 100 {
		b = b.and(call(fmt.Sprint(i), voice.OutcomeAnswered, busy))
	}
	if err := b.Check(); err == nil || !strings.Contains(err.Error(), "more") {
		t.Errorf("Check = %v", err)
	}
}
