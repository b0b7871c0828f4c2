package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/web/live"
)

const (
	maxCallRows = 100             // calls shown; of more there is the number
	barLasts    = 5 * time.Minute // what the bars of calls span
	barWidth    = 300.0           // of the drawing
)

// callsView is the page of live calls.
type callsView struct {
	Base    string
	Query   string
	Now     int64 // milliseconds since 1970, by this server's clock
	Live    string
	Counts  callCounts
	Rows    []callRow
	Minutes int // that the bars span
}

// callCounts are the figures at the top.
type callCounts struct {
	Total                  int
	Ringing, Talking, Held int // of the calls known, see Partly
	Partly                 bool
	Matching, Shown        int
	Filtered               bool
}

// callRow is a call in progress in words.
type callRow struct {
	Call, Href, Hangup string
	Caller, Dialled    string
	Callee             string // "" when it is what was dialled
	With               string // what it does with Callee
	State, Class       string
	CallerScore        score
	CalleeScore        score
	TrunkIn, TrunkOut  string
	Node               string
	Since              int64
	Lasts              string
	Bar                []barRect
}

// barRect is a part of a bar as it is drawn first; the script moves it on.
type barRect struct {
	Class    string
	From, To int64 // To is 0 while it lasts
	X, Width float64
}

func (s *Server) liveCallsPage(r *request) error {
	feed, err := s.calls.follow(r.ctx, r.tenant)
	if err != nil {
		return err
	}
	q := r.query("q")
	v := &callsView{
		Base: tenantPath(r.tenant, "calls"), Query: q, Now: s.now().UnixMilli(), Minutes: int(barLasts / time.Minute),
		Live: "/live?" + url.Values{"topic": {topicCalls}, "tenant": {r.tenant}, "q": {q}}.Encode(),
	}
	calls, counts := s.callsShown(feed, q)
	v.Counts = counts
	for _, c := range calls {
		v.Rows = append(v.Rows, s.callRow(c, r.who.MayWrite(r.tenant)))
	}
	return r.page("live_calls", "Live calls", "calls", v)
}

// callsShown are the calls of a page and its figures.
func (s *Server) callsShown(feed *callFeed, q string) ([]*liveCall, callCounts) {
	all := feed.list("")
	n := callCounts{Total: max(feed.total(), len(all)), Filtered: q != ""}
	n.Partly = n.Total > len(all)
	for _, c := range all {
		switch word, _ := c.state(); word {
		case "Talking":
			n.Talking++
		case "On hold":
			n.Held++
		default:
			n.Ringing++
		}
	}
	if q != "" {
		all = feed.list(q)
	}
	n.Matching = len(all)
	all = all[:min(len(all), maxCallRows)]
	n.Shown = len(all)
	return all, n
}

func (s *Server) callRow(c *liveCall, mayHangUp bool) callRow {
	now := s.now()
	href := tenantPath(c.Tenant, "calls", c.CallUUID)
	row := callRow{
		Call: c.CallUUID, Href: href, Caller: cmp.Or(c.Caller, "anonymous"), Dialled: cmp.Or(c.Dialled, "–"),
		TrunkIn: c.TrunkIn, TrunkOut: c.TrunkOut, Node: c.Node, Since: c.Start.UnixMilli(), Lasts: lasting(now.Sub(c.Start)),
	}
	row.State, row.Class = c.state()
	row.CallerScore, row.CalleeScore = scoreOf(c.CallerMOS), scoreOf(c.CalleeMOS)
	if mayHangUp {
		row.Hangup = href + "/hangup"
	}
	if c.Callee != "" && c.Callee != c.Dialled {
		row.Callee, row.With = c.Callee, "rings"
		if !c.Answer.IsZero() {
			row.With = "reached"
		}
	}
	for _, b := range c.bar() {
		rect := barRect{Class: b.Class, From: b.From.UnixMilli()}
		to := now
		if !b.To.IsZero() {
			to, rect.To = b.To, b.To.UnixMilli()
		}
		rect.X = barAt(now.Sub(b.From))
		rect.Width = max(barAt(now.Sub(to))-rect.X, 0)
		row.Bar = append(row.Bar, rect)
	}
	return row
}

// barAt is where on a bar something lies that was so long ago. The root gives the last minute half of the bar, so that a call
// which has just begun is seen to move.
func barAt(ago time.Duration) float64 {
	return barWidth * (1 - math.Sqrt(min(max(ago, 0), barLasts).Seconds()/barLasts.Seconds()))
}

// callsUpdate is what an open page is told: the order of the calls, the rows that are new or different, the figures.
type callsUpdate struct {
	Now    int64             `json:"now"`
	Order  []string          `json:"order"`
	Rows   map[string]string `json:"rows,omitempty"`
	Counts string            `json:"counts"`
	Foot   string            `json:"foot"`
}

// liveCalls follows the list of a tenant's calls, as one page shows it.
func (s *Server) liveCalls(r *request, tenant, q string) (*liveView, error) {
	feed, err := s.calls.follow(r.ctx, tenant)
	if err != nil {
		return nil, err
	}
	mayHangUp := r.who.MayWrite(tenant)
	told := map[string]int{} // what the page has of each call: its change
	var last callsUpdate
	return &liveView{
		topic: live.Topic{Kind: topicCalls, Name: tenant}, first: []string{calledList}, event: "calls",
		render: func(context.Context, string) ([]byte, error) {
			calls, counts := s.callsShown(feed, q)
			u := callsUpdate{Now: s.now().UnixMilli(), Order: []string{}, Rows: map[string]string{}}
			shown := map[string]int{}
			for _, c := range calls {
				u.Order = append(u.Order, c.CallUUID)
				shown[c.CallUUID] = c.change
				if told[c.CallUUID] == c.change {
					continue
				}
				row, err := s.ui.Part("live-call", s.callRow(c, mayHangUp))
				if err != nil {
					return nil, err
				}
				u.Rows[c.CallUUID] = string(row)
			}
			told = shown
			for part, into := range map[string]*string{"call-counts": &u.Counts, "call-foot": &u.Foot} {
				html, err := s.ui.Part(part, counts)
				if err != nil {
					return nil, err
				}
				*into = string(html)
			}
			if len(u.Rows) == 0 && slices.Equal(u.Order, last.Order) && u.Counts == last.Counts && u.Foot == last.Foot && last.Order != nil {
				return nil, nil // nothing that this page shows has changed
			}
			last = u
			return json.Marshal(u)
		},
	}, nil
}

// findCall looks for a call in progress on every node.
func (r *request) findCall(uuid string) (contract.LiveCall, error) {
	answers, silent := contract.AskNodes(r.ctx, r.f, contract.Calls, r.board.nodeIDs(), contract.CallsRequest{Tenant: r.tenant, CallUUIDs: []string{uuid}})
	for _, a := range answers {
		for _, c := range a.Calls {
			if c.CallUUID == uuid {
				return c, nil
			}
		}
	}
	if len(silent) > 0 {
		return contract.LiveCall{}, voice.Errorf(voice.ErrUnavailable, "not every node tells its calls")
	}
	return contract.LiveCall{}, voice.Errorf(voice.ErrNotFound, "no call %.64s in progress", uuid)
}

func (s *Server) confirmHangUp(r *request) error {
	c, err := r.findCall(r.param("call"))
	if errors.Is(err, voice.ErrNotFound) {
		return r.done(tenantPath(r.tenant, "calls"), "over")
	}
	if err != nil {
		return err
	}
	list := tenantPath(r.tenant, "calls")
	v := &confirmView{
		Back: list, BackText: "Live calls", Crumb: "Hang up", Heading: "Hang up this call?", Button: "Hang up", Danger: true,
		Action: tenantPath(r.tenant, "calls", c.CallUUID, "hangup"),
		Text:   fmt.Sprintf("%s and %s are cut off at once. Your name stands in the record of the call.", cmp.Or(c.Caller, "The caller"), cmp.Or(c.Callee, c.Dialled)),
	}
	return r.page("confirm", v.Heading, "calls", v)
}

func (s *Server) hangUp(r *request) error {
	list := tenantPath(r.tenant, "calls")
	c, err := r.findCall(r.param("call"))
	if err == nil {
		_, err = fabric.CallNode(r.ctx, s.f, contract.HangUp, c.Node, contract.HangUpRequest{Tenant: r.tenant, CallUUID: c.CallUUID, By: r.author()})
	}
	if errors.Is(err, voice.ErrNotFound) {
		return r.done(list, "over")
	}
	if err != nil {
		return err
	}
	return r.done(list, "hung-up")
}
