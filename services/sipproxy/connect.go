package sipproxy

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"strings"

	"parley/internal/sipua"
	"parley/internal/sipua/transport"
	"parley/internal/sipua/txn"
	"parley/internal/sipua/wire"
)

// This file opens connections to those who do not open one to us: trunks by tcp and tls. A connection is kept while it is used
// and serves every call that goes there; transport.Set.Connect says how.

// ours tells whether a token names a peer that we connect to.
func ours(t sipua.Flow) bool {
	return t.ID == "" && (t.Transport == transport.TCP || t.Transport == transport.TLS)
}

func peerOf(t sipua.Flow) transport.Peer {
	return transport.Peer{Transport: t.Transport, Addr: t.Remote, Name: t.Name, Unverified: t.Unverified}
}

// connect opens the connection that a token names and sends the request over it. Waiting happens off the shard.
func (b *branch) connect(t sipua.Flow) {
	s, shard := b.f.s, b.f.shard
	go func() {
		flow, err := s.dialPeer(t)
		shard.Do(func() {
			switch {
			case b.f.closed || b.done:
			case b.cancelOn: // cancelled before it was sent
				b.end()
				b.f.finish()
			case err != nil:
				b.f.why = err.Error()
				b.failed(txn.ErrSend)
			default:
				b.send(flow)
			}
		})
	}()
}

// noFlow tells the SIP node of this process that the way is blocked, and why: for the people who look after the trunk.
func (f *forwarding) noFlow(status int) []byte {
	out := f.s.appendAnswer(make([]byte, 0, 512), f.req.Flow, &f.req.Message, status, "")
	why := strings.NewReplacer(`"`, "'", `\`, "/", "\r", " ", "\n", " ").Replace(f.why)
	return wire.AppendEnd(wire.AppendHeader(out, "Warning", `399 parley "`+why+`"`))
}

// connectAck opens the connection for an ACK, when the one its INVITE went by has ended meanwhile.
func (f *forwarding) connectAck(t sipua.Flow) {
	go func() {
		if flow, err := f.s.dialPeer(t); err == nil {
			f.shard.Do(func() { f.ackOver(flow) })
		}
	}()
}

func (s *Service) dialPeer(t sipua.Flow) (transport.Flow, error) {
	flow, err := s.set.Connect(s.run, peerOf(t))
	if err != nil {
		s.m.flowFailed.Inc()
		s.log.LogAttrs(s.run, slog.LevelInfo, "connect to a trunk", slog.String("certificate", t.Name), slog.Any("err", err))
	}
	return flow, err
}

// clientTLS is how we check the certificates of those we connect to.
func clientTLS(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// Reached returns the address of the first listener for a transport, false when there is none.
func (s *Service) Reached(t transport.Transport) (netip.AddrPort, bool) { return s.set.Address(t) }
