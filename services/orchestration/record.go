package orchestration

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/services/orchestration/module"
)

// record is a session as the bucket sessions has it.
type record struct {
	Owner   string          `json:"owner"` // process that runs it
	ID      string          `json:"id"`
	Tenant  string          `json:"tenant"`
	Start   time.Time       `json:"start"`
	Script  string          `json:"script,omitempty"`  // name or address
	Version int64           `json:"version,omitempty"` // of the resource
	File    string          `json:"file,omitempty"`    // by which the document was compiled
	Digest  string          `json:"digest,omitempty"`  // of the document, which is under a key of its own
	Begin   time.Time       `json:"begin,omitzero"`    // of a session that is to start later
	Src     string          `json:"src,omitempty"`     // of a session that was started by address
	Params  map[string]any  `json:"params,omitempty"`
	Items   []*item         `json:"items,omitempty"`
	Asked   []*asked        `json:"asked,omitempty"`
	Exclude []string        `json:"exclude,omitempty"` // agents not to be chosen
	Chart   json.RawMessage `json:"chart,omitempty"`   // of the interpreter; none = it was not started yet
}

// item is an interaction of a session, and how far its events were taken.
type item struct {
	module.Interaction
	Node    string `json:"node,omitempty"`    // that has the call
	Seq     uint64 `json:"seq"`               // of the last event taken
	From    uint64 `json:"from"`              // of the event that brought it here
	At      string `json:"at,omitempty"`      // route point where it is; "" = it was routed
	Present bool   `json:"present,omitempty"` // the script was told that it may act
}

// asked is a request that nobody answered yet.
type asked struct {
	module.Request
	Ref   int64     `json:"ref"`            // ReferenceID
	Sent  bool      `json:"sent,omitempty"` // before the record was written
	Try   int       `json:"try,omitempty"`  // which target of a submit
	Due   time.Time `json:"due,omitzero"`   // to be tried again
	Until time.Time `json:"until,omitzero"` // to be given up
}

func recordKey(tenant, id string) string { return fabric.Key("session", tenant, id) }
func textKey(digest string) string       { return fabric.Key("text", digest) }
func leaseKey(owner string) string       { return fabric.Key("orchestration", owner) }

// idOf is the session of a call at a route point: the same on every node.
func idOf(w *voice.WorkItem) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d", w.Tenant, w.Kind, w.ID, w.Seq))
	return base32.StdEncoding.EncodeToString(sum[:20])
}

// newID is the id of a session that nothing else names: 32 letters and digits.
func newID() string {
	var b [20]byte
	_, _ = rand.Read(b[:])
	return base32.StdEncoding.EncodeToString(b[:])
}

// newRef is a ReferenceID that no other request about the call has.
func newRef() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return int64(binary.BigEndian.Uint64(b[:])>>12) | 1
}
