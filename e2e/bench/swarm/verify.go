package swarm

import (
	"errors"
	"fmt"
	"strings"

	"parley/internal/voice"
)

// Verify compares what callers heard with the records: each call has exactly one, which says the same, and nobody else
// has any.
func Verify(results []Result, records []voice.CDR) error {
	const most = 20
	var errs []error
	wrong := func(format string, args ...any) {
		if len(errs) < most {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	byCall := map[string]*voice.CDR{}
	for i := range records {
		r := &records[i]
		if byCall[r.SIPCallID] != nil {
			wrong("%s has two records", r.SIPCallID)
		}
		byCall[r.SIPCallID] = r
	}
	for _, res := range results {
		r := byCall[res.CallID]
		delete(byCall, res.CallID)
		switch {
		case res.Hangs:
			wrong("%s (%v) hangs, after %d", res.CallID, res.Kind, res.Status)
		case res.Kind == Stranger && r != nil:
			wrong("%s (%v) has a record: %+v", res.CallID, res.Kind, r)
		case res.Kind == Stranger:
		case r == nil:
			wrong("%s (%v) has no record, after %d", res.CallID, res.Kind, res.Status)
		case r.Status != res.Status || !res.Kind.may(res.Status):
			wrong("%s (%v) heard %d, and the record says %d %s, %s", res.CallID, res.Kind, res.Status, r.Status, r.Outcome, r.Reason)
		}
	}
	for id, r := range byCall {
		wrong("a record of a call nobody made: %s %+v", id, r)
	}
	return errors.Join(errs...)
}

// may tells whether a call of a kind may end with a status.
func (k Kind) may(status int) bool {
	switch k {
	case Abandoned:
		return status == 487 || status == 200
	case Busy:
		return status == 486
	case Unanswered:
		return status == 480
	case Unknown:
		return status == 404
	case Dead:
		return status >= 400
	}
	return status == 200
}

// Summary counts the results by kind and status.
func Summary(results []Result) string {
	counts := map[Kind]map[int]int{}
	for _, r := range results {
		if counts[r.Kind] == nil {
			counts[r.Kind] = map[int]int{}
		}
		counts[r.Kind][r.Status]++
	}
	var b strings.Builder
	for k := range kinds {
		if len(counts[k]) > 0 {
			fmt.Fprintf(&b, "%-22s %v\n", k, counts[k])
		}
	}
	return b.String()
}
