package sip

import (
	"context"

	"parley/internal/contract"
)

// FindDialog serves contract.FindDialog: front doors look for calls whose node is dead or has handed them on.
func (s *Service) FindDialog(_ context.Context, req contract.FindDialogRequest) (contract.FindDialogResponse, error) {
	s.over.mu.Lock()
	o := s.over.orphans[req.CallID]
	s.over.mu.Unlock()
	s.mu.Lock()
	c := s.dialogs[req.CallID]
	s.mu.Unlock()
	return contract.FindDialogResponse{Here: c != nil || o != nil, Moving: s.moving.Load() > 0}, nil
}
