package sipproxy

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/sipua/transport"
	"parley/internal/sipua/wire"
	"parley/internal/voice"
)

// maxValues bounds the values of one header that are handed on; a phone has a handful of contacts.
const maxValues = 64

// registerJob is one REGISTER on its way to the registrar.
type registerJob struct {
	flow transport.Flow
	m    *wire.Message
	req  *contract.RegisterRequest
}

// register passes a REGISTER to the registrar and answers without a transaction: the registrar is idempotent, so a
// retransmission is simply asked again (RFC 3261 §8.2.7). It runs on the reading goroutine up to the door.
func (s *Service) register(flow transport.Flow, received time.Time, m *wire.Message) {
	s.m.registers.Inc()
	if m.Has(wire.ProxyRequire) {
		s.refuseExtension(flow, m)
		return
	}
	if !s.enterRegister() {
		s.m.registersRejected.Inc()
		s.refuse(flow, m, 503, "", "Retry-After", s.retryAfter())
		return
	}
	if !m.Has(wire.Authorization) && fabric.Local(s.f, contract.Register) {
		// Without credentials the registrar waits for nothing and keeps nothing of what it was given: no goroutine, no copy.
		s.runRegister(registerJob{flow, m, registerRequest(m, flow, received, s.f.Node())})
		return
	}
	job := m.Clone() // the strings of the request point into these bytes, which nobody writes to any more
	s.workers.Do(s.run, registerJob{flow, job, registerRequest(job, flow, received, s.f.Node())})
}

// enterRegister takes one of the places at the registrar.
func (s *Service) enterRegister() bool {
	if s.registering.Add(1) > int64(s.cfg.MaxRegisters) || s.draining.Load() {
		s.registering.Add(-1)
		return false
	}
	return true
}

func (s *Service) leaveRegister() { s.registering.Add(-1) }

func (s *Service) runRegister(j registerJob) {
	defer s.leaveRegister()
	s.askRegistrar(s.run, j.flow, j.m, j.req)
}

func (s *Service) askRegistrar(ctx context.Context, flow transport.Flow, m *wire.Message, req *contract.RegisterRequest) {
	start := time.Now()
	res, err := fabric.Call(ctx, s.f, contract.Register, req)
	s.m.registrarLatency.Observe(time.Since(start).Seconds())
	if err != nil {
		s.m.registersRejected.Inc()
		s.registrarFailed(ctx, err)
		s.refuse(flow, m, 503, "", "Retry-After", s.retryAfter())
		return
	}
	s.registrarUp.Store(true)
	if res.Drop {
		s.m.registersRejected.Inc()
		return
	}
	switch {
	case res.Status < 300:
		s.registered(flow, req, res)
	case res.Status != 401:
		s.m.registersRejected.Inc()
	}
	buf := getBuffer()
	out := s.appendAnswer((*buf)[:0], flow, m, res.Status, res.Reason)
	for _, h := range res.Headers {
		out = wire.AppendHeader(out, h.Name, h.Value)
	}
	s.reply(flow, m, wire.AppendEnd(out))
	putBuffer(buf, out)
}

// registrarFailed notes that the registrar did not answer; the log tells of the change, not of each request.
func (s *Service) registrarFailed(ctx context.Context, err error) {
	if errors.Is(err, voice.ErrOverloaded) || ctx.Err() != nil {
		return
	}
	if s.registrarUp.Swap(false) {
		s.log.LogAttrs(ctx, slog.LevelWarn, "registrar does not answer", slog.Any("err", err))
	}
}

// registered remembers what a 2xx granted: the connection counts as in use, and a phone behind NAT is kept reachable.
func (s *Service) registered(flow transport.Flow, req *contract.RegisterRequest, res *contract.RegisterResponse) {
	until := grantedUntil(res, time.Now())
	if len(req.Contacts) > 0 || until.After(time.Now()) {
		flow.Vouch(until)
		s.alive.hold(flow, until, s.cfg.KeepAlive != KeepAliveOff && wantsPing(flow, req))
	}
}

// grantedUntil is when the last of the granted bindings ends; now when there is none.
func grantedUntil(res *contract.RegisterResponse, now time.Time) time.Time {
	longest, fallback, bound := 0, 0, false
	for _, h := range res.Headers {
		switch h.Name {
		case "Contact":
			bound = true
			for rest, more := []byte(h.Value), true; more; {
				var v []byte
				v, rest, more = wire.Next(rest)
				longest = max(longest, expiresOf(v))
			}
		case "Expires":
			fallback, _ = strconv.Atoi(h.Value)
		}
	}
	if bound && longest == 0 { // the registrar said it once for all contacts
		longest = fallback
	}
	return now.Add(time.Duration(longest) * time.Second)
}

// expiresOf is the expires parameter of a contact, 0 when there is none.
func expiresOf(contact []byte) int {
	var a wire.Address
	if !wire.ParseAddress(contact, &a) {
		return 0
	}
	v, _ := wire.Param(a.Params, "expires")
	n, err := strconv.Atoi(string(v))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// wantsPing tells whether a NAT may close the way back: over UDP when the contact is not where the request came from, and
// on TCP and TLS always, since a connection says nothing of what it passes. WebSockets have pings of their own.
func wantsPing(flow transport.Flow, req *contract.RegisterRequest) bool {
	switch flow.Transport() {
	case transport.TCP, transport.TLS:
		return true
	case transport.UDP:
		return len(req.Contacts) > 0 && !contactIs(req.Contacts[0], flow.Remote())
	}
	return false
}

func contactIs(contact string, source netip.AddrPort) bool {
	var (
		a wire.Address
		u wire.URI
	)
	if !wire.ParseAddress([]byte(contact), &a) || !wire.ParseURI(a.URI, &u) {
		return false
	}
	ip, ok := wire.ParseIP(u.Host)
	port := u.Port
	if port == 0 {
		port = wire.DefaultPort(nil)
	}
	return ok && netip.AddrPortFrom(ip, uint16(port)) == source
}

// registerRequest reads what the registrar wants to know. Its strings share m's bytes.
func registerRequest(m *wire.Message, flow transport.Flow, received time.Time, node string) *contract.RegisterRequest {
	cseq, _ := m.CSeq()
	req := &contract.RegisterRequest{
		RequestURI:    view(m.URI()),
		CallID:        view(m.Get(wire.CallID)),
		CSeq:          cseq,
		Contacts:      values(m, wire.Contact),
		Expires:       view(m.Get(wire.Expires)),
		Path:          values(m, wire.Path),
		Supported:     tags(m, wire.Supported),
		Require:       tags(m, wire.Require),
		UserAgent:     view(m.Get(wire.UserAgent)),
		Authorization: wholes(m, wire.Authorization),
		Transport:     string(flow.Transport()),
		Source:        flow.Remote(),
		Node:          node,
		Flow:          flow.ID(),
		Received:      received,
	}
	var (
		to  wire.Address
		u   wire.URI
		via wire.ViaValue
	)
	if wire.ParseURI(m.URI(), &u) {
		req.Host = view(u.Host)
	}
	if wire.ParseAddress(m.Get(wire.To), &to) && wire.ParseURI(to.URI, &u) {
		req.ToUser, req.ToHost = wire.Unescape(u.User), view(u.Host)
	}
	if m.TopVia(&via) {
		req.Via = view(via.SentBy)
	}
	return req
}

// view makes a string of bytes that are never written to again, without copying them.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func values(m *wire.Message, id wire.ID) (out []string) {
	for v := range m.Values(id) {
		if len(out) == maxValues {
			break
		}
		out = append(out, view(v))
	}
	return out
}

// wholes are the values of headers that commas do not split, such as Authorization.
func wholes(m *wire.Message, id wire.ID) (out []string) {
	for i := range m.Headers {
		if m.Headers[i].ID == id && len(out) < maxValues {
			out = append(out, view(m.Value(&m.Headers[i])))
		}
	}
	return out
}

func tags(m *wire.Message, id wire.ID) []string {
	out := values(m, id)
	for i := range out {
		out[i] = strings.ToLower(out[i])
	}
	return out
}

// refuseExtension answers 420 with what we do not support: no Proxy-Require at all (RFC 3261 §16.3, item 5).
func (s *Service) refuseExtension(flow transport.Flow, m *wire.Message) {
	s.refuse(flow, m, 420, "", "Unsupported", string(bytes.Join(collect(m.Values(wire.ProxyRequire)), []byte(", "))))
}

func collect(seq func(func([]byte) bool)) (out [][]byte) {
	for v := range seq {
		if out = append(out, v); len(out) == maxValues {
			break
		}
	}
	return out
}
