package sip

import (
	"context"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

// ApplyTreatment serves contract.ApplyTreatment.
func (s *Service) ApplyTreatment(ctx context.Context, req *contract.TreatmentRequest) (*contract.RequestAnswer, error) {
	return s.atQueue(ctx, req.Tenant, req.CallUUID, req.ConnID, req.ThisDN, req.ReferenceID, func(c *call, reply func(*voice.TError)) {
		reply(c.treat(req.Type, req.Parameters, req.ReferenceID))
	})
}

// RouteCall serves contract.RouteCall.
func (s *Service) RouteCall(ctx context.Context, req *contract.RouteCallRequest) (*contract.RequestAnswer, error) {
	return s.atQueue(ctx, req.Tenant, req.CallUUID, req.ConnID, req.ThisDN, req.ReferenceID, func(c *call, reply func(*voice.TError)) {
		c.routeCall(req.Destination, req.ReferenceID, reply)
	})
}

// atQueue has something done with a call at a route point, and waits for the reply.
func (s *Service) atQueue(ctx context.Context, tenant, uuid, conn, dn string, ref int64, do func(c *call, reply func(*voice.TError))) (*contract.RequestAnswer, error) {
	answer := func(e *voice.TError) (*contract.RequestAnswer, error) {
		return &contract.RequestAnswer{ReferenceID: ref, Error: e}, nil
	}
	c := s.find(tenant, uuid, conn)
	if c == nil {
		return answer(voice.TErrorf(voice.TErrInvalidConnID, "this node has no call %.64s in progress", uuid+conn))
	}
	said := make(chan *voice.TError, 1) // of all replies the first counts
	reply := func(e *voice.TError) {
		select {
		case said <- e:
		default:
		}
	}
	if !c.post(func() {
		if e := c.notAt(dn); e != nil {
			reply(e)
			return
		}
		do(c, reply)
	}) {
		return answer(voice.TErrorf(voice.TErrTooManyRequests, "too much waits for this call already"))
	}
	select {
	case e := <-said:
		return answer(e)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// notAt says why nothing can be done with the call at route point dn; nil = it can. "" is any.
func (c *call) notAt(dn string) *voice.TError {
	switch d := c.desk; {
	case d == nil:
		return voice.TErrorf(voice.TErrWrongState, "the call is at no route point; it is %s", c.phase)
	case dn != "" && dn != d.dn:
		return voice.TErrorf(voice.TErrInvalidConnID, "the call is at route point %s, not at %.64s", d.dn, dn)
	case d.ending:
		return voice.TErrorf(voice.TErrWrongState, "the call ends: nobody routed it in time")
	}
	return nil
}

// find returns a call of a tenant by its UUID or ConnID, nil when there is none.
func (s *Service) find(tenant, uuid, conn string) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.names[uuid]
	if uuid == "" {
		c = s.names[conn]
	}
	if c == nil || c.id.tenant != tenant {
		return nil
	}
	return c
}

// openQueueDoors serves the doors to calls at route points until stop.
func (s *Service) openQueueDoors(ctx context.Context) (stop func(), err error) {
	stopTreat, err := fabric.Handle(ctx, s.f, contract.ApplyTreatment, s.ApplyTreatment)
	if err != nil {
		return nil, err
	}
	stopRoute, err := fabric.Handle(ctx, s.f, contract.RouteCall, s.RouteCall)
	if err != nil {
		stopTreat()
		return nil, err
	}
	stopRequests, err := s.openRequests(ctx)
	if err != nil {
		stopTreat()
		stopRoute()
		return nil, err
	}
	return func() { stopTreat(); stopRoute(); stopRequests() }, nil
}
