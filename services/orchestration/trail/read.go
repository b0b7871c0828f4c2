package trail

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"parley/internal/contract"
	"parley/internal/scxml"
	"parley/internal/scxml/chart"
	"parley/internal/scxml/markup"
	"parley/internal/voice"
)

// Limits of what is asked for.
const (
	defaultSessions = 100
	maxSessions     = 1000
	longestWait     = 10 * time.Second
)

// Sessions serves [contract.Sessions].
func (b *Book) Sessions(_ context.Context, req contract.SessionsRequest) (contract.SessionsResponse, error) {
	if req.Limit < 0 || req.Limit > maxSessions {
		return contract.SessionsResponse{}, voice.Invalid(voice.FieldError{Field: "limit", Reason: "want 1 to 1000, or 0 for 100"})
	}
	b.mu.RLock()
	records := make([]*record, 0, len(b.sessions))
	for _, r := range b.sessions {
		records = append(records, r)
	}
	b.mu.RUnlock()
	out := contract.SessionsResponse{Sessions: []contract.ScriptSession{}}
	for _, r := range records {
		r.mu.Lock()
		info := r.shown()
		r.mu.Unlock()
		if (req.Tenant == "" || info.Tenant == req.Tenant) && (req.Script == "" || info.Script == req.Script) &&
			(req.Call == "" || info.CallUUID == req.Call) && (req.Ended || info.End.IsZero()) {
			out.Sessions = append(out.Sessions, info)
		}
	}
	out.Total = len(out.Sessions)
	slices.SortFunc(out.Sessions, func(x, y contract.ScriptSession) int { return y.Start.Compare(x.Start) })
	limit := req.Limit
	if limit == 0 {
		limit = defaultSessions
	}
	out.Sessions = out.Sessions[:min(limit, len(out.Sessions))]
	return out, nil
}

// SessionTrace serves [contract.SessionTrace].
func (b *Book) SessionTrace(ctx context.Context, req contract.SessionTraceRequest) (contract.SessionTraceResponse, error) {
	r := b.record(req.ID)
	if r == nil {
		return contract.SessionTraceResponse{}, unknown(req.ID)
	}
	if req.Wait > 0 {
		r.wait(ctx, req.After, min(req.Wait, longestWait))
	}
	out, ok := r.read(req)
	if !ok { // of another tenant: as if it did not exist
		return contract.SessionTraceResponse{}, unknown(req.ID)
	}
	if req.Source {
		out.Source = r.prog.Source()
	}
	if req.Chart {
		out.Chart, _ = chart.Draw(r.prog, chart.Options{Active: out.Active}) // what cannot be drawn is absent
	}
	return out, nil
}

// read is the steps that are asked for.
func (r *record) read(req contract.SessionTraceRequest) (out contract.SessionTraceResponse, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.Tenant != "" && req.Tenant != r.info.Tenant {
		return out, false
	}
	out = contract.SessionTraceResponse{Session: r.shown(), Active: slices.Clone(r.active), Steps: []contract.SessionStep{}}
	first := r.seq - uint64(len(r.steps)) // steps are numbered from first+1
	from := max(req.After, first)
	out.Lost = req.After < first
	for seq := from; seq < r.seq; seq++ {
		s := &r.steps[seq-first]
		out.Steps = append(out.Steps, contract.SessionStep{Seq: seq + 1, At: s.at, What: s.what, Name: s.name, Data: written(s.data)})
	}
	return out, true
}

func unknown(id string) error {
	return voice.Errorf(voice.ErrNotFound, "there is no session %.64q on this node", id)
}

// wait returns when there is a step after that number, the session has ended, or time is up.
func (r *record) wait(ctx context.Context, after uint64, longest time.Duration) {
	r.mu.Lock()
	if r.seq > after || !r.info.End.IsZero() {
		r.mu.Unlock()
		return
	}
	if r.wake == nil {
		r.wake = make(chan struct{})
	}
	wake := r.wake
	r.mu.Unlock()
	timer := time.NewTimer(longest)
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// shown is the session with its states.
func (r *record) shown() contract.ScriptSession {
	info := r.info
	info.States = []string{}
	outer := map[string]bool{}
	states := r.prog.States()
	for _, s := range states {
		outer[s.Parent] = true
	}
	for _, s := range states {
		if !outer[s.ID] && slices.Contains(r.active, s.ID) {
			info.States = append(info.States, s.ID)
		}
	}
	return info
}

// heavy stands for data beyond the limit.
const heavy = "(too large to be kept)"

// weighed is data, or a note that there was too much of it.
func weighed(data any, limit int) any {
	if s, ok := data.(string); ok && len(s) > limit {
		return s[:limit] + "…"
	}
	if weigh(data, limit) < 0 {
		return heavy
	}
	return data
}

// weigh is what is left of a number of bytes when v has been taken from it; less than 0 is nothing.
func weigh(v any, left int) int {
	switch v := v.(type) {
	case string:
		return left - len(v) - 16
	case map[string]any:
		for k, e := range v {
			if left = weigh(e, left-len(k)-16); left < 0 {
				return left
			}
		}
		return left
	case []any:
		for _, e := range v {
			if left = weigh(e, left); left < 0 {
				return left
			}
		}
		return left
	case *markup.Node:
		return left - len(v.XML())
	}
	return left - 16
}

// written is data as JSON; nil where there is none.
func written(data any) json.RawMessage {
	if data == nil || data == any(scxml.Undefined) {
		return nil
	}
	raw, err := json.Marshal(plain(data))
	if err != nil {
		raw, _ = json.Marshal(scxml.Text(data)) // a string is always written
	}
	return raw
}

// plain makes values of the interpreter such that JSON knows them.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if e != any(scxml.Undefined) {
				out[k] = plain(e)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e)
		}
		return out
	case *markup.Node:
		return v.XML()
	}
	if v == any(scxml.Undefined) {
		return nil
	}
	return v
}
