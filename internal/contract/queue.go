package contract

import (
	"time"

	"parley/internal/fabric"
)

// Doors of the router of a tenant, which services/tenant will serve: interactions wait there for somebody who fits. An accepted submit
// is answered later, by QueueAnswer at the node that asked. The same submit again (the session moved to another node) is the same
// place in the queue; only Node is new.
var (
	QueueSubmit = fabric.NewDoor[*QueueSubmitRequest, QueueReceipt]("tenant", "queue-submit", 3*time.Second)
	QueueCancel = fabric.NewDoor[*QueueCancelRequest, QueueReceipt]("tenant", "queue-cancel", 3*time.Second)
	QueueQuery  = fabric.NewDoor[*QueueCancelRequest, QueuePosition]("tenant", "queue-query", 3*time.Second)
	// Statistic is a figure about queues or agents, by the names that routing scripts know.
	Statistic = fabric.NewDoor[StatisticRequest, StatisticResponse]("tenant", "statistic", time.Second)
)

// QueueAnswer is served by each node of services/orchestration: the router has chosen, or gave up.
var QueueAnswer = fabric.NewDoor[*QueueSelected, struct{}]("orchestration", "queue-answer", 3*time.Second)

// QueueSubmitRequest asks for somebody who takes an interaction.
type QueueSubmitRequest struct {
	Tenant      string         `json:"tenant"`
	Node        string         `json:"node"`    // of the session
	Session     string         `json:"session"` // with Request: names the wish
	Request     string         `json:"request"`
	Interaction string         `json:"interaction"`
	Media       string         `json:"media"`
	Queue       string         `json:"queue,omitempty"` // virtual queue
	Priority    int            `json:"priority"`
	OrderType   string         `json:"ordertype,omitempty"` // max, min, any or percentage
	OrderStat   string         `json:"orderstat,omitempty"`
	Targets     []QueueTarget  `json:"targets"`
	Timeout     float64        `json:"timeout"` // seconds; 0 = as long as it takes
	Route       bool           `json:"route"`   // false: only choose
	Exclude     []string       `json:"exclude,omitempty"`
	UserData    map[string]any `json:"udata,omitempty"`
	Since       time.Time      `json:"since"` // the interaction began to wait
}

// QueueTarget is who may take it.
type QueueTarget struct {
	Type       string `json:"type"` // agent, place, agentgroup, placegroup, queue, dn, skill, campaigngroup, routepoint, label
	Name       string `json:"name,omitempty"`
	StatServer string `json:"statserver,omitempty"`
	Weight     int    `json:"weight,omitempty"`
	Threshold  string `json:"threshold,omitempty"`
	Skills     string `json:"skillexpr,omitempty"` // such as "english>=5 & billing>2"
}

// QueueReceipt says that a wish is known.
type QueueReceipt struct{}

// QueueCancelRequest names a wish.
type QueueCancelRequest struct {
	Tenant  string `json:"tenant"`
	Session string `json:"session"`
	Request string `json:"request"`
}

// QueuePosition is where a wish stands.
type QueuePosition struct {
	Position int     `json:"position"` // 1 = next
	Waiting  int     `json:"waiting"`
	Expected float64 `json:"expected"` // seconds; 0 = not known
}

// QueueSelected is what the router chose.
type QueueSelected struct {
	Tenant    string `json:"tenant"`
	Session   string `json:"session"`
	Request   string `json:"request"`
	Error     string `json:"error,omitempty"` // why nobody was chosen: a word such as timeout
	Why       string `json:"why,omitempty"`   // a sentence
	DN        string `json:"dn,omitempty"`    // where the interaction goes
	Target    string `json:"target,omitempty"`
	Component string `json:"component,omitempty"` // the agent
	Object    string `json:"object,omitempty"`    // what was asked for
	Agent     string `json:"agent,omitempty"`
	Place     string `json:"place,omitempty"`
	Queue     string `json:"queue,omitempty"` // virtual queue it came by
}

// StatisticRequest asks for a figure.
type StatisticRequest struct {
	Tenant, Object, Statistic string
}

// StatisticResponse is the figure.
type StatisticResponse struct{ Value float64 }
