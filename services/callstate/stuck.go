package callstate

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/obs"
	"parley/services/callstate/model"
)

const (
	tickEvery = 500 * time.Millisecond
	markEvery = 10 * time.Second
)

// watch has time pass in the model, asks after calls that nothing was heard of, keeps the health checks current and
// writes the mark, until ctx ends.
func (s *Service) watch(ctx context.Context) {
	tick, check, mark := time.NewTicker(tickEvery), time.NewTicker(s.cfg.Check), time.NewTicker(markEvery)
	defer tick.Stop()
	defer check.Stop()
	defer mark.Stop()
	s.look()
	for {
		select {
		case <-ctx.Done():
			s.keepMark()
			return
		case <-tick.C:
			s.model.Tick()
			s.look()
		case <-check.C:
			s.check(ctx)
		case <-mark.C:
			s.keepMark()
		}
	}
}

func (s *Service) look() {
	if ok, reason := s.f.Connected(); ok {
		s.health.Set(checkFabric, obs.LevelPass, "")
	} else {
		s.health.Set(checkFabric, obs.LevelFail, reason)
	}
}

// node takes news of a node.
func (s *Service) node(e fabric.Entry) {
	id := e.Key
	if t := fabric.SplitKey(e.Key); len(t) == 1 {
		id = t[0]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Op != fabric.EntryPut {
		if n := s.nodes[id]; n != nil {
			n.gone = true
		}
		return
	}
	var r contract.NodeRecord
	if err := json.Unmarshal(e.Value, &r); err != nil {
		s.log.Warn("a node's record cannot be read", "node", id, "err", err)
		return
	}
	if r.SIP == nil { // not yet, or it carries no calls
		delete(s.nodes, id)
		return
	}
	s.nodes[id] = &seenNode{started: r.Started}
}

// carriers lists the nodes alive that carry calls.
func (s *Service) carriers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for id, n := range s.nodes {
		if !n.gone {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// check asks after the calls that nothing was heard of. While a node does not answer nothing is said of calls it may have.
func (s *Service) check(ctx context.Context) {
	failed := 0.0
	alive := s.carriers()
	for node, uuids := range s.model.Suspects(s.cfg.Grace) {
		ask := alive
		if slices.Contains(alive, node) {
			ask = []string{node}
		}
		has, silent := s.whoHas(ctx, ask, uuids)
		if ctx.Err() != nil {
			return
		}
		var elsewhere map[string]string
		if len(ask) < len(alive) && len(has) < len(uuids) { // another node may have taken the call over
			missing := slices.DeleteFunc(slices.Clone(uuids), func(u string) bool { return has[u] != "" })
			var more bool
			elsewhere, more = s.whoHas(ctx, alive, missing)
			silent = silent || more
		}
		for _, uuid := range uuids {
			switch {
			case has[uuid] != "":
				s.model.Confirm(uuid, has[uuid])
			case elsewhere[uuid] != "":
				s.model.Confirm(uuid, elsewhere[uuid])
			case silent:
				failed = 1
			default:
				kind, reason := s.verdict(node, uuid, alive)
				s.model.Deny(uuid, node, kind, s.cfg.Grace, reason)
			}
		}
	}
	s.metrics.exception.Set(failed)
}

// verdict says why nobody has a call.
func (s *Service) verdict(node, uuid string, alive []string) (model.Kind, string) {
	if !slices.Contains(alive, node) {
		return model.NodeDead, "its node " + node + " is gone and no other has it"
	}
	s.mu.Lock()
	n := s.nodes[node]
	s.mu.Unlock()
	if calls, _ := s.model.Find(model.Query{CallUUID: uuid, Limit: 1}); n != nil && len(calls) > 0 && calls[0].Start.Before(n.started) {
		return model.NodeDead, "its node " + node + " started anew and no node has it"
	}
	return model.NoDialog, "its node " + node + " does not have it"
}

// whoHas asks nodes for calls by name and returns which node has which; silent is whether some node did not answer.
func (s *Service) whoHas(ctx context.Context, nodes, uuids []string) (has map[string]string, silent bool) {
	has = map[string]string{}
	if len(uuids) == 0 {
		return has, false
	}
	for _, node := range nodes {
		a, err := fabric.CallNode(ctx, s.f, contract.Calls, node, contract.CallsRequest{CallUUIDs: uuids, Limit: maxCallsFound})
		if err != nil {
			silent = true
			if ctx.Err() == nil {
				s.log.LogAttrs(ctx, slog.LevelWarn, "a node does not say which calls it has", slog.String("node", node), slog.Any("err", err))
			}
			continue
		}
		for _, c := range a.Calls {
			has[c.CallUUID] = node
		}
	}
	return has, silent
}
