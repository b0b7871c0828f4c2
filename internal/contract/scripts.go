package contract

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// Doors of services/config to the versions of routing scripts. A version is that of the resource: to publish a script is to put
// the resource, and each change of it is one more version. Versions never change; rolling back publishes an old text anew.
var (
	ScriptVersions = fabric.NewDoor[ScriptVersionsRequest, ScriptVersionsResponse]("config", "script-versions", 5*time.Second)
	ScriptText     = fabric.NewDoor[ScriptTextRequest, ScriptVersion]("config", "script-text", 5*time.Second)
	ScriptRollback = fabric.NewDoor[ScriptRollbackRequest, voice.Resource]("config", "script-rollback", 5*time.Second)
)

// ScriptRef names a version of a script of a tenant: welcome@7. Version 0 is whatever is published. A session belongs to
// the version it began with until it ends.
type ScriptRef struct {
	Name    string `json:"name"`
	Version int64  `json:"version,omitempty"`
}

// String is the reference as people write it.
func (r ScriptRef) String() string {
	if r.Version == 0 {
		return r.Name
	}
	return r.Name + "@" + strconv.FormatInt(r.Version, 10)
}

// ParseScriptRef reads NAME or NAME@VERSION.
func ParseScriptRef(text string) (ScriptRef, error) {
	name, version, given := strings.Cut(text, "@")
	r := ScriptRef{Name: name}
	if given {
		n, err := strconv.ParseInt(version, 10, 64)
		if err != nil || n < 1 {
			return r, fmt.Errorf("%.64q names no version of a script; want NAME or NAME@VERSION with a number from 1", text)
		}
		r.Version = n
	}
	if name == "" {
		return r, fmt.Errorf("%.64q names no script", text)
	}
	return r, nil
}

// ScriptVersionsRequest asks for the versions of a script, the newest first.
type ScriptVersionsRequest struct {
	Tenant string `json:"tenant"`
	Name   string `json:"name"`
	Limit  int    `json:"limit,omitempty"` // 1 to 1,000; 0 = 100
}

// ScriptVersionsResponse lists versions without their texts.
type ScriptVersionsResponse struct {
	Versions []ScriptVersion `json:"versions"`
}

// ScriptVersion is a version of a script.
type ScriptVersion struct {
	Name    string    `json:"name"`
	Version int64     `json:"version"`
	Time    time.Time `json:"time"`
	User    string    `json:"user"`
	Comment string    `json:"comment,omitempty"`
	Digest  string    `json:"digest"` // of the text; equal texts have equal digests
	Bytes   int       `json:"bytes"`
	Current bool      `json:"current,omitempty"` // the published one
	SCXML   string    `json:"scxml,omitempty"`   // in the answer of ScriptText only
}

// ScriptTextRequest asks for the text of a version; voice.ErrNotFound says that there is none.
type ScriptTextRequest struct {
	Tenant string `json:"tenant"`
	ScriptRef
}

// ScriptRollbackRequest publishes the text of an old version again, as a new one.
type ScriptRollbackRequest struct {
	Tenant  string `json:"tenant"`
	Name    string `json:"name"`
	To      int64  `json:"to"`                // 0 = the version before the published one
	Comment string `json:"comment,omitempty"` // "" = which version it was
	User    string `json:"user"`
}
