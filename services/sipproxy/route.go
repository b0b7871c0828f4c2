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
	node      string     // SIP node of the dialog; "" for one that has to be chosen
	dialog    bool       // the request belongs to a dialog
	pass      sipua.Pass // of the front door that gave it to us
	passed    bool       // there is such a one
	status    int        // not 0: it goes nowhere, and this is the answer
}

// routeOf decides where a request goes. What the SIP node of this process (local) or, with a pass, that of another one sends
// goes to the flow of the token in its Route (RFC 5626 §5.3). What another front door gives us with a pass is for the SIP
// node of this process. Everybody else speaks to SIP nodes only: within a dialog to the one that a token of ours names
// (RFC 3261 §16.4), however he came by it, since the node looks at the dialog's tags.
func (s *Service) routeOf(m *txn.Message, local bool) route {
	r := route{direction: inbound, dialog: m.Tag(wire.To) != nil}
	if !local {
		r.pass, r.passed = s.passOf(&m.Message, m.Flow)
	}
	for v := range m.Values(wire.Route) {
		if r.passed && r.drop == 0 {
			r.drop = 1
			continue
		}
		f, ok := s.tokenIn(v)
		if !ok {
			break // a value that is not ours ends what we may take off
		}
		if r.drop++; !r.token {
			r.flow, r.token = f, true
		}
	}
	switch {
	case r.passed && !r.pass.FromNode():
		r.node, r.drop = s.f.Node(), maxValues
		if s.node == nil { // it ran one a moment ago
			r.status = 503
		}
	case r.passed && (!r.token || r.flow.Door != s.f.Node()):
		r.status = 430 // RFC 5626 §5.3.1: no such flow here
	case r.token && (local || r.passed):
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
	if r.direction == inbound && r.dialog && r.node == "" && r.status == 0 {
		r.status = 481
	}
	return r
}

// tokenIn reads the token of one Route value.
func (s *Service) tokenIn(value []byte) (sipua.Flow, bool) {
	tokens := s.tokens.Load()
	user, ok := userOf(value)
	if tokens == nil || !ok {
		return sipua.Flow{}, false
	}
	f, err := tokens.Decode(user)
	return f, err == nil
}

// userOf is the user part of the URI of a Route value.
func userOf(value []byte) ([]byte, bool) {
	var (
		a wire.Address
		u wire.URI
	)
	if !wire.ParseAddress(value, &a) || !wire.ParseURI(a.URI, &u) {
		return nil, false
	}
	return u.User, len(u.User) > 0
}

// topToken reads the token of the topmost Route value.
func (s *Service) topToken(m *wire.Message) (sipua.Flow, bool) {
	top, _, _ := wire.Next(m.Get(wire.Route))
	return s.tokenIn(top)
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
	if f.Dialled() { // peers that connect to us do so where we listen
		if a, ok := s.set.Address(f.Transport()); ok {
			local = netip.AddrPortFrom(local.Addr(), a.Port())
		}
	}
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
