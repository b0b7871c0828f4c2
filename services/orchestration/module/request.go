package module

import (
	"errors"
	"fmt"

	"parley/internal/scxml"
)

// Request is what an action asks for. It is plain data: what encoding/json makes of it and back is the same request.
type Request struct {
	ID          string         `json:"id"`     // what the script knows as requestid
	Module      string         `json:"module"` // dialog, queue …
	Action      string         `json:"action"` // play, submit …
	Events      string         `json:"events"` // first word of its events
	Interaction string         `json:"interaction,omitempty"`
	Args        map[string]any `json:"args,omitempty"` // attributes that were given, and what stands inside of the element
}

// Name is that of the action, as in "dialog.play".
func (r *Request) Name() string { return r.Module + "." + r.Action }

// Text is an argument as text, "" if it was not given.
func (r *Request) Text(name string) string {
	v, ok := r.Args[name]
	if !ok || v == nil {
		return ""
	}
	return scxml.Text(v)
}

// Number is an argument as a number; ok is false when it is given and is none. Text that is a number counts.
func (r *Request) Number(name string, otherwise float64) (n float64, ok bool) {
	return number(r.Args[name], otherwise)
}

// Flag is an argument as a truth value.
func (r *Request) Flag(name string, otherwise bool) bool { return flag(r.Args[name], otherwise) }

// Done is the event that the request came to its end.
func (r *Request) Done(data map[string]any) scxml.Event {
	return r.event(r.Events+"."+r.Action+".done", data)
}

// Accepted is the event that it will be done.
func (r *Request) Accepted() scxml.Event { return r.event(r.Events+"."+r.Action+".requestid", nil) }

// Failed is the event that it came to nothing.
func (r *Request) Failed(err error) scxml.Event {
	what, why := "unknown", err.Error()
	var refused *Refusal
	if errors.As(err, &refused) {
		what = refused.What
	}
	return r.event("error."+r.Events+"."+r.Action, map[string]any{"error": what, "description": why})
}

func (r *Request) event(name string, data map[string]any) scxml.Event {
	all := make(map[string]any, len(data)+2)
	for k, v := range data {
		all[k] = v
	}
	all["requestid"] = r.ID
	if r.Interaction != "" && all["interactionid"] == nil {
		all["interactionid"] = r.Interaction
	}
	return scxml.Event{Name: name, Type: scxml.External, Data: all}
}

// Refusal is why a request came to nothing: a word for scripts and a sentence for people.
type Refusal struct{ What, Why string }

// Refuse makes a Refusal.
func Refuse(what, format string, args ...any) *Refusal {
	return &Refusal{What: what, Why: fmt.Sprintf(format, args...)}
}

func (r *Refusal) Error() string { return r.Why }

// The words of refusals that several modules use.
const (
	InvalidParameter   = "invalidparameter"
	InvalidInteraction = "invalidinteraction"
	InvalidDestination = "invaliddestination"
	InvalidState       = "invalidstate"
	Unsupported        = "unsupported"
	Unavailable        = "unavailable"
	Timeout            = "timeout"
	Cancelled          = "cancelled"
	Remote             = "remote"
)
