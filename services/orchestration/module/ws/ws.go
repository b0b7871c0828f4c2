// Package ws is the older module of calls to web services. It does what session.fetch does, under its own names.
package ws

import (
	"parley/services/orchestration/module"
	"parley/services/orchestration/module/session"
)

// Name is that of the module.
const Name = "ws"

// Request is its action.
const Request = "request"

// Module is the module.
func Module() module.Module {
	return module.Module{Name: Name, Actions: []module.Action{{
		Name: Request, Inside: module.Payload("content"), Check: session.Fetchable, Alone: true,
		Attrs: []string{"src", "srcexpr", "method", "type", "enctype", "timeout", "headers", "username", "password"},
	}}}
}
