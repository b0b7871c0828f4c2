package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/web/live"
)

const (
	topicSessions = "sessions" // name: the tenant; key: sessionList
	topicSession  = "session"  // name: tenant and session; keys: parts of the page
	sessionList   = "sessions"
	maxSessions   = 100
	maxStepRows   = 200
	sessionsPace  = time.Second     // between two looks at the list; no event tells of sessions
	stepWait      = 2 * time.Second // that a node may let a page wait for the next step
)

// sessionsView is the page of a tenant's sessions.
type sessionsView struct {
	Base, Query, Live string
	Rows              []sessionRow
	Total             int
	Silent            string
}

// sessionRow is a session in words.
type sessionRow struct {
	ID, Href, Script, States string
	ANI, DNIS                string
	Start                    time.Time
	Lasts                    string
	State, Class             string
	Error                    string
	Node                     string
}

func (s *Server) sessionsPage(r *request) error {
	q := r.query("q")
	v, err := s.sessionsOf(r.ctx, r.tenant, q)
	if err != nil {
		return err
	}
	v.Live = "/live?" + url.Values{"topic": {topicSessions}, "tenant": {r.tenant}, "q": {q}}.Encode()
	return r.page("sessions", "Routing sessions", "sessions", v)
}

// sessionsOf asks all nodes.
func (s *Server) sessionsOf(ctx context.Context, tenant, q string) (*sessionsView, error) {
	v := &sessionsView{Base: tenantPath(tenant, "sessions"), Query: q}
	answers, silent := contract.AskNodes(ctx, s.f, contract.Sessions, s.board.nodeIDs(), contract.SessionsRequest{Tenant: tenant, Ended: true, Limit: maxSessions})
	v.Silent = strings.Join(silent, ", ")
	var all []contract.ScriptSession
	for _, a := range answers {
		v.Total += a.Total
		all = append(all, a.Sessions...)
	}
	slices.SortFunc(all, func(a, b contract.ScriptSession) int {
		return cmp.Or(b.Start.Compare(a.Start), strings.Compare(a.ID, b.ID))
	})
	text := strings.ToLower(q)
	for i := range all {
		row := s.sessionRow(&all[i])
		found := strings.Contains(strings.ToLower(strings.Join([]string{row.ID, row.Script, row.States, row.ANI, row.DNIS, row.Node}, " ")), text)
		if found && len(v.Rows) < maxSessions {
			v.Rows = append(v.Rows, row)
		}
	}
	return v, nil
}

func (s *Server) sessionRow(c *contract.ScriptSession) sessionRow {
	row := sessionRow{
		ID: c.ID, Href: tenantPath(c.Tenant, "sessions", c.ID), Script: contract.ScriptRef{Name: c.Script, Version: c.Version}.String(),
		States: strings.Join(c.States, ", "), ANI: c.ANI, DNIS: c.DNIS, Start: c.Start, Error: c.Error, Node: c.Node, State: "Running", Class: "good",
	}
	until := c.End
	if until.IsZero() {
		until = s.now()
	} else {
		row.State, row.Class = "Ended", ""
	}
	if c.Error != "" {
		row.Class = "warn"
	}
	row.Lasts = lasting(until.Sub(c.Start))
	return row
}

// liveSessions follows the list by looking at it again and again while a page is open.
func (s *Server) liveSessions(tenant, q string) *liveView {
	topic := live.Topic{Kind: topicSessions, Name: tenant}
	return &liveView{
		topic: topic, first: []string{sessionList}, event: "part",
		render: func(ctx context.Context, _ string) ([]byte, error) {
			v, err := s.sessionsOf(ctx, tenant, q)
			if err != nil {
				return nil, err
			}
			time.AfterFunc(sessionsPace, func() { s.hub.Mark(topic, sessionList) })
			return s.part("session-rows", "session-rows", v)
		},
	}
}

// sessionView is the page of one session: its state chart with the active states lit, beside what it did.
type sessionView struct {
	sessionRow
	Sessions, Live string
	Call           string // address of the page of its call
	Over           bool
	Due            time.Time
	Chart          template.HTML
	Steps          []stepRow
	Lost           bool
}

// stepRow is a line of a trace.
type stepRow struct {
	At          time.Time
	After, What string
	Name, Data  string
}

func (s *Server) session(r *request) error {
	a, err := s.traceOf(r.ctx, r.tenant, r.param("session"))
	if err != nil {
		return err
	}
	v := s.sessionView(&a)
	if !v.Over {
		v.Live = "/live?" + url.Values{"topic": {topicSession}, "tenant": {r.tenant}, "session": {v.ID}}.Encode()
	}
	return r.page("session", "Session "+v.ID, "sessions", v)
}

// traceOf looks for a session on every node.
func (s *Server) traceOf(ctx context.Context, tenant, id string) (contract.SessionTraceResponse, error) {
	req := contract.SessionTraceRequest{Tenant: tenant, ID: id, Chart: true}
	answers, _ := contract.AskNodes(ctx, s.f, contract.SessionTrace, s.board.nodeIDs(), req)
	best := -1
	for i := range answers { // one that went on elsewhere may be remembered where it was
		if best < 0 || answers[best].Session.End.IsZero() == answers[i].Session.End.IsZero() && answers[i].Session.Start.After(answers[best].Session.Start) {
			best = i
		}
	}
	if best < 0 {
		return contract.SessionTraceResponse{}, voice.Errorf(voice.ErrNotFound, "no node remembers a session %.64s", id)
	}
	return answers[best], nil
}

func (s *Server) sessionView(a *contract.SessionTraceResponse) *sessionView {
	c := &a.Session
	v := &sessionView{sessionRow: s.sessionRow(c), Sessions: tenantPath(c.Tenant, "sessions"), Over: !c.End.IsZero(), Due: c.Due, Lost: a.Lost}
	if c.CallUUID != "" {
		v.Call = tenantPath(c.Tenant, "calls", c.CallUUID)
	}
	v.Chart = template.HTML(a.Chart) // of package chart, which escapes what documents say
	for i := len(a.Steps) - 1; i >= 0 && len(v.Steps) < maxStepRows; i-- {
		step := &a.Steps[i]
		v.Steps = append(v.Steps, stepRow{
			At: step.At, After: fmt.Sprintf("%.3f", step.At.Sub(c.Start).Seconds()), What: string(step.What), Name: step.Name, Data: readableData(step.Data),
		})
	}
	v.Lost = v.Lost || len(a.Steps) > maxStepRows
	return v
}

// readableData is JSON in a line, without the marks of text.
func readableData(raw json.RawMessage) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	if text, ok := v.(string); ok {
		return text
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the template does that
	if enc.Encode(v) != nil {
		return string(raw)
	}
	return strings.TrimSpace(b.String())
}

// liveSession follows a session until it is over: it waits at the node for the next step.
func (s *Server) liveSession(tenant, id string) *liveView {
	topic := live.Topic{Kind: topicSession, Name: fabric.Key(tenant, id)}
	parts := []string{"session-head", "session-chart", "session-steps"}
	var (
		last *sessionView // all parts of one update are of one picture
		node string
		seq  uint64
	)
	return &liveView{
		topic: topic, first: parts, event: "part",
		render: func(ctx context.Context, part string) ([]byte, error) {
			if part == parts[0] {
				if node != "" && !last.Over {
					err := s.nextStep(ctx, tenant, id, node, seq)
					if errors.Is(err, context.Canceled) {
						return nil, nil
					}
				}
				a, err := s.traceOf(ctx, tenant, id)
				if err != nil {
					return nil, err
				}
				last, node = s.sessionView(&a), a.Session.Node
				if n := len(a.Steps); n > 0 {
					seq = a.Steps[n-1].Seq
				}
				if !last.Over {
					time.AfterFunc(time.Millisecond, func() { s.hub.Mark(topic, parts...) })
				}
			}
			return s.part(part, part, last)
		},
	}
}

// nextStep returns when the session did something, or did nothing for a while. A node that does not answer is no error: all
// are asked then.
func (s *Server) nextStep(ctx context.Context, tenant, id, node string, seq uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a page does not keep the server from stopping
		select {
		case <-s.http.Stopping():
			cancel()
		case <-ctx.Done():
		}
	}()
	_, err := fabric.CallNode(ctx, s.f, contract.SessionTrace, node, contract.SessionTraceRequest{Tenant: tenant, ID: id, After: seq, Wait: stepWait})
	if ctx.Err() != nil {
		return context.Canceled
	}
	return err
}
