package voice

import "time"

// EventName is the name of a T-Library event, with its prefix "Event".
type EventName string

// The events about a device.
const (
	EventDNBackInService EventName = "EventDNBackInService"
	EventDNOutOfService  EventName = "EventDNOutOfService"

	EventDNDOn               EventName = "EventDNDOn"
	EventDNDOff              EventName = "EventDNDOff"
	EventForwardSet          EventName = "EventForwardSet"
	EventForwardCancel       EventName = "EventForwardCancel"
	EventMonitoringNextCall  EventName = "EventMonitoringNextCall"
	EventMonitoringCancelled EventName = "EventMonitoringCancelled"
	EventUserEvent           EventName = "EventUserEvent"
	EventMessageWaitingOn    EventName = "EventMessageWaitingOn"
	EventMessageWaitingOff   EventName = "EventMessageWaitingOff"
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

	ReferenceID int64  `json:"ReferenceID,omitempty"` // of the request that caused the event
	OtherDN     string `json:"OtherDN,omitempty"`     // where calls are forwarded; who monitors, or is monitored
	ForwardMode string `json:"ForwardMode,omitempty"`
	UserData    KVList `json:"UserData,omitempty"` // of a user event
	Extensions  KVList `json:"Extensions,omitempty"`
	Reasons     KVList `json:"Reasons,omitempty"`
}
