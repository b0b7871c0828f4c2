// Package all lists the modules of routing scripts, so that whoever compiles a script, to run it or to check it, knows the same ones.
package all

import (
	"log/slog"

	"parley/internal/scxml"
	"parley/services/orchestration/module"
	"parley/services/orchestration/module/dialog"
	"parley/services/orchestration/module/ixn"
	"parley/services/orchestration/module/queue"
	"parley/services/orchestration/module/resource"
	"parley/services/orchestration/module/session"
	"parley/services/orchestration/module/statistic"
	"parley/services/orchestration/module/ws"
)

// Modules are all modules.
func Modules() []module.Module {
	return []module.Module{
		session.Module(), queue.Module(), dialog.Module(), ixn.Module(), statistic.Module(), resource.Module(), ws.Module(),
	}
}

// Options are those of an engine for routing scripts; whoever runs one adds what is his.
func Options(log *slog.Logger) scxml.Options {
	return scxml.Options{Log: log, Elements: module.Elements(Modules()), Globals: module.Globals()}
}
