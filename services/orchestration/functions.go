package orchestration

import (
	"context"
	"fmt"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/scxml"
)

// functionTime is how long a function of an object root may make the script wait.
const functionTime = 200 * time.Millisecond

// Function implements module.Host.
func (s *session) Function(name string, args []any) (any, error) {
	text := func(n int) string {
		if n < len(args) && args[n] != nil && args[n] != scxml.Undefined {
			return scxml.Text(args[n])
		}
		return ""
	}
	ctx, cancel := context.WithTimeout(s.svc.base(), functionTime)
	defer cancel()
	switch name {
	case "session.getConfigOption": // of the route point: section, option
		if s.app == nil && len(s.rec.Items) > 0 && s.rec.Items[0].Voice != nil {
			s.app, _ = s.svc.book.application(ctx, s.rec.Tenant, s.rec.Items[0].Voice.RoutePoint)
		}
		if s.app != nil {
			if v, ok := s.app.Options[text(0)][text(1)]; ok {
				return v, nil
			}
		}
		return scxml.Undefined, nil
	case "statistic.sData":
		v, err := fabric.Call(ctx, s.svc.f, contract.Statistic, contract.StatisticRequest{Tenant: s.rec.Tenant, Object: text(0), Statistic: text(1)})
		return v.Value, err
	case "queue.excludeAgents":
		s.rec.Exclude = nil
		for n := range args {
			if id := text(n); id != "" {
				s.rec.Exclude = append(s.rec.Exclude, id)
			}
		}
		return scxml.Undefined, nil
	}
	tables, err := s.svc.book.lookups(ctx, s.rec.Tenant)
	if err != nil {
		return nil, err
	}
	if v, known, err := tables.Call(name, args, s.svc.now()); known {
		return v, err
	}
	return nil, fmt.Errorf("%s is not served", name)
}
