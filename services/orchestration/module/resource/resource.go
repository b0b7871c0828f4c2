// Package resource is the module that reads configuration: lists, business hours and options, as events where the functions of
// _parley.session would make the script wait.
package resource

import "parley/services/orchestration/module"

// Name is that of the module.
const Name = "resource"

// Get is its action: the event's data has what the resource says as value.
const Get = "get"

// Module is the module.
func Module() module.Module {
	return module.Module{Name: Name, Actions: []module.Action{
		{Name: Get, Attrs: []string{"kind", "name", "key"}, Needs: []string{"kind", "name"}, Alone: true},
	}}
}
