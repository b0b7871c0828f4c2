package sipproxy

import (
	"encoding/binary"
	encodinghex "encoding/hex"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"sync"

	"parley/internal/sipua/transport"
	"parley/internal/sipua/wire"
)

// receive looks at each message on the goroutine that read it: what can be answered without state is, the rest moves on.
func (s *Service) receive(msg transport.Message) {
	m := s.scratch.Get().(*wire.Message)
	defer s.scratch.Put(m)
	if err := wire.Scan(m, msg.Data); err != nil {
		s.malformed(msg.Flow, m, err)
		return
	}
	method := m.KnownMethod()
	s.trace.received(&msg, method)
	if !m.IsRequest() {
		s.layer.Receive(m, msg.Flow, msg.Flow, msg.Received)
		return
	}
	if s.notForUs(m, msg.Flow) {
		s.m.strays.Inc()
		return
	}
	s.m.requests.of(method).Inc()
	switch {
	case method == "other":
		s.abuse.report(msg.Flow.Remote().Addr(), "unknown-method", 1)
		s.refuse(msg.Flow, m, 501, "", "Allow", wire.Allow)
	case method == "REGISTER":
		s.register(msg.Flow, msg.Received, m)
	case method == "OPTIONS" && m.Tag(wire.To) == nil && !s.routed(m, msg.Flow):
		s.options(msg.Flow, m)
	case !s.layer.Receive(m, msg.Flow, s.replyFlow(msg.Flow, m), msg.Received) && method != "ACK":
		s.refuse(msg.Flow, m, 503, "", "Retry-After", s.retryAfter())
	}
}

// routed tells whether m shows a token or pass of ours: only then it has somewhere to go.
func (s *Service) routed(m *wire.Message, flow transport.Flow) bool {
	if !m.Has(wire.Route) {
		return false
	}
	if _, ok := s.topToken(m); ok {
		return true
	}
	_, ok := s.passOf(m, flow)
	return ok
}

// malformed answers what was meant as SIP, and says nothing to the rest. Either way it counts against the source.
func (s *Service) malformed(flow transport.Flow, m *wire.Message, err *wire.Error) {
	s.m.malformed.Inc()
	s.abuse.report(flow.Remote().Addr(), "malformed", 1)
	if err.Status != 0 && m.Answerable() {
		s.m.requests.of(m.KnownMethod()).Inc()
		s.refuse(flow, m, err.Status, err.Reason, "", "")
	}
}

// options answers whether anybody is here: always the same, whoever asks for whatever user (RFC 3261 §11.2). The names of
// our users are not to be found out this way.
func (s *Service) options(flow transport.Flow, m *wire.Message) {
	s.m.self.of("OPTIONS").Inc()
	buf := getBuffer()
	out := s.appendAnswer((*buf)[:0], flow, m, 200, "")
	out = append(out, "Allow: "+wire.Allow+"\r\nAccept: application/sdp\r\nSupported: path\r\n"...)
	s.reply(flow, m, wire.AppendEnd(out))
	putBuffer(buf, out)
}

// refuse answers without a transaction, with one header field if name is set.
func (s *Service) refuse(flow transport.Flow, m *wire.Message, status int, reason, name, value string) {
	s.m.self.of(m.KnownMethod()).Inc()
	s.m.rejected.Inc()
	s.answer(flow, m, status, reason, name, value)
}

func (s *Service) answer(flow transport.Flow, m *wire.Message, status int, reason, name, value string) {
	if !m.Answerable() {
		return
	}
	buf := getBuffer()
	out := s.appendAnswer((*buf)[:0], flow, m, status, reason)
	if name != "" {
		out = wire.AppendHeader(out, name, value)
	}
	s.reply(flow, m, wire.AppendEnd(out))
	putBuffer(buf, out)
}

// appendAnswer begins a response. Its tag is made from the request, so a retransmission gets the same one, as it must
// from a server that keeps no state (RFC 3261 §8.2.7).
func (s *Service) appendAnswer(dst []byte, flow transport.Flow, m *wire.Message, status int, reason string) []byte {
	var (
		via wire.ViaValue
		h   maphash.Hash
		tag [16]byte
		sum [8]byte
	)
	m.TopVia(&via)
	h.SetSeed(s.seed)
	_, _ = h.Write(m.Get(wire.CallID)) // a maphash takes everything
	_, _ = h.Write(via.Branch)
	_, _ = h.Write(m.Get(wire.CSeq))
	binary.BigEndian.PutUint64(sum[:], h.Sum64())
	encodinghex.Encode(tag[:], sum[:])
	return wire.AppendAnswer(dst, m, status, reason, flow.Remote(), tag[:])
}

// reply sends an answer to m. One that cannot be sent is lost like one the network loses; the transport has counted it.
func (s *Service) reply(flow transport.Flow, m *wire.Message, out []byte) {
	_ = s.replyFlow(flow, m).Send(out)
}

// replyFlow is where answers to m go (RFC 3261 §18.2.2, RFC 3581).
func (s *Service) replyFlow(flow transport.Flow, m *wire.Message) transport.Flow {
	if flow.Transport() != transport.UDP {
		return flow
	}
	var via wire.ViaValue
	remote := flow.Remote()
	if m.TopVia(&via) {
		if port := via.ReplyPort(remote); port != remote.Port() {
			return flow.To(netip.AddrPortFrom(remote.Addr(), port))
		}
	}
	return flow
}

// retryAfter spreads those who come back.
func (s *Service) retryAfter() string { return strconv.Itoa(5 + rand.IntN(10)) }

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

func getBuffer() *[]byte { return buffers.Get().(*[]byte) }

// putBuffer gives a buffer back in the size it grew to, unless that is unusual.
func putBuffer(b *[]byte, grown []byte) {
	if cap(grown) <= 16384 {
		*b = grown
		buffers.Put(b)
	}
}

func hex(n uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return encodinghex.EncodeToString(b[:])
}
