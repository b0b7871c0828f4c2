// Package session is the module about sessions themselves, and about documents and services on the web: fetch.
package session

import (
	"strings"

	"parley/services/orchestration/module"
)

// Name is that of the module.
const Name = "session"

// The actions.
const (
	Start     = "start"
	Terminate = "terminate"
	Fetch     = "fetch"
	Response  = "response"
)

// Module is the module.
func Module() module.Module {
	return module.Module{Name: Name, Actions: []module.Action{
		{Name: Start, Attrs: []string{"src", "srcexpr", "idealtime"}, Inside: module.Payload("params"), Check: startable, Alone: true},
		{Name: Terminate, Attrs: []string{"sessionid"}, Alone: true},
		{
			Name: Fetch, Inside: module.Payload("content"), Check: Fetchable, Alone: true,
			Attrs: []string{"src", "srcexpr", "method", "type", "enctype", "timeout", "headers", "username", "password"},
		},
		{Name: Response, Attrs: []string{"reqid", "status", "type"}, Inside: module.Payload("content"), Alone: true},
	}}
}

func startable(r *module.Request) error {
	if Source(r) == "" {
		return module.Refuse(module.InvalidParameter, "srcexpr is missing")
	}
	return nil
}

// Source is the document or address that a request names.
func Source(r *module.Request) string {
	if src := r.Text("srcexpr"); src != "" {
		return src
	}
	return r.Text("src")
}

// Method is that of a fetch.
func Method(r *module.Request) string {
	m := strings.ToUpper(r.Text("method"))
	if m == "" {
		return "GET"
	}
	return m
}

// Fetchable checks a request for a fetch.
func Fetchable(r *module.Request) error {
	if err := startable(r); err != nil {
		return err
	}
	switch Method(r) {
	case "GET", "POST", "PUT", "DELETE", "HEAD", "PATCH":
	default:
		return module.Refuse(module.InvalidParameter, "method %q is unknown", r.Text("method"))
	}
	if s, ok := r.Number("timeout", 10); !ok || s <= 0 || s > 300 {
		return module.Refuse(module.InvalidParameter, "timeout %q is no time in seconds up to five minutes", r.Text("timeout"))
	}
	return nil
}
