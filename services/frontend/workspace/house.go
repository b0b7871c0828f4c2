package workspace

import (
	"context"
	"encoding/json"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

// Doors are the functions that the interface needs, as a node of the platform has them.
func Doors(f *fabric.Fabric, directory *contract.Directory) Options {
	return Options{
		Ask: func(ctx context.Context, r *voice.Request) (*contract.RequestAnswer, error) {
			return fabric.Call(ctx, f, contract.Ask, r)
		},
		Calls: func(ctx context.Context, r contract.FindCallsRequest) (contract.FindCallsResponse, error) {
			return fabric.Call(ctx, f, contract.FindCalls, r)
		},
		SignIn: func(ctx context.Context, r contract.SignInRequest) (contract.Session, error) {
			return fabric.Call(ctx, f, contract.SignIn, r)
		},
		Verify: func(ctx context.Context, token string) (voice.Principal, error) {
			return fabric.Call(ctx, f, contract.VerifyToken, token)
		},
		Read: func(ctx context.Context, kind voice.Kind, tenant, key string) (voice.Resource, error) {
			return fabric.Call(ctx, f, contract.ConfigGet, contract.ConfigKey{Tenant: tenant, Kind: kind, Key: key})
		},
		DN: func(tenant, number string) (voice.DNType, bool) {
			r, ok := directory.DN(tenant, number)
			if !ok {
				return "", false
			}
			return r.Type, true
		},
	}
}

// Follow takes the events of calls and devices to the sessions, until ctx ends; then it returns nil.
func (s *Service) Follow(ctx context.Context, f *fabric.Fabric) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return f.Subscribe(ctx, fabric.StreamCalls, "", fabric.From{New: true}, func(m fabric.Message) {
			var ev voice.CallEvent
			if s.decode(m, &ev) {
				s.Call(&ev)
			}
		})
	})
	g.Go(func() error {
		return f.Subscribe(ctx, fabric.StreamDevices, "", fabric.From{New: true}, func(m fabric.Message) {
			var ev voice.DeviceEvent
			if s.decode(m, &ev) {
				s.Device(&ev)
			}
		})
	})
	return g.Wait()
}

// decode reads an event, unless there is nobody to tell.
func (s *Service) decode(m fabric.Message, into any) bool {
	if s.countSessions() == 0 {
		return false
	}
	if err := json.Unmarshal(m.Data, into); err != nil {
		s.log.Error("an event cannot be read", slog.Uint64("seq", m.Seq), slog.Any("err", err))
		return false
	}
	return true
}
