package books

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"parley/internal/voice"
)

// Books are what was written down.
type Books struct {
	Events  []voice.CallEvent // in stream order
	Records []voice.CDR
	Voices  []voice.QualityEvent // in stream order; Check does not look at them
}

// mostProblems is how many problems are told apart; one defect can spoil every call.
const mostProblems = 20

// Check returns what is wrong with the books, joined; nil when nothing is.
func (b Books) Check() error {
	var c checker
	calls := map[string][]voice.CallEvent{}
	for _, e := range b.Events {
		calls[e.CallUUID] = append(calls[e.CallUUID], e)
	}
	records := map[string]*voice.CDR{}
	for i := range b.Records {
		r := &b.Records[i]
		if records[r.CallUUID] != nil {
			c.wrong(r.CallUUID, "has two records")
		}
		records[r.CallUUID] = r
	}
	for _, uuid := range slices.Sorted(maps.Keys(calls)) {
		if records[uuid] == nil {
			c.wrong(uuid, "has %d events and no record", len(calls[uuid]))
		}
	}
	for _, uuid := range slices.Sorted(maps.Keys(records)) {
		c.call(records[uuid], calls[uuid])
	}
	if c.more > 0 {
		c.errs = append(c.errs, fmt.Errorf("and %d more", c.more))
	}
	return errors.Join(c.errs...)
}

type checker struct {
	errs []error
	more int
}

func (c *checker) wrong(uuid, format string, args ...any) {
	if len(c.errs) >= mostProblems {
		c.more++
		return
	}
	c.errs = append(c.errs, fmt.Errorf("call %s "+format, append([]any{uuid}, args...)...))
}

// call checks one call.
func (c *checker) call(r *voice.CDR, events []voice.CallEvent) {
	if r.Events != uint64(len(events)) {
		c.wrong(r.CallUUID, "has %d events, its record says %d: %s", len(events), r.Events, names(events))
	}
	for i, e := range events {
		switch {
		case e.Seq != uint64(i+1):
			c.wrong(r.CallUUID, "has event %d in place %d: %s", e.Seq, i+1, names(events))
			return
		case e.Tenant != r.Tenant || e.ConnID != events[0].ConnID || e.CallID != events[0].CallID:
			c.wrong(r.CallUUID, "has an event of another call: %+v", e)
		case i > 0 && e.Time.Before(events[i-1].Time):
			c.wrong(r.CallUUID, "goes back in time at event %d", e.Seq)
		}
	}
	if why := order(events); why != "" {
		c.wrong(r.CallUUID, "%s: %s", why, names(events))
	}
	if why := agree(r, events); why != "" {
		c.wrong(r.CallUUID, "%s: %s %d, %s", why, r.Outcome, r.Status, names(events))
	}
	if r.End.Before(r.Start) || !r.Answer.IsZero() && (r.Answer.Before(r.Start) || r.End.Before(r.Answer)) ||
		!r.Ringing.IsZero() && r.Ringing.Before(r.Start) {
		c.wrong(r.CallUUID, "has times in no order: %+v", r)
	}
}

// party is one DN in one role, and where it is in the call.
type party struct {
	dn   string
	role voice.DNRole
}

// order says what is wrong with the order of the events of a call, "" for nothing. Each party begins with EventDialing,
// EventRinging or EventQueued and ends with EventReleased, EventAbandoned or EventDiverted, once, and what else it has lies between.
func order(events []voice.CallEvent) string {
	in, answered := map[party]bool{}, map[party]bool{}
	for _, e := range events {
		p := party{e.ThisDN, e.ThisDNRole}
		switch e.ID {
		case voice.EventDialing, voice.EventRinging, voice.EventQueued:
			if in[p] {
				return fmt.Sprintf("%s begins twice for %s", e.ID, e.ThisDN)
			}
			in[p] = true
			continue
		case voice.EventEstablished:
			answered[p] = true
		case voice.EventAbandoned, voice.EventDestinationBusy, voice.EventDiverted:
			if answered[p] {
				return fmt.Sprintf("%s after an answer of %s", e.ID, e.ThisDN)
			}
		case voice.EventHeld, voice.EventRetrieved:
			if !answered[p] {
				return fmt.Sprintf("%s before an answer of %s", e.ID, e.ThisDN)
			}
		}
		if !in[p] {
			return fmt.Sprintf("%s for %s, who is not in the call", e.ID, e.ThisDN)
		}
		if e.ID == voice.EventReleased || e.ID == voice.EventAbandoned || e.ID == voice.EventDiverted {
			delete(in, p)
			delete(answered, p)
		}
	}
	for p := range in {
		return p.dn + " never leaves the call"
	}
	return ""
}

// agree says what does not fit between a record and the events, "" for nothing.
func agree(r *voice.CDR, events []voice.CallEvent) string {
	has, gaveUp := map[voice.EventName]bool{}, false
	for _, e := range events {
		has[e.ID] = true
		gaveUp = gaveUp || e.ID == voice.EventAbandoned && e.CallState == voice.StateOk // else the call was taken from a route point
	}
	answered := r.Outcome == voice.OutcomeAnswered
	between := r.TrunkIn != "" && r.TrunkOut != "" // no party is ours, so there are no events
	switch {
	case r.Outcome == "":
		return "the record has no outcome"
	case answered != !r.Answer.IsZero():
		return "answered, and has no time of it, or the other way round"
	case has[voice.EventEstablished] && !answered:
		return "established, and the record knows nothing of it"
	case answered && !between && !has[voice.EventEstablished]:
		return "answered, and never established"
	case gaveUp && r.Outcome != voice.OutcomeAbandoned:
		return "abandoned, and the record knows nothing of it"
	}
	return ""
}

func names(events []voice.CallEvent) string {
	var out []string
	for _, e := range events {
		out = append(out, fmt.Sprintf("%d %s(%s)", e.Seq, strings.TrimPrefix(string(e.ID), "Event"), e.ThisDN))
	}
	return "[" + strings.Join(out, " ") + "]"
}
