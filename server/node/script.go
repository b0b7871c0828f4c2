package node

import (
	"context"
	"encoding/json"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/server/control"
)

// anyVersion replaces whatever there is.
const anyVersion = -1

// Script publishes a version of a routing script, lists them, or goes back to one.
func (n *Node) Script(ctx context.Context, req control.ScriptRequest) (control.ScriptAnswer, error) {
	var a control.ScriptAnswer
	switch req.Op {
	case control.ScriptVersions:
		res, err := fabric.Call(ctx, n.fab, contract.ScriptVersions, contract.ScriptVersionsRequest{Tenant: req.Tenant, Name: req.Name})
		a.Versions = res.Versions
		return a, err
	case control.ScriptText:
		v, err := fabric.Call(ctx, n.fab, contract.ScriptText, contract.ScriptTextRequest{Tenant: req.Tenant, ScriptRef: req.ScriptRef})
		a.Versions = []contract.ScriptVersion{v}
		return a, err
	case control.ScriptPublish:
		body, err := json.Marshal(voice.Script{Name: req.Name, SCXML: req.SCXML, Comment: req.Comment})
		if err != nil {
			return a, err
		}
		r, err := fabric.Call(ctx, n.fab, contract.ConfigPut, contract.ConfigPutRequest{
			Tenant: req.Tenant, Kind: voice.KindScript, Key: req.Name, Version: anyVersion, Body: body, User: req.User,
		})
		return control.Published(r), err
	case control.ScriptRollback:
		r, err := fabric.Call(ctx, n.fab, contract.ScriptRollback, contract.ScriptRollbackRequest{
			Tenant: req.Tenant, Name: req.Name, To: req.Version, Comment: req.Comment, User: req.User,
		})
		return control.Published(r), err
	}
	return a, voice.Invalid(voice.FieldError{Field: "op", Reason: "want publish, versions, text or rollback"})
}
