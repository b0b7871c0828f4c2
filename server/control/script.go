package control

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"parley/internal/contract"
	"parley/internal/voice"
)

// What a ScriptRequest asks for.
const (
	ScriptPublish  = "publish"
	ScriptVersions = "versions"
	ScriptText     = "text"
	ScriptRollback = "rollback"
)

// ScriptRequest is about the versions of a routing script.
type ScriptRequest struct {
	Op     string `json:"op"`
	Tenant string `json:"tenant"`
	contract.ScriptRef
	SCXML   string `json:"scxml,omitempty"`
	Comment string `json:"comment,omitempty"`
	User    string `json:"-"` // set by the server
}

// ScriptAnswer is the versions asked for, or the one that was published.
type ScriptAnswer struct {
	Versions []contract.ScriptVersion `json:"versions"`
}

// Published is the answer that a resource is the published version now.
func Published(r voice.Resource) ScriptAnswer {
	return ScriptAnswer{Versions: []contract.ScriptVersion{{Name: r.Key, Version: r.Version, Time: r.UpdatedAt, User: r.UpdatedBy, Current: true}}}
}

func (s *Server) script(w http.ResponseWriter, r *http.Request) {
	var req ScriptRequest
	if err := decode(w, r, &req); err != nil {
		s.answer(w, nil, err)
		return
	}
	req.User = callerOf(r)
	res, err := s.node.Script(r.Context(), req)
	s.answer(w, res, err)
}

// Script asks about the versions of a script.
func (l *Local) Script(ctx context.Context, req ScriptRequest) (res ScriptAnswer, err error) {
	return res, l.ask(ctx, http.MethodPost, "/script", req, &res)
}

// Script asks about the versions of a script. The address is that of services/config.
func (r *Remote) Script(ctx context.Context, req ScriptRequest) (ScriptAnswer, error) {
	path := "/api/v1/tenants/" + url.PathEscape(req.Tenant) + "/scripts/" + url.PathEscape(req.Name)
	var a ScriptAnswer
	switch req.Op {
	case ScriptVersions:
		return a, r.ask(ctx, http.MethodGet, path+"/versions", nil, &a)
	case ScriptText:
		a.Versions = make([]contract.ScriptVersion, 1)
		return a, r.ask(ctx, http.MethodGet, path+"/versions/"+strconv.FormatInt(req.Version, 10), nil, &a.Versions[0])
	}
	var res struct { // the body is a script here and nothing there
		voice.Resource
		Body json.RawMessage `json:"body"`
	}
	var err error
	if req.Op == ScriptPublish {
		err = r.ask(ctx, http.MethodPut, path, voice.Script{Name: req.Name, SCXML: req.SCXML, Comment: req.Comment}, &res)
	} else {
		err = r.ask(ctx, http.MethodPost, path+"/rollback", map[string]any{"to": req.Version, "comment": req.Comment}, &res)
	}
	return Published(res.Resource), err
}
