package contract

import (
	"time"

	"parley/internal/fabric"
)

// SessionCommand is served by each orchestration node for the sessions it runs; voice.ErrNotFound says that it has no such
// session. Whoever does not know the node asks any: it finds out.
var SessionCommand = fabric.NewDoor[*SessionCommandRequest, *SessionCommandResponse]("orchestration", "session-command", 35*time.Second)

// What can be done to a session.
const (
	SessionEvent     = "event"     // an event for it
	SessionRequest   = "request"   // an event that its script answers with session:response
	SessionQuery     = "query"     // what it knows
	SessionTerminate = "terminate" // it ends
)

// SessionCommandRequest does something to a session.
type SessionCommandRequest struct {
	Tenant  string         `json:"tenant"`
	ID      string         `json:"id"`
	Do      string         `json:"do"`
	Event   string         `json:"event,omitempty"`
	Data    map[string]any `json:"data,omitempty"`
	Here    bool           `json:"here,omitempty"` // do not look elsewhere
	Timeout time.Duration  `json:"timeout,omitempty"`
}

// SessionCommandResponse is what came of it.
type SessionCommandResponse struct {
	Session ScriptSession  `json:"session"`
	Content any            `json:"content,omitempty"` // of a request: what the script answered
	Status  int            `json:"status,omitempty"`
	Data    map[string]any `json:"data,omitempty"` // of a query: interactions and open requests
}
