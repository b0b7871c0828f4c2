package voice

import "time"

// The kinds of work.
const (
	WorkVoice   = "voice"   // a call came to a route point
	WorkDigital = "digital" // a chat, an e-mail, a task
)

// WorkItem is an item on the stream WORK: a new interaction, which one orchestration node takes.
type WorkItem struct {
	Tenant string    `json:"tenant"`
	Kind   string    `json:"kind"`
	ID     string    `json:"id"`            // CallUUID, or id of the digital interaction
	Queue  string    `json:"queue"`         // route point
	Seq    uint64    `json:"seq,omitempty"` // of the call's EventQueued: it may come to more than one route point
	Time   time.Time `json:"time"`
	Node   string    `json:"node"`

	Media    string `json:"media,omitempty"` // digital: chat, email, task …
	From     string `json:"from,omitempty"`  // digital: address of the customer
	Subject  string `json:"subject,omitempty"`
	UserData KVList `json:"udata,omitempty"`
}
