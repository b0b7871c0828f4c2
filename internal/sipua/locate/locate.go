package locate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/internal/sipua/transport"
	"parley/internal/sipua/wire"
)

// Target is one place a request may be sent to.
type Target struct {
	Transport transport.Transport // udp, tcp or tls
	Addr      netip.AddrPort
	Name      string // what the certificate of a tls target must say: the host of the URI (RFC 5922 §4)
}

// Limits.
const (
	maxTargets = 16 // of a URI
	maxRecords = 32 // of an answer that are looked at
	maxServers = 16 // SRV records of a URI whose addresses are asked for
)

// ErrNoTarget says that a URI leads nowhere: its name does not exist, or offers no transport we have.
var ErrNoTarget = errors.New("locate: no target")

// URI is what of a SIP URI decides where it is.
type URI struct {
	Secure    bool   // sips
	Host      string // name, or an address without brackets
	Port      int    // 0 = none given
	Transport string // parameter; "" = none given
}

// ParseURI reads a sip: or sips: URI.
func ParseURI(s string) (URI, error) {
	var u wire.URI
	if !wire.ParseURI([]byte(s), &u) || !u.SIP() || len(u.Host) == 0 {
		return URI{}, fmt.Errorf("locate: %.128q is not a SIP URI", s)
	}
	out := URI{Secure: strings.EqualFold(string(u.Scheme), "sips"), Host: strings.ToLower(strings.Trim(string(u.Host), "[]")), Port: u.Port}
	if v, ok := wire.Param(u.Params, "transport"); ok {
		out.Transport = strings.ToLower(string(v))
	}
	return out, nil
}

// way is a transport with the name its SRV records have.
type way struct {
	transport transport.Transport
	srv       string // "_sip._udp."
	naptr     string // service field (§4.1)
	port      uint16 // when nothing else says one
}

var (
	byUDP = way{transport.UDP, "_sip._udp.", "SIP+D2U", 5060}
	byTCP = way{transport.TCP, "_sip._tcp.", "SIP+D2T", 5060}
	byTLS = way{transport.TLS, "_sips._tcp.", "SIPS+D2T", 5061}
)

// ways are the transports that u allows, the preferred one first.
func (u URI) ways() ([]way, error) {
	switch {
	case u.Transport == "" && u.Secure:
		return []way{byTLS}, nil
	case u.Transport == "":
		return []way{byUDP, byTCP, byTLS}, nil
	case u.Transport == "tls", u.Transport == "tcp" && u.Secure:
		return []way{byTLS}, nil
	case u.Transport == "udp" && !u.Secure:
		return []way{byUDP}, nil
	case u.Transport == "tcp":
		return []way{byTCP}, nil
	}
	return nil, fmt.Errorf("%w: transport %.32q cannot be called out by", ErrNoTarget, u.Transport)
}

// Answer is where a URI is reached.
type Answer struct {
	servers []server  // in no particular order within a priority
	Until   time.Time // ask again then; the zero time is never
}

// server is one SRV record with its addresses, or what stands for one.
type server struct {
	rank     int // of its NAPTR or transport; then priority
	priority uint16
	weight   uint16
	targets  []Target
}

// Targets returns the places in the order to try them. Within a priority the order is drawn by weight, anew each time
// (RFC 2782).
func (a Answer) Targets() []Target { return a.list(draw) }

// Listed returns the same places, always in the same order: of equal priority the heaviest first.
func (a Answer) Listed() []Target {
	return a.list(func([]server) int { return 0 })
}

// list puts the places in order; choose picks the next of servers with the same priority.
func (a Answer) list(choose func([]server) int) []Target {
	rest := slices.Clone(a.servers)
	slices.SortStableFunc(rest, func(x, y server) int {
		return cmp.Or(cmp.Compare(x.rank, y.rank), cmp.Compare(x.priority, y.priority), cmp.Compare(y.weight, x.weight))
	})
	var out []Target
	for len(rest) > 0 {
		same := 1
		for same < len(rest) && rest[same].rank == rest[0].rank && rest[same].priority == rest[0].priority {
			same++
		}
		i := choose(rest[:same])
		for _, t := range rest[i].targets {
			if len(out) < maxTargets && !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return out
}

// draw picks one by weight. A weight of zero has a very small chance beside others (RFC 2782).
func draw(of []server) int {
	sum := 0
	for i := range of {
		sum += 100*int(of[i].weight) + 1
	}
	n := rand.IntN(sum)
	for i := range of {
		if n -= 100*int(of[i].weight) + 1; n < 0 {
			return i
		}
	}
	return 0
}

// Locate finds the targets of a URI. An error wraps ErrNoTarget when the answer is that there are none, and another when
// it is not known.
func (r *Resolver) Locate(ctx context.Context, u URI) (Answer, error) {
	ways, err := u.ways()
	if err != nil {
		return Answer{}, err
	}
	if ip, err := netip.ParseAddr(u.Host); err == nil { // §4.2: a number is where it is
		return Answer{servers: []server{{targets: []Target{u.target(ways[0], ip.Unmap(), 0)}}}}, nil
	}
	if !validName(u.Host) {
		return Answer{}, fmt.Errorf("%w: %.128q is no host name", ErrNoTarget, u.Host)
	}
	q := &question{r: r, ctx: ctx, uri: u}
	if u.Port != 0 { // §4.2: then the port is what was meant, and the addresses are asked for alone
		q.addresses(ways[0], u.Host, uint16(u.Port), server{})
		return q.answer()
	}
	if u.Transport == "" {
		if q.naptr(ways) {
			return q.answer()
		}
	}
	if !q.services(ways) {
		q.addresses(ways[0], u.Host, ways[0].port, server{})
	}
	return q.answer()
}

func (u URI) target(w way, ip netip.Addr, port uint16) Target {
	if u.Port != 0 {
		port = uint16(u.Port)
	}
	if port == 0 {
		port = w.port
	}
	t := Target{Transport: w.transport, Addr: netip.AddrPortFrom(ip, port)}
	if w.transport == transport.TLS {
		t.Name = u.Host
	}
	return t
}

// question is the work on one URI.
type question struct {
	r       *Resolver
	ctx     context.Context
	uri     URI
	out     Answer
	servers int
	err     error // the first failure that left something unknown
}

func (q *question) answer() (Answer, error) {
	for _, s := range q.out.servers {
		if len(s.targets) > 0 {
			return q.out, nil
		}
	}
	if q.err != nil {
		return Answer{Until: q.out.Until}, q.err
	}
	return Answer{Until: q.out.Until}, fmt.Errorf("%w: %s has neither address nor SRV record for SIP", ErrNoTarget, q.uri.Host)
}

// ask returns the records of a name and lets the answer hold no longer than they do.
func (q *question) ask(name string, kind uint16) *records {
	rs := q.r.ask(q.ctx, name, kind)
	if q.out.Until.IsZero() || rs.until.Before(q.out.Until) {
		q.out.Until = rs.until
	}
	if rs.err != nil && q.err == nil {
		q.err = rs.err
	}
	return rs
}

// naptr follows the NAPTR records (§4.1); false says that there are none of use.
func (q *question) naptr(ways []way) bool {
	found := q.ask(q.uri.Host, typeNAPTR).naptrs
	rank, served := 0, false
	for _, n := range found { // sorted by order and preference
		for _, w := range ways {
			if strings.EqualFold(n.service, w.naptr) && strings.EqualFold(n.flags, "s") {
				rank++
				served = q.service(w, n.replacement, rank) || served
			}
		}
	}
	return served
}

// services asks for the SRV records of each transport; false says that there are none.
func (q *question) services(ways []way) bool {
	served := false
	for i, w := range ways {
		served = q.service(w, w.srv+q.uri.Host, i) || served
	}
	return served
}

// service follows the SRV records of one name; true when there are any, be it the one that says there is no service.
func (q *question) service(w way, name string, rank int) bool {
	found := q.ask(name, typeSRV).srvs
	for _, s := range found {
		if s.target == "." { // RFC 2782: decidedly not here
			continue
		}
		if q.servers++; q.servers > maxServers {
			break
		}
		q.addresses(w, s.target, s.port, server{rank: rank, priority: s.priority, weight: s.weight})
	}
	return len(found) > 0
}

// addresses adds the addresses of a host as a server.
func (q *question) addresses(w way, host string, port uint16, s server) {
	ips := slices.Concat(q.ask(host, typeA).addrs, q.ask(host, typeAAAA).addrs)
	for _, ip := range ips {
		s.targets = append(s.targets, q.uri.target(w, ip, port))
	}
	q.out.servers = append(q.out.servers, s)
}

// String renders a target as people write it.
func (t Target) String() string { return string(t.Transport) + ":" + t.Addr.String() }

// validName tells whether a host may be asked for: letters, digits, '-', '_' and dots.
func validName(h string) bool {
	if h == "" || len(h) > 253 || strings.Trim(h, ".") == "" {
		return false
	}
	if _, err := strconv.Atoi(h); err == nil {
		return false
	}
	return strings.Trim(h, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}
