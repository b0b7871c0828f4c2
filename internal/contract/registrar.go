package contract

import (
	"net/netip"
	"time"

	"parley/internal/fabric"
)

// Doors of services/registrar.
var (
	Register       = fabric.NewDoor[*RegisterRequest, *RegisterResponse]("registrar", "register", 5*time.Second)
	Bindings       = fabric.NewDoor[BindingsRequest, BindingsResponse]("registrar", "bindings", 2*time.Second)
	Registrations  = fabric.NewDoor[RegistrationsRequest, RegistrationsResponse]("registrar", "registrations", 5*time.Second)
	RemoveBindings = fabric.NewDoor[RemoveBindingsRequest, BindingsResponse]("registrar", "remove", 5*time.Second)
	FlowClosed     = fabric.NewDoor[FlowClosedRequest, struct{}]("registrar", "flow-closed", 2*time.Second)
	ReportAbuse    = fabric.NewDoor[AbuseReport, struct{}]("registrar", "report-abuse", 2*time.Second)
	Bans           = fabric.NewDoor[struct{}, BansResponse]("registrar", "bans", 2*time.Second)
	AddBan         = fabric.NewDoor[Ban, Ban]("registrar", "add-ban", 2*time.Second)
	LiftBan        = fabric.NewDoor[LiftBanRequest, struct{}]("registrar", "lift-ban", 2*time.Second)
)

// RegisterRequest is a REGISTER as the front door read it (RFC 3261 §10.3). Strings are raw header text unless
// said otherwise; the registrar parses what it needs and answers with a status, never with a Go error, for
// anything a phone did wrong. A request without Authorization is answered from memory, at once, and nothing of it is
// kept after the answer: the front door asks on the goroutine that reads, with strings in the buffer it reads into.
type RegisterRequest struct {
	RequestURI    string // as on the start line; digest compares it with the uri parameter
	Host          string // host of the request URI, chooses the tenant
	ToUser        string // user of the To URI, unescaped: the address-of-record
	ToHost        string
	CallID        string
	CSeq          uint32
	Contacts      []string // values of Contact, split at commas outside quotes and brackets; "*" stands alone
	Expires       string   // value of Expires, "" if absent
	Path          []string // values of Path, split, topmost first (RFC 3327)
	Supported     []string // option tags, lower case
	Require       []string // option tags, lower case
	UserAgent     string
	Authorization []string // raw values of Authorization

	Transport string         // udp, tcp, tls, ws or wss
	Source    netip.AddrPort // where the request really came from
	Via       string         // sent-by of the top Via, host[:port]
	Node      string         // node whose front door took it
	Flow      string         // id of the connection there; "" for udp. Requests to the binding go back over it
	Received  time.Time
}

// RegisterResponse is the final answer to a REGISTER. The front door adds Via, From, To (with tag), Call-ID and CSeq.
type RegisterResponse struct {
	Status  int // 200, 400, 401, 403, 404, 420, 423, 480, 500, 503 ...
	Reason  string
	Headers []Header // in order: Contact, Expires, Date, Path, Supported, WWW-Authenticate, Min-Expires, Retry-After, Warning ...
	Drop    bool     // send nothing: the source is banned
}

// Header is one header line of a SIP message.
type Header struct{ Name, Value string }

// Binding is one contact of an address-of-record.
type Binding struct {
	Contact   string    `json:"contact"`            // the contact URI as registered
	Received  string    `json:"received,omitempty"` // ip:port it really came from
	Transport string    `json:"transport"`
	Node      string    `json:"node,omitempty"` // front door that holds the flow
	Flow      string    `json:"flow,omitempty"` // connection there
	Path      []string  `json:"path,omitempty"`
	Q         float64   `json:"q"` // 0..1, 1 when not given
	CallID    string    `json:"call_id"`
	CSeq      uint32    `json:"cseq"`
	Instance  string    `json:"instance,omitempty"` // +sip.instance
	UserAgent string    `json:"user_agent,omitempty"`
	Expires   time.Time `json:"expires"`
	Since     time.Time `json:"since"` // first registered
}

// BindingsRequest asks for the live bindings of one number, best q first.
type BindingsRequest struct{ Tenant, DN string }

// BindingsResponse is the live bindings of one number.
type BindingsResponse struct {
	Bindings []Binding `json:"bindings"`
}

// RegistrationsRequest pages through all registered numbers of a tenant ("" = all tenants) in order of tenant and number.
type RegistrationsRequest struct {
	Tenant string
	Match  string // substring of the number; "" = all
	After  string // resume after this "tenant/number"
	Limit  int    // 0 = 100, at most 1,000
}

// Registration is one registered number.
type Registration struct {
	Tenant   string    `json:"tenant"`
	DN       string    `json:"dn"`
	Bindings []Binding `json:"bindings"`
}

// RegistrationsResponse is one page. Next is the After of the next page, "" at the end.
type RegistrationsResponse struct {
	Registrations []Registration `json:"registrations"`
	Next          string         `json:"next,omitempty"`
	Total         int            `json:"total"`    // registered numbers that match, all pages
	Contacts      int            `json:"contacts"` // contacts of all tenants
}

// RemoveBindingsRequest ends bindings by hand: one contact, or all when Contact is "".
type RemoveBindingsRequest struct{ Tenant, DN, Contact string }

// FlowClosedRequest says that a connection is gone, and so are the bindings that came over it.
type FlowClosedRequest struct{ Node, Flow string }

// AbuseReport tells the registrar of misbehaviour that the front door saw: garbage, floods, scans.
type AbuseReport struct {
	Source netip.Addr
	Reason string
	Weight int // how many failures it counts as
}

// Ban is a source that is not served for a while; shared by all nodes through the bucket "bans",
// key fabric.Key(address), value JSON Ban, TTL until Until.
type Ban struct {
	Source   netip.Addr `json:"source"`
	Reason   string     `json:"reason"`
	By       string     `json:"by"` // "registrar", or the user who set it
	Since    time.Time  `json:"since"`
	Until    time.Time  `json:"until"`
	Failures int        `json:"failures,omitempty"`
}

// BansResponse lists the bans in force, newest first.
type BansResponse struct {
	Bans []Ban `json:"bans"`
}

// LiftBanRequest ends a ban early.
type LiftBanRequest struct {
	Source netip.Addr
	User   string
}
