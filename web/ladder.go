package web

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/internal/sipua/wire"
	"parley/internal/voice"
)

const (
	maxLanes = 8      // of a ladder; the style sheet has as many
	nodeHop  = "node" // transport between a front door and a SIP node, see contract.TraceMessage
)

// lane is one who sends and gets messages: the caller, a node, a place that was called.
type lane struct {
	Title, Sub string
	Node       bool
}

// ladderRow is one line of a ladder: a SIP message as an arrow between two lanes, or a T-Library event.
type ladderRow struct {
	At    time.Time
	After string // since the first row

	Message   bool
	Left      bool // the arrow points from the higher lane to the lower
	Low, High int  // lanes, from 1
	Label     string
	Of        string // method that a response answers, but for INVITE
	Class     string // request, progress, success, failure
	SDP       string // "" = no session description; else what to say of it
	Again     bool   // sent once more
	Way       string // the same in words
	Text      string // the message, or the event as JSON

	Event, DN string
}

// ladder is the messages and events of a call in the order of time.
type ladder struct {
	Lanes    []lane
	Rows     []ladderRow
	Messages int
	Events   int
}

// ladderMaker sorts messages into lanes.
type ladderMaker struct {
	callerID string // Call-ID of the caller's dialog
	caller   string // number
	lanes    []lane
	keys     []string          // what each lane is found by, in the same order
	places   map[string]string // node by its own address
}

// drawLadder puts the messages and events of a call into lanes and rows. callerID is the Call-ID of the caller's dialog; caller
// the number to write above its lane.
func drawLadder(callerID, caller string, messages []contract.TraceMessage, events []voice.CallEvent) ladder {
	m := &ladderMaker{callerID: callerID, caller: caller, places: map[string]string{}}
	for i := range messages {
		m.places[messages[i].Local] = messages[i].Node
	}
	messages = withoutEchoes(messages)
	m.openLanes(messages)
	var l ladder
	seen := map[string]bool{}
	for i := range messages {
		row := m.row(&messages[i])
		key := fmt.Sprint(row.Low, row.High, row.Left, row.Text)
		row.Again = seen[key]
		seen[key] = true
		l.Rows = append(l.Rows, row)
	}
	for i := range events {
		l.Rows = append(l.Rows, eventRow(&events[i]))
	}
	slices.SortStableFunc(l.Rows, func(a, b ladderRow) int { return a.At.Compare(b.At) })
	for i := range l.Rows {
		l.Rows[i].After = fmt.Sprintf("%.3f", l.Rows[i].At.Sub(l.Rows[0].At).Seconds())
	}
	l.Lanes, l.Messages, l.Events = m.lanes, len(messages), len(events)
	return l
}

// withoutEchoes leaves out what a node received from another one that tells of having sent it.
func withoutEchoes(messages []contract.TraceMessage) []contract.TraceMessage {
	sent := map[string]bool{}
	for i := range messages {
		if m := &messages[i]; m.Transport == nodeHop && m.Sent {
			sent[m.Text] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(messages), func(m contract.TraceMessage) bool {
		return m.Transport == nodeHop && !m.Sent && sent[m.Text]
	})
}

// openLanes makes the lanes: the caller first, then nodes, then the places called, each in the order they appear.
func (m *ladderMaker) openLanes(messages []contract.TraceMessage) {
	var called []string
	names := map[string]lane{}
	for i := range messages {
		msg := &messages[i]
		key := m.peer(msg)
		for _, k := range []string{nodeKey(msg.Node), key} {
			if _, known := names[k]; !known {
				names[k] = m.laneOf(k, msg)
				called = append(called, k)
			}
		}
	}
	rank := func(key string) int {
		switch {
		case key == callerKey:
			return 0
		case names[key].Node:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(called, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	for _, key := range called {
		if len(m.lanes) == maxLanes {
			m.lanes[maxLanes-1] = lane{Title: "More places", Sub: fmt.Sprint(len(called)-maxLanes+1, " of them")}
			break
		}
		m.lanes, m.keys = append(m.lanes, names[key]), append(m.keys, key)
	}
}

const callerKey = "caller"

func nodeKey(node string) string { return "node " + node }

// peer is the key of the lane at the other end of a message.
func (m *ladderMaker) peer(msg *contract.TraceMessage) string {
	switch {
	case msg.Transport == nodeHop:
		if n, ok := m.places[msg.Remote]; ok {
			return nodeKey(n)
		}
		return nodeKey("at " + msg.Remote)
	case msg.CallID == m.callerID:
		return callerKey
	}
	return "leg " + msg.CallID
}

// laneOf names a lane by the first message that has to do with it.
func (m *ladderMaker) laneOf(key string, msg *contract.TraceMessage) lane {
	if node, ok := strings.CutPrefix(key, "node "); ok {
		return lane{Title: "Parley", Sub: node, Node: true}
	}
	l := lane{Title: m.caller, Sub: msg.Transport + " " + msg.Remote}
	if key != callerKey {
		l.Title = cmp.Or(targetOf(msg.Text), "called")
	}
	return l
}

// targetOf is the user that a request is for, by its Request-URI, or that a response comes from, by its To.
func targetOf(text string) string {
	var (
		m wire.Message
		a wire.Address
		u wire.URI
	)
	_ = wire.Scan(&m, []byte(text)) // of what cannot be read nothing is said
	uri := m.URI()
	if !m.IsRequest() && wire.ParseAddress(m.Get(wire.To), &a) {
		uri = a.URI
	}
	if !wire.ParseURI(uri, &u) {
		return ""
	}
	return wire.Unescape(u.User)
}

// place is the number of a lane, from 1; those that found no lane of their own share the last.
func (m *ladderMaker) place(key string) int {
	if i := slices.Index(m.keys, key); i >= 0 {
		return i + 1
	}
	return len(m.lanes)
}

func (m *ladderMaker) row(msg *contract.TraceMessage) ladderRow {
	r := ladderRow{Message: true, At: msg.Time, Text: msg.Text}
	from, to := m.place(nodeKey(msg.Node)), m.place(m.peer(msg))
	if !msg.Sent {
		from, to = to, from
	}
	r.Low, r.High, r.Left = min(from, to), max(from, to), from > to
	if r.Low == r.High { // both in the lane of the rest
		r.Low = max(1, r.High-1)
	}
	way := msg.Transport
	if way == nodeHop {
		way = "between nodes"
	}
	r.Way = fmt.Sprintf("from %s to %s, %s", m.lanes[from-1].Title, m.lanes[to-1].Title, way)
	r.describe(msg.Text)
	return r
}

// describe says what the message is.
func (r *ladderRow) describe(text string) {
	var m wire.Message
	if err := wire.Scan(&m, []byte(text)); err != nil && err.Status == 0 {
		r.Label, r.Class = "not readable", "failure"
		return
	}
	if m.IsRequest() {
		r.Label, r.Class = string(m.Method()), "request"
	} else {
		_, method := m.CSeq()
		r.Label = strings.TrimSpace(fmt.Sprintf("%d %s", m.Status(), m.Reason()))
		if r.Of = string(method); r.Of == "INVITE" {
			r.Of = "" // goes without saying
		}
		switch m.Status() / 100 {
		case 1:
			r.Class = "progress"
		case 2:
			r.Class = "success"
		default:
			r.Class = "failure"
		}
	}
	r.SDP = describeSDP(m.Body())
}

// describeSDP is what the mark of a session description says: that there is one, and whether it puts somebody on hold.
func describeSDP(body []byte) string {
	if !bytes.HasPrefix(body, []byte("v=0")) && !bytes.Contains(body, []byte("\nm=audio ")) {
		return ""
	}
	for _, hold := range []string{"sendonly", "recvonly", "inactive"} {
		if bytes.Contains(body, []byte("\na="+hold)) {
			return "SDP " + hold
		}
	}
	return "SDP"
}

func eventRow(e *voice.CallEvent) ladderRow {
	r := ladderRow{At: e.Time, Event: strings.TrimPrefix(string(e.ID), "Event"), DN: e.ThisDN}
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		text = []byte(err.Error())
	}
	r.Text = string(text)
	return r
}
