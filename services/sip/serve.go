package sip

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/sipua"
	"parley/internal/sipua/digest"
	"parley/internal/voice"
	"parley/services/sip/watch"
)

// ServeSIP implements sipua.Node.
func (s *Service) ServeSIP(req *sip.Request, tx sipua.ServerTx) {
	if req.To() == nil || req.From() == nil || req.CallID() == nil || req.CSeq() == nil {
		return // the front door lets no such request pass
	}
	if _, dialog := req.To().Params.Get("tag"); dialog {
		s.serveWithin(req, tx)
		return
	}
	switch {
	case tx == nil: // an ACK that belongs to nothing
	case req.IsInvite():
		s.serveInvite(req, tx)
	case req.Method == sip.OPTIONS:
		res := sip.NewResponseFromRequest(req, 200, "OK", nil)
		res.AppendHeader(sip.NewHeader("Allow", allowed))
		res.AppendHeader(sip.NewHeader("Allow-Events", watch.Event))
		tx.Respond(res)
	case req.Method == sip.SUBSCRIBE:
		s.serveSubscribe(req, tx)
	case req.Method == sip.NOTIFY, req.Method == sip.PUBLISH: // nobody is asked to tell us of anything (RFC 6665 §4.1.3)
		tx.Respond(sip.NewResponseFromRequest(req, 489, "Bad Event", nil))
	default:
		res := sip.NewResponseFromRequest(req, 405, "Method Not Allowed", nil)
		res.AppendHeader(sip.NewHeader("Allow", allowed))
		tx.Respond(res)
	}
}

func (s *Service) serveWithin(req *sip.Request, tx sipua.ServerTx) {
	if tx != nil && s.watch.Has(req) {
		s.watch.Within(req, tx.Respond)
		return
	}
	s.mu.Lock()
	c := s.dialogs[req.CallID().Value()]
	if c != nil && tx != nil && req.IsInvite() {
		w := &inviteTx{tx, s, c}
		s.invites[tx] = w
		tx = w
	}
	s.mu.Unlock()
	switch {
	case c != nil && c.post(func() { c.within(req, tx) }):
	case tx == nil:
	case c != nil:
		tx.Respond(busy(req))
	default:
		tx.Respond(sip.NewResponseFromRequest(req, 481, "Call/Transaction Does Not Exist", nil))
	}
}

func busy(req *sip.Request) *sip.Response {
	res := sip.NewResponseFromRequest(req, 503, "Service Unavailable", nil)
	res.AppendHeader(sip.NewHeader("Retry-After", retryAfter))
	return res
}

// CancelSIP implements sipua.Node.
func (s *Service) CancelSIP(tx sipua.ServerTx, reason string) {
	s.mu.Lock()
	w := s.invites[tx]
	s.mu.Unlock()
	if w != nil {
		w.c.must(func() { w.c.cancelled(w, reason) })
	}
}

// serveInvite begins a call, once it is known who calls and there is room.
func (s *Service) serveInvite(req *sip.Request, tx sipua.ServerTx) {
	refuse := func(why string, res *sip.Response) {
		s.m.refused.WithLabelValues(why).Inc()
		tx.Respond(res)
	}
	k := s.keeper.Load()
	tn, ok := s.dir.Tenant(tenantOf(req))
	switch {
	case k == nil || s.drain.Load():
		refuse("not-ready", busy(req))
		return
	case !ok:
		refuse("no-tenant", sip.NewResponseFromRequest(req, 404, "Not Found", nil))
		return
	}
	if bad := unsupported(req); bad != "" {
		res := sip.NewResponseFromRequest(req, 420, "Bad Extension", nil)
		res.AppendHeader(sip.NewHeader("Unsupported", bad))
		refuse("extension", res)
		return
	}
	if brief := s.cfg.tooBrief(req); brief != nil {
		refuse("session-interval", brief)
		return
	}
	if len(req.Body()) > 0 && !isSDP(req) {
		res := sip.NewResponseFromRequest(req, 415, "Unsupported Media Type", nil)
		res.AppendHeader(sip.NewHeader("Accept", "application/sdp"))
		refuse("media-type", res)
		return
	}
	if req.Contact() == nil {
		refuse("no-contact", sip.NewResponseFromRequest(req, 400, "Missing Contact", nil))
		return
	}
	if t := s.trunks.From(sourceTransport(req), source(req), req.Recipient.User); t != nil {
		s.beginInbound(req, tx, t)
		return
	}
	number, verdict, tried := s.identify(k, req, tn)
	if number == "" {
		if tried && verdict == digest.Denied {
			s.report(req)
		}
		refuse("credentials", challenge(k, req, tn, verdict == digest.Stale || verdict == digest.Replayed))
		return
	}
	if t := s.trunks.Find(tn.Name, number); t != nil {
		s.beginInbound(req, tx, t)
		return
	}
	takes, gone := s.replaced(req, tn.Name)
	if gone != nil {
		refuse("no-dialog", gone)
		return
	}
	s.begin(req, tx, tn, party{number: number, shown: number, display: displayName(req), takes: takes})
}

func (s *Service) report(req *sip.Request) {
	select {
	case s.reports <- contract.AbuseReport{Source: source(req).Addr(), Reason: "wrong credentials", Weight: 1}:
	default:
	}
}

// begin makes the call, if there is room for it.
func (s *Service) begin(req *sip.Request, tx sipua.ServerTx, tn *contract.TenantRecord, from party) {
	id := random(16)
	if from.dialled == "" {
		from.dialled = unescape(req.Recipient.User)
	}
	c := &call{
		mailbox: &mailbox{start: s.work},
		w:       (*outside)(s), cfg: &s.cfg, from: from, dialled: from.dialled, domain: domainOf(tn),
		contact: "<sip:" + id + "@" + s.contact + ">", invite: req,
		id: identity{uuid: id, conn: random(8), number: s.number.Add(1), tenant: tn.Name, node: s.f.Node(), kind: voice.CallInternal},
	}
	if from.outside() {
		c.id.kind = voice.CallInbound
	}
	c.legs[caller] = answering(req, random(8), c.contact)
	c.hosts[caller] = source(req).Addr()
	c.keep = s.keeps
	resumed := s.resume(c, req)
	why, status := s.admit(c, tx)
	if why != "" {
		if resumed != nil {
			s.giveUp(resumed)
		}
		if from.leave != nil {
			from.leave()
		}
		s.m.refused.WithLabelValues(why).Inc()
		if status == 482 {
			tx.Respond(sip.NewResponseFromRequest(req, 482, "Loop Detected", nil))
			return
		}
		s.m.rejected.Add(1)
		tx.Respond(busy(req))
		return
	}
	s.m.created.Add(1)
	s.m.calls.Add()
	s.m.dialogs.Add(1)
	c.must(c.begin)
}

// admit takes a call into the tables within the limits, or says what is in the way.
func (s *Service) admit(c *call, tx sipua.ServerTx) (why string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	callID := c.legs[caller].callID
	switch {
	case s.dialogs[callID] != nil: // the same request by another way (RFC 3261 §8.2.2.2)
		return "merged", 482
	case s.calls.Load() >= int64(s.cfg.MaxCalls):
		return "node-full", 503
	case s.pressure.high.Load():
		return "overloaded", 503
	case s.cfg.MaxTenantCalls > 0 && s.byTenant[c.id.tenant] >= s.cfg.MaxTenantCalls:
		return "tenant-full", 503
	}
	w := &inviteTx{tx, s, c}
	c.tx = w
	s.invites[tx] = w
	s.dialogs[callID] = c
	s.names[c.id.uuid], s.names[c.id.conn] = c, c
	s.byTenant[c.id.tenant]++
	s.calls.Add(1)
	return "", 0
}

// admitMore takes a call that a request makes into the tables, within the limits.
func (s *Service) admitMore(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.calls.Load() >= int64(s.cfg.MaxCalls), s.pressure.high.Load(), s.drain.Load():
		return voice.TErrorf(voice.TErrServiceUnavailable, "this node takes no more calls just now")
	case s.cfg.MaxTenantCalls > 0 && s.byTenant[c.id.tenant] >= s.cfg.MaxTenantCalls:
		return voice.TErrorf(voice.TErrServiceUnavailable, "the tenant has as many calls as it may have")
	}
	s.names[c.id.uuid], s.names[c.id.conn] = c, c
	s.byTenant[c.id.tenant]++
	s.calls.Add(1)
	s.m.created.Add(1)
	s.m.calls.Add()
	return nil
}

func domainOf(tn *contract.TenantRecord) string {
	if len(tn.Domains) > 0 {
		return tn.Domains[0]
	}
	return tn.Realm
}

// displayName is the name a caller sends, which is shown and never believed.
func displayName(req *sip.Request) string {
	const most = 64
	name := strings.Trim(req.From().DisplayName, `"`)
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "")
	}
	return clean(name)
}

// random returns n random bytes in hex.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func unavailable(err error) bool {
	return errors.Is(err, voice.ErrUnavailable) || errors.Is(err, voice.ErrTimeout)
}
