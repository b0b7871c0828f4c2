package sip

import (
	"context"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/sipua"
	"parley/internal/sipua/digest"
	"parley/internal/voice"
	"parley/services/sip/watch"
)

// serveSubscribe begins a subscription to what a number does. Whoever has not proved who he is hears the same about every number.
func (s *Service) serveSubscribe(req *sip.Request, tx sipua.ServerTx) {
	if !watch.Serves(header(req, "Event")) { // RFC 6665 §4.2.1.1
		res := sip.NewResponseFromRequest(req, 489, "Bad Event", nil)
		res.AppendHeader(sip.NewHeader("Allow-Events", watch.Event))
		tx.Respond(res)
		return
	}
	k := s.keeper.Load()
	tn, ok := s.dir.Tenant(tenantOf(req))
	switch {
	case k == nil || s.drain.Load():
		tx.Respond(busy(req))
		return
	case !ok:
		tx.Respond(sip.NewResponseFromRequest(req, 404, "Not Found", nil))
		return
	}
	number, verdict, tried := s.identify(k, req, tn)
	if number == "" {
		if tried && verdict == digest.Denied {
			s.report(req)
		}
		tx.Respond(challenge(k, req, tn, verdict == digest.Stale || verdict == digest.Replayed))
		return
	}
	if r, ok := s.dir.DN(tn.Name, number); !ok || r.IsTrunk() { // a carrier need not know who talks
		tx.Respond(sip.NewResponseFromRequest(req, 403, "Forbidden", nil))
		return
	}
	who := watch.Subscriber{Tenant: tn.Name, Number: number, Domain: domainOf(tn)}
	s.watch.Subscribe(req, who, unescape(req.Recipient.User), tx.Respond)
}

// watching is the Service as package watch sees it.
type watching Service

func (o *watching) Notify(req *sip.Request, on func(*sip.Response, error)) error {
	_, err := (*outside)(o).send(req, on)
	return err
}

func (o *watching) Bindings(tenant, number string, on func([]contract.Binding, error)) {
	(*outside)(o).bindings(tenant, number, on)
}

func (o *watching) Route(b *contract.Binding) string {
	route, _ := (*outside)(o).route(b)
	return route
}

func (o *watching) Calls(tenant, number string, on func([]voice.Call, error)) {
	ask((*outside)(o), contract.FindCalls, contract.FindCallsRequest{Tenant: tenant, DN: number}, func(r contract.FindCallsResponse, err error) {
		on(r.Calls, err)
	})
}

func (o *watching) Exists(tenant, number string) bool {
	r, ok := o.dir.DN(tenant, number)
	return ok && !r.IsTrunk()
}

func (o *watching) Contact() string { return "<sip:watch@" + o.contact + ">" }

// follow tells those who watch of calls, and of numbers that go.
func (s *Service) follow(ctx context.Context) {
	s.dir.OnChange(func(c contract.DirectoryChange) { s.watch.Check(c.Tenant, c.Number) })
	if err := s.watch.Run(ctx, s.f); err != nil {
		s.log.Error("events of calls are not heard, so nobody is told of them", "err", err)
	}
}
