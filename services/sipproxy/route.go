package sipproxy

import (
	"bytes"
	"hash/maphash"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"parley/internal/sipua"
	"parley/internal/sipua/transport"
	"parley/internal/sipua/txn"
	"parley/internal/sipua/wire"
)

// route is where a request goes.
type route struct {
	direction string     // inbound or outbound
	drop      int        // Route values that are ours
	flow      sipua.Flow // of the token, when there was one
	token     bool
	node      string // SIP node of the dialog; "" for one that has to be chosen
	dialog    bool   // the request belongs to a dialog
	status    int    // not 0: it goes nowhere, and this is the answer
}

// routeOf decides by our token in the topmost Route values (RFC 3261 §16.4, RFC 5626 §5.3). A request that came over the
// very flow of the token is the phone's, so it goes to the node. One from a SIP node goes to the flow. Anybody else who shows
// the token is a phone whose NAT gave it another address: to the node, which looks at the dialog's tags.
func (s *Service) routeOf(m *txn.Message, fromNode bool) route {
	r := route{direction: inbound, dialog: m.Tag(wire.To) != nil}
	for v := range m.Values(wire.Route) {
		f, ok := s.tokenIn(v)
		if !ok {
			break // a value that is not ours ends what we may take off
		}
		if r.drop++; !r.token {
			r.flow, r.token = f, true
		}
	}
	switch {
	case r.token && fromNode:
		r.direction = outbound
		r.node = r.flow.Node
	case !r.dialog:
		r.drop = maxValues // a stranger's Route leads nowhere here
	case r.token:
		r.node, r.drop = r.flow.Node, maxValues
	default:
		r.node, r.drop = s.nodeOfURI(m.URI()), maxValues
		if r.node == "" && s.node != nil {
			r.node = s.f.Node() // some peers follow neither Record-Route nor Contact; the node knows its dialogs by their tags
		}
	}
	if r.direction == inbound && r.dialog && r.node == "" {
		r.status = 481
	}
	return r
}

// tokenIn reads the token of one Route value.
func (s *Service) tokenIn(value []byte) (sipua.Flow, bool) {
	var (
		a wire.Address
		u wire.URI
	)
	tokens := s.tokens.Load()
	if tokens == nil || !wire.ParseAddress(value, &a) || !wire.ParseURI(a.URI, &u) || len(u.User) == 0 {
		return sipua.Flow{}, false
	}
	f, err := tokens.Decode(u.User)
	return f, err == nil
}

// fromNode tells whether a SIP node sent m: it is not over the flow of the token, which is the phone's, even when
// phone and node share a host.
func (s *Service) fromNode(m *txn.Message) bool {
	if !s.nodes.isNode(m.Flow.Remote(), m.Flow.Transport().Reliable()) {
		return false
	}
	if f, ok := s.topToken(&m.Message); ok {
		return !sameFlow(f, m.Flow)
	}
	return true
}

// topToken reads the token of the topmost Route value.
func (s *Service) topToken(m *wire.Message) (sipua.Flow, bool) {
	top, _, _ := wire.Next(m.Get(wire.Route))
	return s.tokenIn(top)
}

func sameFlow(f sipua.Flow, flow transport.Flow) bool {
	if f.ID != "" || flow.ID() != "" {
		return f.ID == flow.ID()
	}
	return f.Remote == flow.Remote()
}

// nodeOfURI finds the node whose contact a Request-URI is: for peers that do not follow Record-Route.
func (s *Service) nodeOfURI(uri []byte) string {
	var u wire.URI
	if !wire.ParseURI(uri, &u) {
		return ""
	}
	ip, ok := wire.ParseIP(u.Host)
	if !ok {
		return ""
	}
	port := u.Port
	if port == 0 {
		port = wire.DefaultPort(nil)
	}
	if n := s.nodes.cur.Load().byAddr[netip.AddrPortFrom(ip, uint16(port))]; n != nil {
		return n.id
	}
	return ""
}

// side is one side of us: how a peer there is to reach us.
type side struct {
	transport transport.Transport
	host      string // host:port
}

func (s *Service) sideOf(f transport.Flow, external bool) side {
	local := f.Local()
	host := local.String()
	if external && s.external != "" {
		host = net.JoinHostPort(strings.Trim(s.external, "[]"), strconv.Itoa(int(local.Port())))
	}
	return side{f.Transport(), host}
}

// recordRoutes makes our Record-Route lines: one, or two when the sides differ (RFC 5658), the one of the side it is
// sent to on top. Both carry the token, so that any front door of the cluster knows them for ours.
func recordRoutes(dst []byte, token string, out, in side) []byte {
	dst = appendRecordRoute(dst, token, out)
	if in != out {
		dst = appendRecordRoute(dst, token, in)
	}
	return dst
}

func appendRecordRoute(dst []byte, token string, at side) []byte {
	dst = append(append(append(dst, "Record-Route: <sip:"...), token...), '@')
	dst = append(dst, at.host...)
	switch at.transport {
	case transport.UDP:
	case transport.WSS: // RFC 7118 §5: the transport of both is ws
		dst = append(dst, ";transport=ws"...)
	default:
		dst = append(append(dst, ";transport="...), at.transport...)
	}
	return append(dst, ";lr>\r\n"...)
}

// branch makes a new branch: the mark of this process, something random, and what loops are known by.
func (s *Service) branch(loop string) string {
	return s.mark + hex(rand.Uint64()) + "." + loop
}

// loopMark digests what decides where a request goes (RFC 3261 §16.6, item 8). A request that comes back with the same mark
// would go the same way again.
func (s *Service) loopMark(m *txn.Message) string {
	var h maphash.Hash
	h.SetSeed(s.seed)
	n, _ := m.CSeq()
	for _, b := range [][]byte{m.URI(), m.Tag(wire.From), m.Tag(wire.To), m.Get(wire.CallID), m.Method(), strconv.AppendUint(nil, uint64(n), 10)} {
		_, _ = h.Write(b) // a maphash takes everything
		_ = h.WriteByte(0)
	}
	for v := range m.Values(wire.Route) {
		_, _ = h.Write(v)
	}
	return hex(h.Sum64())
}

// loops tells whether m went through us before and would go the same way again (RFC 3261 §16.3, item 4). A request that
// returns changed is a spiral, which is allowed.
func (s *Service) loops(m *txn.Message, loop string) bool {
	for v := range m.Values(wire.Via) {
		var via wire.ViaValue
		if wire.ParseVia(v, &via) && bytes.HasPrefix(via.Branch, []byte(s.mark)) && bytes.HasSuffix(via.Branch, []byte("."+loop)) {
			return true
		}
	}
	return false
}

// appendVia makes our Via line.
func appendVia(dst []byte, at side, branch string) []byte {
	dst = append(append(dst, "Via: SIP/2.0/"...), at.transport.Via()...)
	dst = append(append(append(dst, ' '), at.host...), ";branch="...)
	dst = append(dst, branch...)
	return append(dst, ";rport\r\n"...)
}
