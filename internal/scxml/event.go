package scxml

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// EventType says where an event comes from (§5.10.1).
type EventType string

// The types of events.
const (
	Internal EventType = "internal"
	External EventType = "external"
	Platform EventType = "platform"
)

// Event is what sessions react to. Data holds values as this package's comment describes them; whoever hands an
// event over does not change its data afterwards.
type Event struct {
	Name       string
	Type       EventType // External where it is empty
	SendID     string
	Origin     string
	OriginType string
	InvokeID   string
	Data       any // nil and Undefined both are undefined: null is nothing one would send
	Raw        string

	hasData bool // nil means null
}

// check refuses events that no document could name.
func (ev *Event) check(lim Limits) error {
	if ev.Name == "" || strings.ContainsAny(ev.Name, " \t\r\n") || !utf8.ValidString(ev.Name) {
		return fmt.Errorf("event name %q: want letters, digits and dots without blanks", ev.Name)
	}
	if len(ev.Name) > 1024 {
		return errors.New("event name is longer than 1024 bytes")
	}
	if n := sizeOf(ev.Data) + len(ev.Raw); n > lim.EventBytes {
		return fmt.Errorf("event %s: data of about %d bytes, at most %d are taken", ev.Name, n, lim.EventBytes)
	}
	return nil
}

// Names of the errors that the interpreter raises (§3.12.2).
const (
	errExecution     = "error.execution"
	errCommunication = "error.communication"
)

// ErrCommunication marks errors of custom actions and processors that become error.communication; others become
// error.execution.
var ErrCommunication = errors.New("communication failed")
