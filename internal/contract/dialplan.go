package contract

import (
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// Resolve is the door of services/dialplan: what a dialled number means for a caller. An unknown tenant is
// voice.ErrNotFound.
var Resolve = fabric.NewDoor[*ResolveRequest, *ResolveResponse]("dialplan", "resolve", 2*time.Second)

// MailboxPrefix begins a forwarding target that is a mailbox and no number: "voicemail:1001". Resolve understands it
// in Dialled, so that OnBusy and its like can be asked about as they are.
const MailboxPrefix = "voicemail:"

// ResolveRequest asks what to do with a call.
//
// A call that its device did not take is asked about again with what the answer said (OnBusy, OnNoAnswer, OnOffline) in
// Dialled, the same From and Trunk, and in Diverted all numbers left so far: those of each answer's Diverted and then its
// Number. It is then the last of Diverted whose permissions count, and a ring of forwardings is found.
type ResolveRequest struct {
	Tenant   string    // "" = the default tenant
	From     string    // number of the calling extension; "" when the caller is outside
	Trunk    string    // trunk or softswitch the call came in by; "" for a caller inside
	Dialled  string    // user of the Request-URI, unescaped
	Diverted []string  // numbers the call was forwarded away from so far, the first dialled first
	At       time.Time // when; zero = now
	Explain  bool      // fill Steps
}

// RouteKind says what a number turned out to be.
type RouteKind string

// The kinds of a resolution.
const (
	RouteDevice    RouteKind = "device"        // ring the registered contacts of Number, or Contact
	RoutePoint     RouteKind = "routing-point" // run Application
	RouteVoicemail RouteKind = "voicemail"     // voicemail access or a mailbox
	RouteTrunk     RouteKind = "trunk"         // leave by one of Trunks
	RouteGroup     RouteKind = "ring-group"    // ring the members of Group
	RouteFeature   RouteKind = "feature"       // do what Feature says for who calls
	RouteReject    RouteKind = "reject"        // answer Status
)

// ResolveResponse is the answer. A number that means nothing is a RouteReject with 404, not an error.
type ResolveResponse struct {
	Kind        RouteKind         `json:"kind" enum:"device,routing-point,voicemail,trunk,ring-group,feature,reject"`
	Number      string            `json:"number,omitempty"`       // the DN or number it ended at, after translation and unconditional forwarding
	Contact     string            `json:"contact,omitempty"`      // device: fixed SIP URI; "" = the registered contacts
	Application string            `json:"application,omitempty"`  // routing-point: name of the script; "" = it has none
	Mailbox     string            `json:"mailbox,omitempty"`      // voicemail: whose; "" = ask
	Trunks      []RouteTarget     `json:"trunks,omitempty"`       // trunk: in the order to try; device: the softswitch that its calls go through, none for most
	Status      int               `json:"status,omitempty"`       // reject: SIP status
	Reason      string            `json:"reason,omitempty"`       // reject: for Reason and Warning, and for people
	Diverted    []string          `json:"diverted,omitempty"`     // numbers forwarded away from on the way to this answer, the first dialled first (RFC 5806); not those of the request
	OnBusy      string            `json:"on_busy,omitempty"`      // device: number to try instead, or MailboxPrefix and a mailbox; "" = none
	OnNoAnswer  string            `json:"on_no_answer,omitempty"` //
	OnOffline   string            `json:"on_offline,omitempty"`   // device: when it is not registered
	RingSeconds int               `json:"ring_seconds,omitempty"` // device, ring-group: how long to ring; 0 = the node's default
	Feature     voice.Feature     `json:"feature,omitempty"`      // feature; Number is the one that follows the code
	Group       *RingGroup        `json:"group,omitempty"`        // ring-group; its overflow is OnNoAnswer
	Agent       string            `json:"agent,omitempty"`        // agent logged in there, "" = none
	Options     map[string]string `json:"options,omitempty"`      // device, routing-point: its options of section TServer. Shared: read only
	Steps       []ResolveStep     `json:"steps,omitempty"`
}

// RingGroup is whom a ring group calls, and how. Shared: read only.
type RingGroup struct {
	Strategy voice.RingStrategy `json:"strategy"`
	RingBusy bool               `json:"ring_busy,omitempty"` // those in a call ring, too
	Members  []GroupMember      `json:"members"`             // without those who do not want to be disturbed
}

// GroupMember is one of them: its device.
type GroupMember struct {
	Weight int `json:"weight"` // 1 or more
	ResolveResponse
}

// RouteTarget is one trunk to try.
type RouteTarget struct {
	DN      string `json:"dn"`      // of the trunk
	Contact string `json:"contact"` // SIP URI
	Number  string `json:"number"`  // to dial there, after stripping and prefixing
}

// ResolveStep is one step of a resolution, for people.
type ResolveStep struct {
	Rule   string `json:"rule"`   // what was looked at, e.g. "extension 1001", "trunk gw1 prefix 0"
	Result string `json:"result"` // what came of it
}
