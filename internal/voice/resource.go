package voice

import (
	"encoding/json"
	"time"
)

// Kind names a kind of configuration resource as it appears in REST paths and as a key of a provisioning file.
type Kind string

// The kinds of design §5. KindTenant lives under the pseudo tenant [SystemTenant].
const (
	KindTenant           Kind = "tenants"
	KindDN               Kind = "dns"
	KindSkill            Kind = "skills"
	KindPlace            Kind = "places"
	KindPerson           Kind = "persons"
	KindScript           Kind = "scripts"
	KindVoicemailProfile Kind = "voicemail_profiles"
	KindMailbox          Kind = "mailboxes"
)

// SystemTenant owns the resources that belong to no tenant: the tenants themselves.
const SystemTenant = "_system"

// Resource is one provisioned thing: who it belongs to, what it is, and its body as JSON of the kind's type.
type Resource struct {
	Tenant    string          `json:"tenant"`
	Kind      Kind            `json:"kind"`
	Key       string          `json:"key"`
	Version   int64           `json:"version"` // 1 when created, one more with each change
	Body      json.RawMessage `json:"body"`
	UpdatedAt time.Time       `json:"updated_at"`
	UpdatedBy string          `json:"updated_by"`
}

// ConfigChanged is the event on CONFIG: a resource was created, updated or deleted. It carries no body,
// so no secret travels on the stream; whoever cares reads the resource.
type ConfigChanged struct {
	Tenant  string    `json:"tenant"`
	Seq     int64     `json:"seq"` // number of the change in the store, rising without reuse
	Time    time.Time `json:"time"`
	Node    string    `json:"node"`
	Kind    Kind      `json:"kind"`
	Key     string    `json:"key"`
	Version int64     `json:"version"`
	Op      ChangeOp  `json:"op"`
	User    string    `json:"user"`
}

// ChangeOp is what happened to a resource.
type ChangeOp string

// The operations of a change.
const (
	OpCreate ChangeOp = "create"
	OpUpdate ChangeOp = "update"
	OpDelete ChangeOp = "delete"
)

// Tenant is one customer of the platform, with its own numbers, people and SIP domains.
type Tenant struct {
	Name    string            `json:"name"`
	Domains []string          `json:"domains"`           // SIP domains; a host belongs to one tenant only
	Realm   string            `json:"realm,omitempty"`   // digest realm; default: the first domain. Fixed once a DN has a password
	Default bool              `json:"default,omitempty"` // takes requests for any other host or an IP address
	Options map[string]string `json:"options,omitempty"`
}

// DNType says what a directory number is.
type DNType string

// The types of a directory number.
const (
	DNExtension       DNType = "extension"
	DNRoutingPoint    DNType = "routing-point"
	DNVoicemailAccess DNType = "voicemail-access"
	DNTrunk           DNType = "trunk"
	DNSoftswitch      DNType = "softswitch"
	DNRingGroup       DNType = "ring-group"
)

// DN is a directory number: an extension with a SIP account, a route point, a trunk.
type DN struct {
	Number      string                       `json:"number"`
	Type        DNType                       `json:"type"`
	Name        string                       `json:"name,omitempty"`        // shown to people
	Password    string                       `json:"password,omitempty"`    // only on the way in; never stored, never given back
	Auth        *SIPAuth                     `json:"auth,omitempty"`        // what verification needs; given back only to a caller who asks for secrets
	Application string                       `json:"application,omitempty"` // routing-point: name of a script
	RingGroup   *RingGroup                   `json:"ring_group,omitempty"`  // ring-group: who is called
	Options     map[string]map[string]string `json:"options,omitempty"`     // section -> option -> value, e.g. TServer -> contact
}

// SIPAuth is what digest verification needs (RFC 8760): H(username:realm:password) in lower-case hex.
type SIPAuth struct {
	Username string `json:"username"`
	Realm    string `json:"realm"`
	MD5      string `json:"md5"`
	SHA256   string `json:"sha256"`
}

// Skill is something a person can be good at.
type Skill struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// Place is a desk: the numbers a person uses together.
type Place struct {
	Name string   `json:"name"`
	DNs  []string `json:"dns"`
}

// Role is what a person may do.
type Role string

// The roles, from least to most.
const (
	RoleAgent      Role = "agent"      // his own device
	RoleSupervisor Role = "supervisor" // reads everything of the tenant
	RoleAdmin      Role = "admin"      // changes everything of the tenant
	RoleSystem     Role = "system"     // changes every tenant; a person of the default tenant
)

// Person is somebody who signs in: an agent, a supervisor, an administrator.
type Person struct {
	Username     string         `json:"username"`
	FirstName    string         `json:"first_name,omitempty"`
	LastName     string         `json:"last_name,omitempty"`
	Email        string         `json:"email,omitempty"`
	AgentID      string         `json:"agent_id,omitempty"`
	Password     string         `json:"password,omitempty"`      // only on the way in
	PasswordHash string         `json:"password_hash,omitempty"` // argon2id in PHC form; given back only to a caller who asks for secrets
	Place        string         `json:"place,omitempty"`
	Skills       map[string]int `json:"skills,omitempty"` // skill -> level
	Roles        []Role         `json:"roles,omitempty"`
	Disabled     bool           `json:"disabled,omitempty"`
}

// Script is a routing application: SCXML inline, or read from a file when it is applied.
type Script struct {
	Name      string `json:"name"`
	SCXML     string `json:"scxml,omitempty"`
	SCXMLFile string `json:"scxml_file,omitempty"` // only in a provisioning file, relative to it
	Comment   string `json:"comment,omitempty"`    // what is new in this version
}

// VoicemailProfile is a set of voicemail rules that mailboxes share.
type VoicemailProfile struct {
	Name    string            `json:"name"`
	Options map[string]string `json:"options,omitempty"`
}

// Mailbox is where callers leave messages.
type Mailbox struct {
	Number  string            `json:"number"`
	Owner   string            `json:"owner,omitempty"`   // username of a person
	Profile string            `json:"profile,omitempty"` // a voicemail profile; default SystemProfile
	Options map[string]string `json:"options,omitempty"`
}
