// Package statistic is the module of figures about queues and agents. The tenant's router has them; who asks hears of them by an event.
package statistic

import "parley/services/orchestration/module"

// Name is that of the module.
const Name = "statistic"

// Get is its action: the event's data has the figure as value.
const Get = "get"

// Module is the module.
func Module() module.Module {
	return module.Module{Name: Name, Actions: []module.Action{
		{Name: Get, Attrs: []string{"object", "statistic", "type"}, Needs: []string{"object", "statistic"}, Alone: true},
	}}
}
