package callstate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"parley/internal/fabric"
	"parley/services/callstate/model"
)

// begin says from where on the stream has to be read.
func (s *Service) begin(ctx context.Context) (fabric.From, error) {
	if s.mark == "" {
		return fabric.From{}, nil
	}
	b, err := os.ReadFile(s.mark)
	if errors.Is(err, fs.ErrNotExist) {
		return fabric.From{}, nil
	}
	if err != nil {
		return fabric.From{}, fmt.Errorf("mark: %w", err)
	}
	var at model.Mark
	if err := json.Unmarshal(b, &at); err != nil || at.Tenant == "" || at.CallUUID == "" {
		s.log.WarnContext(ctx, "the mark cannot be read; all events of calls are", "file", s.mark, "err", err)
		return fabric.From{}, nil
	}
	there, err := s.f.Read(ctx, fabric.StreamCalls, fabric.Subject("call", at.Tenant, at.CallUUID)+"."+fabric.Rest, 1)
	if err != nil {
		return fabric.From{}, fmt.Errorf("mark: %w", err)
	}
	if len(there) == 0 || there[0].Seq != at.Pos { // the stream is another one, or has dropped it
		return fabric.From{}, nil
	}
	return fabric.From{Seq: at.Pos}, nil
}

// keepMark writes the mark. A crash leaves the one before or this one.
func (s *Service) keepMark() {
	at, ok := s.model.Mark()
	if !ok || s.mark == "" {
		return
	}
	b, err := json.Marshal(at)
	if err == nil {
		if err = os.WriteFile(s.mark+".new", b, 0o600); err == nil {
			err = os.Rename(s.mark+".new", s.mark)
		}
	}
	if err != nil {
		s.log.Warn("the mark cannot be written; the next start reads more events", "err", err)
	}
}
