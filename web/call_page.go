package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/web/live"
)

const (
	callEvents = 500    // of one call that are shown
	topicCall  = "call" // name: tenant and call; keys: parts of the page
	recordSoon = 500 * time.Millisecond
)

// callView is the page of one call: its SIP messages as a ladder, beside its events.
type callView struct {
	Call            string
	Caller, Dialled string
	Live            bool
	Outcome         outcomeName
	Talk, State     string
	Node            string
	Start           time.Time
	Calls           string // address of the live calls
	History         string // address of those that are over
	Source          string // of live updates; "" when the call is over
	Record          string // address of the record; "" while there is none
	Download        string
	MayHangUp       bool
	Ladder          ladder
	Voice           *voiceView
	NoTrace         string // why there are no messages
	Lost            bool
	Silent          string
}

// call answers the page of a call, in progress or over.
func (s *Server) call(r *request) error {
	v, err := s.callOf(r.ctx, r.tenant, r.param("call"), r.who.MayWrite(r.tenant))
	if err != nil {
		return err
	}
	if v.Live {
		v.Source = "/live?" + url.Values{"topic": {topicCall}, "tenant": {r.tenant}, "call": {v.Call}}.Encode()
	}
	return r.page("call", "Call of "+v.Caller, navOf(v.Live), v)
}

// callOf gathers what is known of a call.
func (s *Server) callOf(ctx context.Context, tenant, uuid string, mayHangUp bool) (*callView, error) {
	v := &callView{
		Call: uuid, Calls: tenantPath(tenant, "calls"), History: tenantPath(tenant, "cdrs"), Download: tenantPath(tenant, "calls", uuid, "sip.txt"),
	}
	c, err := contract.TraceCall(ctx, s.f, s.board.nodeIDs(), tenant, uuid)
	events, err2 := s.eventsOf(ctx, tenant, uuid)
	if err2 != nil {
		return nil, err2
	}
	spoken, err2 := s.voiceEventsOf(ctx, tenant, uuid)
	if err2 != nil {
		return nil, err2
	}
	callID, callee := "", ""
	switch {
	case err != nil && c.CDR == nil && c.Live == nil:
		if !errors.Is(err, voice.ErrNotFound) || len(events) == 0 {
			return nil, err
		}
		v.NoTrace = "This call has just ended, and its record is being written. Open the page again in a moment."
		v.Caller, v.Dialled, v.Start = events[0].ANI, events[0].DNIS, events[0].Time
	case c.CDR != nil:
		callID, callee = v.over(c.CDR), cmp.Or(c.CDR.Answered, c.CDR.Dialled)
	default:
		callID, callee = v.inProgress(c.Live), cmp.Or(c.Live.Callee, c.Live.Dialled)
		v.MayHangUp = mayHangUp
	}
	switch {
	case err != nil && v.NoTrace == "":
		v.NoTrace = "No front door keeps SIP messages: the setting sipproxy.trace is 0, or none answers."
	case len(c.Messages) == 0 && v.NoTrace == "":
		v.NoTrace = "The front door remembers messages for a while only, and those of this call are forgotten."
		if !c.Lost {
			v.NoTrace = "The front door has no messages of this call. It began to remember when it was last started."
		}
	}
	v.Lost, v.Silent = c.Lost && len(c.Messages) > 0, strings.Join(c.Silent, ", ")
	v.Voice = voiceOf(c.CDR, spoken, v.Caller, party(callee, "called side"))
	v.Ladder = drawLadder(callID, v.Caller, c.Messages, events)
	return v, nil
}

// liveCall follows the page of a call in progress, until it is over and recorded.
func (s *Server) liveCall(r *request, tenant, uuid string) (*liveView, error) {
	if _, err := s.calls.follow(r.ctx, tenant); err != nil {
		return nil, err
	}
	mayHangUp := r.who.MayWrite(tenant)
	topic := live.Topic{Kind: topicCall, Name: fabric.Key(tenant, uuid)}
	var (
		last  *callView // all parts of one update are of one picture
		at    time.Time
		taken map[string]bool // parts that were told of it
	)
	return &liveView{
		topic: topic, first: []string{"call-head", "voice", "ladder"}, event: "part",
		render: func(ctx context.Context, part string) ([]byte, error) {
			if last == nil || taken[part] || s.now().Sub(at) > streamPace/2 {
				v, err := s.callOf(ctx, tenant, uuid, mayHangUp)
				if err != nil {
					return nil, err
				}
				last, at, taken = v, s.now(), map[string]bool{}
			}
			v := last
			taken[part] = true
			if !v.Live && v.Record == "" { // its record is on its way, and no event tells of its arrival
				time.AfterFunc(recordSoon, func() { s.hub.Mark(topic, part) })
			}
			return s.part(part, part, v)
		},
	}, nil
}

// navOf is the entry of the navigation a call is found under.
func navOf(live bool) string {
	if live {
		return "calls"
	}
	return "cdrs"
}

func (v *callView) over(c *voice.CDR) (callID string) {
	row := rowOf(c)
	v.Caller, v.Dialled, v.Outcome, v.Talk = row.Caller, row.Dialled, row.Outcome, row.Talk
	v.Start, v.Node, v.Record = c.Start, c.Node, row.Href
	return c.SIPCallID
}

func (v *callView) inProgress(c *contract.LiveCall) (callID string) {
	v.Live = true
	v.Caller, v.Dialled = cmp.Or(c.Caller, "anonymous"), cmp.Or(c.Dialled, "–")
	v.State, v.Start, v.Node = c.State, c.Start, c.Node
	return c.SIPCallID
}

// eventsOf reads the events of a call that are still in the stream.
func (s *Server) eventsOf(ctx context.Context, tenant, uuid string) ([]voice.CallEvent, error) {
	list, err := s.f.Read(ctx, fabric.StreamCalls, fabric.Filter("call", tenant, uuid, fabric.Rest), callEvents)
	if err != nil {
		return nil, err
	}
	out := make([]voice.CallEvent, 0, len(list))
	for _, m := range list {
		var e voice.CallEvent
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return nil, fmt.Errorf("event %d of CALLS: %w", m.Seq, err)
		}
		out = append(out, e)
	}
	return out, nil
}

// callText answers the SIP messages of a call as a text to keep.
func (s *Server) callText(r *request) error {
	uuid := r.param("call")
	c, err := contract.TraceCall(r.ctx, s.f, s.board.nodeIDs(), r.tenant, uuid)
	if err != nil {
		return err
	}
	r.c.Attachment("call-" + url.PathEscape(uuid) + ".txt")
	r.c.Set(fiber.HeaderContentType, "text/plain; charset=utf-8")
	return r.c.SendString(c.Text())
}
