package voice

import "time"

// EventName is the name of a T-Library event, with its prefix "Event".
type EventName string

// The events about a device.
const (
	EventDNBackInService EventName = "EventDNBackInService"
	EventDNOutOfService  EventName = "EventDNOutOfService"
)

// DeviceEvent is an event on DEVICES: a directory number came into or went out of service.
type DeviceEvent struct {
	ID      EventName `json:"id"`
	Server  string    `json:"Server"` // the service that says so, e.g. "registrar"
	ThisDN  string    `json:"ThisDN"`
	Tenant  string    `json:"tenant"`
	Seq     uint64    `json:"seq"` // revision of the binding record the event is about
	Time    time.Time `json:"time"`
	Node    string    `json:"node"`
	Reason  string    `json:"reason,omitempty"`  // registered, unregistered, expired, connection-lost, removed
	Contact string    `json:"contact,omitempty"` // the contact that came or went last
}
