package snapshot

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"parley/internal/fabric"
	"parley/internal/media/sdp"
	"parley/internal/voice"
)

// Version is that of the format. A node reads its own only: one that is newer or older leaves the call to others.
const Version = 1

// Owner is one life of a node.
type Owner struct {
	Node    string    `json:"node"`
	Started time.Time `json:"started"`
}

// Same tells whether o and p are the same life of the same node.
func (o Owner) Same(p Owner) bool { return o.Node == p.Node && o.Started.Equal(p.Started) }

// Call is a call as it was when it was written.
type Call struct {
	Version  int   `json:"version"`
	Owner    Owner `json:"owner"`
	Epoch    int   `json:"epoch"`              // rises with each owner
	Released bool  `json:"released,omitempty"` // the owner lets go of it: whoever likes may have it

	UUID     string        `json:"uuid"` // of the pair of legs; the key
	Identity Identity      `json:"identity"`
	Caller   Party         `json:"caller"`
	Dialled  string        `json:"dialled"`
	Domain   string        `json:"domain"`  // for From and To
	Contact  string        `json:"contact"` // ours
	Phase    string        `json:"phase"`   // routing, queued, alerting or talking
	Legs     [2]*Leg       `json:"legs"`    // caller and callee; nil = there is none
	Direct   bool          `json:"direct,omitempty"`
	Rings    string        `json:"rings,omitempty"` // DN that rang
	Number   string        `json:"number,omitempty"`
	TrunkOut string        `json:"trunk_out,omitempty"`
	Forwards int           `json:"forwards,omitempty"`
	Diverted []string      `json:"diverted,omitempty"`
	Desk     *Desk         `json:"desk,omitempty"`
	Taken    bool          `json:"taken,omitempty"` // the caller was answered and has nobody to talk to yet
	Queue    string        `json:"queue,omitempty"`
	Waited   time.Duration `json:"waited_ns,omitempty"`
	Made     int           `json:"made,omitempty"` // legs made so far
	Times    Times         `json:"times"`
	Data     voice.KVList  `json:"user_data,omitempty"`
	DataRev  int64         `json:"user_data_version,omitempty"`

	Seq    uint64             `json:"seq"`              // of the last event
	Events []*voice.CallEvent `json:"events,omitempty"` // the last, which the stream may lack
}

// Identity is what names a call in reports, which may have come from another pair of legs.
type Identity struct {
	UUID     string         `json:"uuid"`
	Conn     string         `json:"conn"`
	Number   uint64         `json:"number"`
	Tenant   string         `json:"tenant"`
	Kind     voice.CallType `json:"kind"`
	Thread   string         `json:"thread"`
	Previous string         `json:"previous,omitempty"`
	SIPID    string         `json:"sip_id"` // Call-ID of the dialog it began with
}

// Party is who calls.
type Party struct {
	Number  string `json:"number,omitempty"`
	Display string `json:"display,omitempty"`
	Shown   string `json:"shown,omitempty"`
	Trunk   string `json:"trunk,omitempty"`
	Dialled string `json:"dialled,omitempty"`
}

// Times are when what happened.
type Times struct {
	Start  time.Time `json:"start"`
	Ring   time.Time `json:"ring,omitzero"`
	Answer time.Time `json:"answer,omitzero"`
}

// Leg is a dialog (RFC 3261 §12) and what was agreed about its audio.
type Leg struct {
	CallID   string        `json:"call_id"`
	Local    string        `json:"local"`
	Remote   string        `json:"remote"`
	Tag      string        `json:"tag"`
	PeerTag  string        `json:"peer_tag"`
	Target   string        `json:"target"`
	Routes   []string      `json:"routes,omitempty"`
	Contact  string        `json:"contact"`
	Seq      uint32        `json:"seq"`
	PeerSeq  uint32        `json:"peer_seq"`
	Updates  bool          `json:"updates,omitempty"`
	Host     netip.Addr    `json:"host,omitzero"` // where its SIP comes from
	Interval time.Duration `json:"interval_ns,omitempty"`
	Least    time.Duration `json:"least_ns,omitempty"`
	Ours     bool          `json:"ours,omitempty"` // we refresh the session
	Ends     time.Time     `json:"ends,omitzero"`
	Parked   bool          `json:"parked,omitempty"` // it put the other one on hold, by a request
	As       *Standing     `json:"as,omitempty"`     // how it appears in events, when that is not who called or was called
	Audio    *Audio        `json:"audio,omitempty"`  // nil = nothing was said
}

// Standing is how a party appears in events.
type Standing struct {
	DN      string       `json:"dn"`
	Role    voice.DNRole `json:"role"`
	Queue   string       `json:"queue,omitempty"`
	Trunk   string       `json:"trunk,omitempty"`
	Outside bool         `json:"outside,omitempty"`
	Hidden  bool         `json:"hidden,omitempty"`
}

// Audio is what a side and we said.
type Audio struct {
	Through   bool            `json:"through"` // it goes through the node
	Author    sdp.AuthorState `json:"author"`
	Direction sdp.Direction   `json:"direction"` // of what the side said
	Profile   sdp.Profile     `json:"profile"`
	Formats   []sdp.Format    `json:"formats"`
	PTime     time.Duration   `json:"ptime_ns,omitempty"`
	MaxPTime  time.Duration   `json:"maxptime_ns,omitempty"`
	Sum       uint64          `json:"sum"` // of its description
	Agreed    []sdp.Format    `json:"agreed,omitempty"`
	Told      sdp.Terms       `json:"told"`           // what we said last, without keys
	Sent      []byte          `json:"sent,omitempty"` // as it was written, where it holds no keys of ours
	Holds     bool            `json:"holds,omitempty"`
	SRTP      voice.SRTP      `json:"srtp,omitempty"` // how its device is configured
	WebRTC    bool            `json:"webrtc,omitempty"`
	Hold      voice.HoldAudio `json:"hold,omitempty"`
}

// Desk is a call at a route point.
type Desk struct {
	DN         string                  `json:"dn"`
	Options    voice.RoutePointOptions `json:"options"`
	Since      time.Time               `json:"since"`
	Keys       string                  `json:"keys,omitempty"`
	Defaulted  bool                    `json:"defaulted,omitempty"`
	Treatment  *voice.TreatmentType    `json:"treatment,omitempty"` // that runs
	Parameters voice.KVList            `json:"parameters,omitempty"`
	Reference  int64                   `json:"reference,omitempty"`
}

// Key is that of a call in the bucket.
func Key(uuid string) string { return fabric.Key(uuid) }

// Encode writes c.
func (c *Call) Encode() ([]byte, error) {
	c.Version = Version
	return json.Marshal(c)
}

// Decode reads what Encode wrote.
func Decode(b []byte) (*Call, error) {
	c := &Call{}
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if c.Version != Version {
		return nil, fmt.Errorf("snapshot: version %d, this node reads %d", c.Version, Version)
	}
	if c.UUID == "" || c.Identity.UUID == "" || c.Owner.Node == "" {
		return nil, fmt.Errorf("snapshot: no call or no owner named")
	}
	return c, nil
}
