package contract

import (
	"time"

	"parley/internal/fabric"
)

// Trunks is a door of services/sip: how the trunks and softswitches are, as one SIP node sees them. Each node watches
// them itself, since a way that is good from one place may be blocked from another; fabric.CallNode asks a certain one.
var Trunks = fabric.NewDoor[TrunksRequest, TrunksResponse]("sip", "trunks", 2*time.Second)

// TrunksRequest asks for the trunks and softswitches of a tenant, or one of them.
type TrunksRequest struct {
	Tenant string // "" = all tenants
	DN     string // "" = all
}

// TrunksResponse has them ordered by tenant and DN.
type TrunksResponse struct {
	Trunks []TrunkStatus `json:"trunks"`
}

// TrunkState says whether a trunk takes calls.
type TrunkState string

// The states of a trunk or one of its targets.
const (
	TrunkInService    TrunkState = "in-service"     // it answered last time it was asked
	TrunkOutOfService TrunkState = "out-of-service" // it did not, or said that it cannot; no call is sent there
	TrunkUnwatched    TrunkState = "unwatched"      // nobody asks; it is believed to be there
)

// TrunkStatus is a trunk or softswitch as a node sees it.
type TrunkStatus struct {
	Tenant       string             `json:"tenant"`
	DN           string             `json:"dn"`
	Type         string             `json:"type"` // trunk or softswitch
	Node         string             `json:"node"`
	State        TrunkState         `json:"state" enum:"in-service,out-of-service,unwatched"`
	Reason       string             `json:"reason,omitempty"` // out of service: why, for people
	Since        time.Time          `json:"since,omitzero"`   // when State began
	Prefix       string             `json:"prefix,omitempty"`
	Priority     int                `json:"priority"`
	Capacity     int                `json:"capacity"` // calls at once; 0 = no limit
	Calls        int                `json:"calls"`    // in progress, both ways
	Targets      []TrunkTarget      `json:"targets"`  // in the order they are tried
	Registration *TrunkRegistration `json:"registration,omitempty"`

	// What this process has counted since it started.
	Created   int64 `json:"created"`  // calls sent
	Received  int64 `json:"received"` // calls that came
	Answers4  int64 `json:"answers_4xx"`
	Answers5  int64 `json:"answers_5xx"`
	Answers6  int64 `json:"answers_6xx"`
	OutOfServ int64 `json:"out_of_service"` // times it went out of service
}

// TrunkTarget is one address of a trunk (RFC 3263 §4).
type TrunkTarget struct {
	Contact   string     `json:"contact"` // SIP URI as configured
	Address   string     `json:"address"` // ip:port
	Transport string     `json:"transport"`
	State     TrunkState `json:"state" enum:"in-service,out-of-service,unwatched"`
	Reason    string     `json:"reason,omitempty"`
	Checked   time.Time  `json:"checked,omitzero"`
	RTTMillis float64    `json:"rtt_ms,omitempty"` // of the last OPTIONS that was answered
}

// TrunkRegistration is how registering at a provider goes.
type TrunkRegistration struct {
	Registrar string    `json:"registrar"`
	User      string    `json:"user"`
	State     string    `json:"state" enum:"registered,trying,failed"`
	Reason    string    `json:"reason,omitempty"`
	Expires   time.Time `json:"expires,omitzero"`
}
