package contract

import (
	"encoding/json"
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// Doors of services/config. Changes are announced on the stream CONFIG as voice.ConfigChanged after they are on disk.
var (
	ConfigGet     = fabric.NewDoor[ConfigKey, voice.Resource]("config", "get", 2*time.Second)
	ConfigList    = fabric.NewDoor[ConfigListRequest, ConfigListResponse]("config", "list", 10*time.Second)
	ConfigPut     = fabric.NewDoor[ConfigPutRequest, voice.Resource]("config", "put", 5*time.Second)
	ConfigDelete  = fabric.NewDoor[ConfigDeleteRequest, struct{}]("config", "delete", 5*time.Second)
	ConfigHistory = fabric.NewDoor[ConfigHistoryRequest, ConfigHistoryResponse]("config", "history", 5*time.Second)
	ConfigApply   = fabric.NewDoor[ConfigApplyRequest, ConfigApplyResponse]("config", "apply", 2*time.Minute)
	ConfigExport  = fabric.NewDoor[ConfigExportRequest, ConfigExportResponse]("config", "export", time.Minute)
)

// ConfigKey names one resource. Secrets asks for the parts that verification needs (SIP HA1, password hashes);
// only services and administrators who export may.
type ConfigKey struct {
	Tenant  string
	Kind    voice.Kind
	Key     string
	Secrets bool
}

// ConfigListRequest pages through resources in key order.
type ConfigListRequest struct {
	Tenant  string // "" = all tenants
	Kind    voice.Kind
	Match   string // substring of key or of the resource's name; "" = all
	Type    string // dns only: a voice.DNType; "" = all
	After   string // key (with Tenant "": "tenant/key") to resume after
	Limit   int    // 0 = 100, at most 10,000
	Secrets bool
}

// ConfigListResponse is one page. Next is the After of the next page, "" at the end.
type ConfigListResponse struct {
	Resources []voice.Resource `json:"resources"`
	Next      string           `json:"next,omitempty"`
	Total     int              `json:"total"`
}

// ConfigPutRequest creates (Version 0) or replaces (Version = the version it replaces; -1 = whatever there is) a resource.
// A DN or person without password and hash keeps the one it has.
type ConfigPutRequest struct {
	Tenant  string
	Kind    voice.Kind
	Key     string
	Version int64
	Body    json.RawMessage
	User    string // who, for the history
}

// ConfigDeleteRequest removes a resource of that version (-1: whatever there is). It fails with voice.ErrReferenced
// and the list of referrers when something still points at it.
type ConfigDeleteRequest struct {
	Tenant  string
	Kind    voice.Kind
	Key     string
	Version int64
	User    string
}

// ConfigHistoryRequest reads changes, newest first. Kind and Key may be "".
type ConfigHistoryRequest struct {
	Tenant string
	Kind   voice.Kind
	Key    string
	Before int64 // Seq to resume before; 0 = newest
	Limit  int   // 0 = 100, at most 1,000
}

// ConfigChange is one entry of the history; secrets are left out of Before and After.
type ConfigChange struct {
	voice.ConfigChanged
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// ConfigHistoryResponse is one page of history; Next is the Before of the next page, 0 at the end.
type ConfigHistoryResponse struct {
	Changes []ConfigChange `json:"changes"`
	Next    int64          `json:"next,omitempty"`
}

// ConfigApplyRequest makes the configuration what a provisioning file says: resources named there are created or
// changed; nothing is deleted unless Prune is set, and then only within the tenants and kinds the file names.
type ConfigApplyRequest struct {
	File   string            // name of the file, for messages
	YAML   []byte            // its text, with scxml_file already read in by the caller where Files has it
	Files  map[string][]byte // contents of files the YAML refers to, by the path written there
	DryRun bool
	Prune  bool
	First  bool // only if there is no tenant at all, else voice.ErrConflict
	User   string
}

// ConfigApplyResponse says what changed, or would change, in the order of the file.
type ConfigApplyResponse struct {
	Changes   []AppliedChange `json:"changes"`
	Unchanged int             `json:"unchanged"`
	DryRun    bool            `json:"dry_run"`
	Seq       int64           `json:"seq,omitempty"` // number of the last change made; 0 = nothing changed
}

// AppliedChange is one created, updated or deleted resource, with a readable diff of its fields.
type AppliedChange struct {
	Tenant string         `json:"tenant"`
	Kind   voice.Kind     `json:"kind"`
	Key    string         `json:"key"`
	Op     voice.ChangeOp `json:"op"`
	Diff   []FieldDiff    `json:"diff,omitempty"`
}

// FieldDiff is one field that differs; a secret shows as "(changed)".
type FieldDiff struct {
	Field  string `json:"field"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// ConfigExportRequest asks for everything in the form apply takes. Tenant "" = all tenants.
type ConfigExportRequest struct {
	Tenant  string
	Secrets bool // with hashes, so that an apply elsewhere keeps the passwords
}

// ConfigExportResponse is a provisioning file.
type ConfigExportResponse struct {
	YAML []byte
}
