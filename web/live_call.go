package web

import (
	"slices"
	"strings"
	"time"

	"parley/internal/voice"
)

// after is the call after an event: what of it the node does not tell, which is who has whom on hold.
func (c *liveCall) after(e *voice.CallEvent) *liveCall {
	open := slices.IndexFunc(c.holds, func(h hold) bool { return h.by == e.ThisDN && h.to.IsZero() })
	switch {
	case e.ID == voice.EventHeld && open < 0:
		next := *c
		next.holds = append(slices.Clone(c.holds), hold{by: e.ThisDN, from: e.Time})
		next.change++
		return &next
	case e.ID == voice.EventRetrieved && open >= 0:
		next := *c
		next.holds = slices.Clone(c.holds)
		next.holds[open].to = e.Time
		next.change++
		return &next
	}
	return c
}

// spoken is the call after word of its voice.
func (c *liveCall) spoken(e *voice.QualityEvent) *liveCall {
	next, mos := *c, e.Last.MOS()
	if e.Side == voice.SideCaller {
		next.CallerMOS = mos
	} else {
		next.CalleeMOS = mos
	}
	if next.LiveCall == c.LiveCall {
		return c
	}
	next.change++
	return &next
}

// held tells whether anybody is on hold now.
func (c *liveCall) held() bool {
	return slices.ContainsFunc(c.holds, func(h hold) bool { return h.to.IsZero() })
}

// matches tells whether a part of what is shown of the call is text, which is in small letters.
func (c *liveCall) matches(text string) bool {
	if text == "" {
		return true
	}
	for _, field := range []string{c.Caller, c.Dialled, c.Callee, c.TrunkIn, c.TrunkOut, c.Node} {
		if strings.Contains(strings.ToLower(field), text) {
			return true
		}
	}
	return false
}

// state is what the call does, in a word, and the colour of its badge.
func (c *liveCall) state() (word, class string) {
	switch {
	case c.held():
		return "On hold", "hold"
	case !c.Answer.IsZero():
		return "Talking", "good"
	case c.State == "queued" && c.Treatment != "":
		return "Waiting: " + c.Treatment, "warn"
	case c.State == "queued":
		return "Waiting", "warn"
	case !c.Ringing.IsZero():
		return "Ringing", "warn"
	case c.State == "routing":
		return "Setting up", ""
	}
	return "Calling", ""
}

// barSpan is a part of the bar of a call; to is zero while it lasts.
type barSpan struct {
	Class    string
	From, To time.Time
}

// bar is the parts of a call's bar, the first of them first. Holds lie on the talk.
func (c *liveCall) bar() []barSpan {
	var out []barSpan
	at, class := c.Start, "setup"
	next := func(to time.Time, then string) {
		if !to.IsZero() {
			out = append(out, barSpan{class, at, to})
			at, class = to, then
		}
	}
	next(c.Ringing, "ring")
	next(c.Answer, "talk")
	out = append(out, barSpan{Class: class, From: at})
	for _, h := range c.holds {
		out = append(out, barSpan{"hold", h.from, h.to})
	}
	return out
}
