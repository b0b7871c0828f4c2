package contract

import (
	"time"

	"parley/internal/fabric"
)

// Trace is a door of services/sipproxy: the SIP messages of a call that its front door still remembers, which it keeps in a
// ring of fixed size. Each front door knows what passed through it; fabric.CallNode asks a certain one.
var Trace = fabric.NewDoor[TraceRequest, TraceResponse]("sipproxy", "trace", 2*time.Second)

// TraceRequest names the dialogs of a call: the Call-ID of its caller, and what the Call-IDs of the node's own legs begin
// with, which is the call's UUID.
type TraceRequest struct {
	CallID   string
	CallUUID string
}

// TraceResponse has the messages in the order they passed.
type TraceResponse struct {
	Messages []TraceMessage `json:"messages"`
	Lost     bool           `json:"lost,omitempty"` // the ring has overwritten earlier messages of the time
}

// TraceMessage is one SIP message. What credentials are made of is left out of it.
type TraceMessage struct {
	Time      time.Time `json:"time"`
	Node      string    `json:"node"`
	Sent      bool      `json:"sent"`      // by us; else received
	Transport string    `json:"transport"` // udp, tcp, tls, ws, wss; "node" between front door and SIP node
	Local     string    `json:"local"`     // our ip:port
	Remote    string    `json:"remote"`    // the peer's ip:port
	CallID    string    `json:"call_id"`
	Text      string    `json:"text"`
}
