package locate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

// The types of records that are asked for.
const (
	typeA     = dns.TypeA
	typeAAAA  = dns.TypeAAAA
	typeSRV   = dns.TypeSRV
	typeNAPTR = dns.TypeNAPTR
)

// Bounds of the cache.
const (
	minTTL      = time.Second
	maxTTL      = time.Hour
	maxNegative = 5 * time.Minute
	noSOA       = 30 * time.Second // a negative answer that does not say how long it holds
	failedTTL   = 2 * time.Second
	maxCached   = 4096 // record sets
	maxAliases  = 8    // CNAME records followed in one answer
)

// Options of a Resolver.
type Options struct {
	Servers []string         // host:port; empty = those of /etc/resolv.conf
	Timeout time.Duration    // for one server; 0 = 2 s
	Now     func() time.Time // nil = time.Now
}

// Resolver asks name servers and remembers what they say.
type Resolver struct {
	servers []string
	timeout time.Duration
	now     func() time.Time
	flight  singleflight.Group

	mu     sync.Mutex // guards cached
	cached map[key]*records
}

type key struct {
	name string // lower case, without the last dot
	kind uint16
}

// records is what is known of a name and a type. It never changes.
type records struct {
	addrs  []netip.Addr
	srvs   []srvRecord
	naptrs []naptrRecord
	until  time.Time
	err    error // it is not known; until says when to ask again
}

type srvRecord struct {
	priority, weight, port uint16
	target                 string // "." = no service
}

type naptrRecord struct {
	order, preference           uint16
	flags, service, replacement string
}

// New returns a Resolver. Without a server to ask it still knows what an address is.
func New(o Options) (*Resolver, error) {
	r := &Resolver{servers: o.Servers, timeout: o.Timeout, now: o.Now, cached: map[key]*records{}}
	if r.timeout <= 0 {
		r.timeout = 2 * time.Second
	}
	if r.now == nil {
		r.now = time.Now
	}
	for _, s := range r.servers {
		if _, err := netip.ParseAddrPort(s); err != nil {
			return nil, fmt.Errorf("locate: %q is no address and port of a name server", s)
		}
	}
	if len(r.servers) == 0 {
		conf, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err == nil {
			for _, s := range conf.Servers {
				r.servers = append(r.servers, net.JoinHostPort(s, conf.Port))
			}
		}
	}
	return r, nil
}

// ask returns the records of a name, from memory or from a server. It never returns nil.
func (r *Resolver) ask(ctx context.Context, name string, kind uint16) *records {
	k := key{strings.ToLower(strings.TrimSuffix(name, ".")), kind}
	r.mu.Lock()
	known := r.cached[k]
	r.mu.Unlock()
	if known != nil && r.now().Before(known.until) {
		return known
	}
	shared := r.flight.DoChan(fmt.Sprint(k.kind, " ", k.name), func() (any, error) {
		rs := r.query(context.WithoutCancel(ctx), k) // those who wait may give up; the answer is for all
		r.keep(k, rs)
		return rs, nil
	})
	select {
	case res := <-shared:
		return res.Val.(*records)
	case <-ctx.Done():
		return &records{err: fmt.Errorf("locate: %s %s: %w", dns.TypeToString[kind], name, ctx.Err()), until: r.now()}
	}
}

// keep remembers records. A full cache first loses what has ended, then whatever comes.
func (r *Resolver) keep(k key, rs *records) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.cached) >= maxCached {
		now := r.now()
		for old, is := range r.cached {
			if !now.Before(is.until) {
				delete(r.cached, old)
			}
		}
		for old := range r.cached {
			if len(r.cached) < maxCached {
				break
			}
			delete(r.cached, old)
		}
	}
	r.cached[k] = rs
}

// query asks the servers one after the other until one knows.
func (r *Resolver) query(ctx context.Context, k key) *records {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(k.name), k.kind)
	m.SetEdns0(1232, false) // what passes everywhere in one datagram (DNS flag day 2020)
	err := errors.New("no name server is configured")
	for _, server := range r.servers {
		var res *dns.Msg
		if res, err = r.exchange(ctx, m, server); err == nil {
			return r.understand(k, res)
		}
	}
	return &records{err: fmt.Errorf("locate: %s %s: %w", dns.TypeToString[k.kind], k.name, err), until: r.now().Add(failedTTL)}
}

// exchange asks one server. What it cannot say, the next may.
func (r *Resolver) exchange(ctx context.Context, m *dns.Msg, server string) (*dns.Msg, error) {
	c := dns.Client{Timeout: r.timeout, UDPSize: 1232}
	res, _, err := c.ExchangeContext(ctx, m.Copy(), server)
	if err == nil && res.Truncated {
		c.Net = "tcp"
		res, _, err = c.ExchangeContext(ctx, m.Copy(), server)
	}
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", server, err)
	}
	if len(res.Question) != 1 || res.Question[0].Qtype != m.Question[0].Qtype || !strings.EqualFold(res.Question[0].Name, m.Question[0].Name) {
		return nil, fmt.Errorf("server %s answers another question", server)
	}
	if res.Rcode != dns.RcodeSuccess && res.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("server %s says %s", server, dns.RcodeToString[res.Rcode])
	}
	return res, nil
}

// understand takes the records of the name out of an answer, aliases followed.
func (r *Resolver) understand(k key, res *dns.Msg) *records {
	rs, name, ttl := &records{}, dns.Fqdn(k.name), maxTTL
	least := func(h *dns.RR_Header) {
		ttl = min(ttl, time.Duration(h.Ttl)*time.Second)
	}
	for range maxAliases {
		alias := ""
		for _, rr := range res.Answer {
			if c, ok := rr.(*dns.CNAME); ok && strings.EqualFold(c.Hdr.Name, name) && k.kind != dns.TypeCNAME {
				alias = c.Target
				least(&c.Hdr)
			}
		}
		if alias == "" {
			break
		}
		name = alias
	}
	for i, rr := range res.Answer {
		if i >= maxRecords+maxAliases {
			break
		}
		if h := rr.Header(); h.Rrtype == k.kind && strings.EqualFold(h.Name, name) {
			rs.add(rr)
			least(h)
		}
	}
	if rs.empty() {
		ttl = negative(res)
	}
	slices.SortStableFunc(rs.naptrs, func(a, b naptrRecord) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.preference, b.preference))
	})
	rs.until = r.now().Add(max(ttl, minTTL))
	return rs
}

func (rs *records) empty() bool { return len(rs.addrs)+len(rs.srvs)+len(rs.naptrs) == 0 }

func (rs *records) add(rr dns.RR) {
	switch v := rr.(type) {
	case *dns.A:
		if ip, ok := netip.AddrFromSlice(v.A.To4()); ok {
			rs.addrs = append(rs.addrs, ip)
		}
	case *dns.AAAA:
		if ip, ok := netip.AddrFromSlice(v.AAAA); ok {
			rs.addrs = append(rs.addrs, ip.Unmap())
		}
	case *dns.SRV:
		target := "."
		if v.Target != "." {
			target = strings.ToLower(strings.TrimSuffix(v.Target, "."))
		}
		rs.srvs = append(rs.srvs, srvRecord{v.Priority, v.Weight, v.Port, target})
	case *dns.NAPTR:
		rs.naptrs = append(rs.naptrs, naptrRecord{v.Order, v.Preference, v.Flags, v.Service, strings.TrimSuffix(v.Replacement, ".")})
	}
}

// negative is how long the absence of records holds: what the SOA of the zone says (RFC 2308 §5).
func negative(res *dns.Msg) time.Duration {
	for _, rr := range res.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(time.Duration(min(soa.Minttl, soa.Hdr.Ttl))*time.Second, maxNegative)
		}
	}
	return noSOA
}
