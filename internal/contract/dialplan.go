package contract

import (
	"time"

	"parley/internal/fabric"
)

// Resolve is the door of services/dialplan: what a dialled number means for a caller.
var Resolve = fabric.NewDoor[*ResolveRequest, *ResolveResponse]("dialplan", "resolve", 2*time.Second)

// ResolveRequest asks what to do with a call.
type ResolveRequest struct {
	Tenant  string
	From    string    // number of the calling extension; "" when the caller is outside
	Trunk   string    // trunk or softswitch the call came in by; "" for a caller inside
	Dialled string    // user of the Request-URI, unescaped
	At      time.Time // when; zero = now
	Explain bool      // fill Steps
}

// RouteKind says what a number turned out to be.
type RouteKind string

// The kinds of a resolution.
const (
	RouteDevice    RouteKind = "device"        // ring the registered contacts of Number, or Contact
	RoutePoint     RouteKind = "routing-point" // run Application
	RouteVoicemail RouteKind = "voicemail"     // voicemail access or a mailbox
	RouteTrunk     RouteKind = "trunk"         // leave by one of Trunks
	RouteReject    RouteKind = "reject"        // answer Status
)

// ResolveResponse is the answer. A number that means nothing is a RouteReject with 404, not an error.
type ResolveResponse struct {
	Kind        RouteKind
	Number      string        // the DN it ended at, after translation and unconditional forwarding
	Contact     string        // device: fixed SIP URI; "" = the registered contacts
	Application string        // routing-point: name of the script
	Mailbox     string        // voicemail: whose; "" = ask
	Trunks      []RouteTarget // trunk: in the order to try
	Status      int           // reject: SIP status
	Reason      string        // reject: for Reason and Warning, and for people
	Diverted    []string      // numbers the call was forwarded away from, the first dialled first (RFC 5806)
	OnBusy      string        // device: number to try instead, "" = none
	OnNoAnswer  string        //
	OnOffline   string        // device: when it is not registered
	RingSeconds int           // device: how long to ring; 0 = the node's default
	Agent       string        // agent logged in there, "" = none
	Steps       []ResolveStep `json:",omitempty"`
}

// RouteTarget is one trunk to try.
type RouteTarget struct {
	DN      string // of the trunk
	Contact string // SIP URI
	Number  string // to dial there, after stripping and prefixing
}

// ResolveStep is one step of a resolution, for people.
type ResolveStep struct {
	Rule   string // what was looked at, e.g. "extension 1001", "trunk gw1 prefix 0"
	Result string // what came of it
}
