package contract

import (
	"time"

	"parley/internal/fabric"
	"parley/internal/obs"
)

// NodeStatus is served by every node; use fabric.CallNode to ask one.
var NodeStatus = fabric.NewDoor[struct{}, StatusReport]("node", "status", 2*time.Second)

// NodeAlive is answered by every node at once; use fabric.CallNode. Where nobody answers, because the connection of the node to the
// fabric is gone, that is known at once too.
var NodeAlive = fabric.NewDoor[struct{}, struct{}]("node", "alive", time.Second)

// FindDialog asks one SIP node, with fabric.CallNode, about a dialog that its token names another node for: calls outlive
// their nodes (services/sip), and the tokens that phones hold do not change.
var FindDialog = fabric.NewDoor[FindDialogRequest, FindDialogResponse]("sip", "find-dialog", 500*time.Millisecond)

// FindDialogRequest names a dialog.
type FindDialogRequest struct {
	CallID string `json:"call_id"`
}

// FindDialogResponse is what the node knows of it.
type FindDialogResponse struct {
	Here   bool `json:"here"`   // the node has it
	Moving bool `json:"moving"` // calls are being taken over or handed on, and it may be among them: ask again soon
}

// NodeRecord is what a node says of itself in the bucket "nodes": key fabric.Key(id), renewed every few seconds,
// gone by its time to live when the node dies.
type NodeRecord struct {
	ID       string         `json:"id"`
	Version  string         `json:"version"`
	Started  time.Time      `json:"started"`
	Services []string       `json:"services"`
	SIP      *SIPNodeRecord `json:"sip,omitempty"`   // set when the node runs the sip service
	Proxy    *ProxyRecord   `json:"proxy,omitempty"` // set when it runs a front door, as every node with sip does
}

// SIPNodeRecord is what a SIP node offers to the front doors. It is reached through the front door of its process.
type SIPNodeRecord struct {
	Capacity int  `json:"capacity"` // calls it takes; 0 = no limit
	Calls    int  `json:"calls"`    // calls it has
	Draining bool `json:"draining"` // no new calls
}

// ProxyRecord is where a front door is reached by other nodes, and where they may hear from it.
type ProxyRecord struct {
	UDP   string   `json:"udp,omitempty"`   // host:port
	TCP   string   `json:"tcp,omitempty"`   // host:port; large requests come this way
	Hosts []string `json:"hosts,omitempty"` // addresses it may send from besides those
}

// ServiceStatus is one service of a node.
type ServiceStatus struct {
	Name    string      `json:"name"`
	Level   obs.Level   `json:"level"`
	Checks  []obs.Check `json:"checks"`
	Address []string    `json:"address"` // where it listens: http://…, sip:…, nats://…
}

// StatusReport is what `parley status` and the overview page show of a node.
type StatusReport struct {
	Node          string          `json:"node"`
	Version       string          `json:"version"`
	Started       time.Time       `json:"started"`
	Level         obs.Level       `json:"level"`
	Services      []ServiceStatus `json:"services"`
	Registrations int             `json:"registrations"` // numbers registered, whole platform; -1 = unknown
	Contacts      int             `json:"contacts"`      // -1 = unknown
	Bans          int             `json:"bans"`          // -1 = unknown
	Calls         int             `json:"calls"`         // in progress on this node; -1 = unknown
	Peers         []string        `json:"peers"`         // other nodes alive

	CallState *InvariantsResponse `json:"call_state,omitempty"` // set when the node runs callstate
}
