package frontend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

// section of a number's options that the dial plan reads.
const section = "TServer"

// forwards are the forward modes that stand for themselves, with the option that each one sets.
var forwards = map[string]string{
	voice.ForwardUnconditional: voice.OptionForwardAlways,
	voice.ForwardOnBusy:        voice.OptionForwardBusy,
	voice.ForwardOnNoAnswer:    voice.OptionForwardNoAnswer,
}

// optionsOf are the options that a forward mode means; none of them named means all.
func optionsOf(mode string) []string {
	switch mode {
	case voice.ForwardSendAllCalls:
		return []string{voice.OptionForwardAlways}
	case voice.ForwardOnBusyAndNoAnswer:
		return []string{voice.OptionForwardBusy, voice.OptionForwardNoAnswer}
	case "", voice.ForwardNone:
		return slices.Sorted(maps.Values(forwards))
	}
	return []string{forwards[mode]}
}

// device does what a request asks of a directory number.
func (s *Service) device(ctx context.Context, r *voice.Request) *contract.RequestAnswer {
	switch r.Name {
	case voice.RequestDistributeUserEvent:
		return s.userEvent(r)
	case voice.RequestQueryAddress:
		return s.queryAddress(ctx, r)
	}
	if rec, ok := s.dir.DN(r.Tenant, r.ThisDN); !ok || rec.Type != voice.DNExtension {
		return refuse(voice.TErrorf(voice.TErrTargetInvalid, "%s is no extension; only those are forwarded or not disturbed", r.ThisDN))
	}
	switch r.Name {
	case voice.RequestCallForwardSet:
		return s.setForward(ctx, r)
	case voice.RequestCallForwardCancel:
		return s.cancelForward(ctx, r)
	case voice.RequestSetDNDOn:
		return s.setDND(ctx, r, true, voice.EventDNDOn)
	}
	return s.setDND(ctx, r, false, voice.EventDNDOff)
}

func (s *Service) setForward(ctx context.Context, r *voice.Request) *contract.RequestAnswer {
	version, e := s.change(ctx, r, func(o map[string]string) *voice.TError {
		for _, name := range optionsOf(r.Forward) {
			o[name] = r.OtherDN
		}
		return nil
	})
	if e != nil {
		return refuse(e)
	}
	return &contract.RequestAnswer{Error: s.event(r, voice.EventForwardSet, r.ThisDN, func(e *voice.DeviceEvent) {
		e.OtherDN, e.ForwardMode, e.Seq = r.OtherDN, r.Forward, uint64(version)
	})}
}

func (s *Service) cancelForward(ctx context.Context, r *voice.Request) *contract.RequestAnswer {
	version, e := s.change(ctx, r, func(o map[string]string) *voice.TError {
		found := false
		for _, name := range optionsOf(r.Forward) {
			found = found || o[name] != ""
			delete(o, name)
		}
		if !found {
			return voice.TErrorf(voice.TErrAlreadyInState, "%s has no such forwarding", r.ThisDN)
		}
		return nil
	})
	if e != nil {
		return refuse(e)
	}
	return &contract.RequestAnswer{Error: s.event(r, voice.EventForwardCancel, r.ThisDN, func(e *voice.DeviceEvent) {
		e.ForwardMode, e.Seq = r.Forward, uint64(version)
	})}
}

func (s *Service) setDND(ctx context.Context, r *voice.Request, on bool, event voice.EventName) *contract.RequestAnswer {
	version, e := s.change(ctx, r, func(o map[string]string) *voice.TError {
		if (o[voice.OptionDoNotDisturb] == "true") == on {
			return voice.TErrorf(voice.TErrAlreadyInState, "do-not-disturb of %s is %s already", r.ThisDN, map[bool]string{true: "on", false: "off"}[on])
		}
		if delete(o, voice.OptionDoNotDisturb); on {
			o[voice.OptionDoNotDisturb] = "true"
		}
		return nil
	})
	if e != nil {
		return refuse(e)
	}
	return &contract.RequestAnswer{Error: s.event(r, event, r.ThisDN, func(e *voice.DeviceEvent) { e.Seq = uint64(version) })}
}

const (
	changeTries = 4               // when somebody else changes the same number at the same time
	changeShown = 2 * time.Second // for the directory of this node to show a change
)

// change changes the options of a number and waits until the directory shows it, so that a call made after the answer finds it.
func (s *Service) change(ctx context.Context, r *voice.Request, edit func(options map[string]string) *voice.TError) (version int64, e *voice.TError) {
	k := contract.ConfigKey{Tenant: r.Tenant, Kind: voice.KindDN, Key: r.ThisDN}
	for try := 1; ; try++ {
		res, err := fabric.Call(ctx, s.f, contract.ConfigGet, k)
		if err != nil {
			return 0, s.configFailure(err, r)
		}
		var dn voice.DN
		if err := json.Unmarshal(res.Body, &dn); err != nil {
			return 0, s.configFailure(err, r)
		}
		options := maps.Clone(dn.Options[section])
		if options == nil {
			options = map[string]string{}
		}
		if e := edit(options); e != nil {
			return 0, e
		}
		if dn.Options == nil {
			dn.Options = map[string]map[string]string{}
		}
		dn.Options[section] = options
		body, err := json.Marshal(dn)
		if err != nil {
			return 0, s.configFailure(err, r)
		}
		res, err = fabric.Call(ctx, s.f, contract.ConfigPut, contract.ConfigPutRequest{
			Tenant: r.Tenant, Kind: voice.KindDN, Key: r.ThisDN, Version: res.Version, Body: body, User: "request of " + orSystem(r.User),
		})
		switch {
		case err == nil:
			s.shown(ctx, r.Tenant, r.ThisDN, res.Version)
			return res.Version, nil
		case errors.Is(err, voice.ErrConflict) && try < changeTries:
		default:
			return 0, s.configFailure(err, r)
		}
	}
}

func orSystem(user string) string {
	if user == "" {
		return "the platform"
	}
	return user
}

// shown waits until the directory has a number at a version; it gives up in the end, as the change is made whatever is shown.
func (s *Service) shown(ctx context.Context, tenant, number string, version int64) {
	ctx, cancel := context.WithTimeout(ctx, changeShown)
	defer cancel()
	for {
		moved := s.changed.next()
		if rec, ok := s.dir.DN(tenant, number); !ok || rec.Version >= version {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Service) configFailure(err error, r *voice.Request) *voice.TError {
	var told *voice.Error
	switch {
	case errors.Is(err, voice.ErrNotFound):
		return voice.TErrorf(voice.TErrDNNotConfigured, "tenant %s has no number %s", r.Tenant, r.ThisDN)
	case errors.Is(err, voice.ErrInvalid) && errors.As(err, &told):
		return voice.TErrorf(voice.TErrInvalidDestination, "%s cannot be kept: %s", r.Name, told.Message)
	case errors.Is(err, voice.ErrConflict):
		return voice.TErrorf(voice.TErrResourceUnavailable, "%s is being changed by others; try again in a moment", r.ThisDN)
	case errors.Is(err, voice.ErrUnavailable), errors.Is(err, voice.ErrTimeout):
		return voice.TErrorf(voice.TErrServiceUnavailable, "the config service does not answer; try again in a moment")
	}
	s.log.Error("change a number", slog.String("tenant", r.Tenant), slog.String("dn", r.ThisDN), slog.Any("err", err))
	return voice.TErrorf(voice.TErrInternal, "the number could not be changed; the log of node %s says why", s.f.Node())
}

// userEvent tells whoever follows a DN what a client has to say.
func (s *Service) userEvent(r *voice.Request) *contract.RequestAnswer {
	return &contract.RequestAnswer{Error: s.event(r, voice.EventUserEvent, r.ThisDN, func(e *voice.DeviceEvent) {
		e.OtherDN, e.UserData = r.OtherDN, r.UserData
	})}
}

// queryAddress tells what a number is and does.
func (s *Service) queryAddress(ctx context.Context, r *voice.Request) *contract.RequestAnswer {
	rec, ok := s.dir.DN(r.Tenant, r.ThisDN)
	if !ok {
		return refuse(voice.TErrorf(voice.TErrDNNotConfigured, "tenant %s has no number %s", r.Tenant, r.ThisDN))
	}
	all, err := rec.Options()
	if err != nil {
		return refuse(s.configFailure(err, r))
	}
	o := all[section]
	info := &contract.AddressInfo{DN: strings.Clone(rec.Number), Type: rec.Type, DND: o[voice.OptionDoNotDisturb] == "true"}
	for mode, option := range forwards {
		if to := o[option]; to != "" {
			if info.Forward == nil {
				info.Forward = map[string]string{}
			}
			info.Forward[mode] = to
		}
	}
	b, err := fabric.Call(ctx, s.f, contract.Bindings, contract.BindingsRequest{Tenant: r.Tenant, DN: rec.Number})
	if err != nil {
		return refuse(voice.TErrorf(voice.TErrServiceUnavailable, "the registrar does not answer: %s", sentence(err)))
	}
	info.Registered = len(b.Bindings) > 0
	if res, err := fabric.Call(ctx, s.f, contract.FindCalls, contract.FindCallsRequest{Tenant: r.Tenant, DN: rec.Number}); err == nil {
		for _, c := range res.Calls {
			info.Calls = append(info.Calls, c.ConnID)
		}
	}
	return &contract.RequestAnswer{Address: info}
}

// sentence is what of an error may be told.
func sentence(err error) string {
	var told *voice.Error
	if errors.As(err, &told) {
		return told.Message
	}
	return fmt.Sprint(voice.CodeOf(err).Sentinel())
}

// changed tells waiters that the directory has changed.
type changed struct {
	mu    sync.Mutex    // guards moved
	moved chan struct{} // closed and renewed with each change
}

func newChanged() *changed { return &changed{moved: make(chan struct{})} }

func (c *changed) note(contract.DirectoryChange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.moved)
	c.moved = make(chan struct{})
}

// next is closed when the directory changes next.
func (c *changed) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.moved
}
