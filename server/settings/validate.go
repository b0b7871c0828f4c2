package settings

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"parley/internal/obs"
)

// checker collects problems as errors that begin with their key.
type checker struct{ errs []error }

func (c *checker) failf(key, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
}

// Validate reports everything that is wrong, each error beginning with its key.
func (c Config) Validate() error {
	var k checker
	k.node(c.Node, c.Fabric)
	k.sip(c.SIP)
	k.media(c.Media)
	k.fabric(c.Fabric)
	k.store(c.Store)
	k.http(c.HTTP)
	k.log(c.Log)
	return errors.Join(errors.Join(k.errs...), c.rq(), c.Web.Validate(), c.Tenant.Validate(), c.Registrar.Validate(), c.SIPProxy.Validate(), c.Calls.Validate(), c.CDR.Validate(), c.Frontend.Validate(), c.CallState.Validate(), c.Orchestration.Validate())
}

func (k *checker) node(n Node, f Fabric) {
	if !plainName(n.ID) && !n.Runs(RQ) { // rq has its own word on it
		k.failf("node.id", "%q: want 1 to 63 letters, digits, dots, dashes or underscores", n.ID)
	}
	if n.DataDir == "" {
		k.failf("node.data_dir", "is empty; name a directory")
	}
	if len(n.Services) == 0 {
		k.failf("node.services", "is empty; want all, or some of %s", strings.Join(Services(), ", "))
	}
	for i, s := range n.Services {
		if s != "all" && !slices.Contains(Services(), s) {
			k.failf(fmt.Sprintf("node.services[%d]", i), "there is no service %q; want all, or some of %s", s, strings.Join(Services(), ", "))
		}
	}
	if n.Runs(SIPNode) && !n.Runs(SIPProxy) {
		k.failf("node.services", "has sip without sipproxy: a SIP node works through the front door of its process; add sipproxy")
	}
	if !n.Runs(RQ) && f.URL == "" {
		k.failf("node.services", "leaves out rq, the embedded JetStream, and fabric.url names no other; add rq or set fabric.url")
	}
}

// listeners checks a list of URLs; seen holds those of all lists.
func (k *checker) listeners(list string, urls []string, seen map[string]bool, schemes ...string) {
	for i, l := range urls {
		key := fmt.Sprintf("%s[%d]", list, i)
		u, err := url.Parse(l)
		if err != nil || !slices.Contains(schemes, u.Scheme) {
			k.failf(key, "%q is no SIP listener; want %s:// with address and port, such as udp://0.0.0.0:5060", l, strings.Join(schemes, "://, "))
			continue
		}
		if u.Path != "" && u.Scheme != "ws" && u.Scheme != "wss" {
			k.failf(key, "%q has a path, which only ws and wss know; leave it out", l)
		}
		k.hostPort(key, u.Host)
		if seen[l] && u.Port() != "0" {
			k.failf(key, "%q is listed twice; keep one", l)
		}
		seen[l] = true
	}
}

func (k *checker) sip(s SIP) {
	if len(s.Listen) == 0 {
		k.failf("sip.listen", `is empty; name at least one, such as "udp://0.0.0.0:5060"`)
	}
	seen := map[string]bool{}
	k.listeners("sip.listen", s.Listen, seen, "udp", "tcp", "tls", "ws", "wss")
	k.listeners("sip.internal_listen", s.InternalListen, seen, "udp", "tcp")
	k.host("sip.external_host", s.ExternalHost)
	for i, d := range s.DNS {
		if _, err := netip.ParseAddrPort(d); err != nil {
			k.failf(fmt.Sprintf("sip.dns[%d]", i), "%q is no address and port of a name server; want one such as 192.0.2.53:53", d)
		}
	}
	if (s.TLS.Cert == "") != (s.TLS.Key == "") {
		k.failf("sip.tls", "cert and key belong together; set both, or neither for a self-signed certificate")
	}
}

func (k *checker) media(m Media) {
	if _, err := netip.ParseAddr(m.Bind); err != nil {
		k.failf("media.bind", "%q is no IP address; want one such as 0.0.0.0", m.Bind)
	}
	if _, err := netip.ParseAddr(m.ExternalHost); m.ExternalHost != "" && err != nil {
		k.failf("media.external_host", "%q is no IP address, which audio needs; sip.external_host may be a name", m.ExternalHost)
	}
	if m.Ports.First < 1024 || m.Ports.Last-m.Ports.First < 3 {
		k.failf("media.ports", "%v cannot be used; want at least four ports above 1023, such as 20000-29999", m.Ports)
	}
	if m.Mode != MediaRelay && m.Mode != MediaDirect {
		k.failf("media.mode", "%q is unknown; want relay or direct", m.Mode)
	}
	if m.PromptCache < 1<<20 {
		k.failf("media.prompt_cache", "%v is less than 1MiB, a minute of sound", m.PromptCache)
	}
}

func (k *checker) fabric(f Fabric) {
	for u := range strings.SplitSeq(f.URL, ",") {
		if f.URL != "" {
			k.natsURL("fabric.url", strings.TrimSpace(u))
		}
	}
	if !slices.Contains([]int{1, 3, 5}, f.Replicas) {
		k.failf("fabric.replicas", "%d is no useful number of copies; want 1, 3 or 5", f.Replicas)
	} else if f.Replicas > 1 && f.URL == "" && f.Cluster.Listen == "" {
		k.failf("fabric.replicas", "%d copies need a cluster; set fabric.cluster on each node, or fabric.url", f.Replicas)
	}
}

// rq checks what the embedded server is told, where one runs; it knows best.
func (c Config) rq() error {
	if !c.Node.Runs(RQ) {
		return nil
	}
	return c.RQ().Validate()
}

func (k *checker) store(s Store) {
	dsn := s.DSN.Reveal()
	known := []string{"sqlite://", "postgres://", "postgresql://"}
	if dsn != "" && !slices.ContainsFunc(known, func(p string) bool { return strings.HasPrefix(dsn, p) }) {
		k.failf("store.dsn", "is neither empty (SQLite under the data directory) nor sqlite:///path nor postgres://user:password@host/database")
	}
}

func (k *checker) http(h HTTP) {
	if _, err := netip.ParseAddr(h.Bind); err != nil {
		k.failf("http.bind", "%q is no IP address; want one such as 127.0.0.1", h.Bind)
	}
	by := map[int]string{}
	services := make([]string, 0, len(h.Ports))
	for service := range h.Ports {
		services = append(services, service)
	}
	slices.Sort(services)
	for _, service := range services {
		key, port := "http.ports."+service, h.Ports[service]
		if port < -1 || port > 65535 {
			k.failf(key, "%d is no port; want 1 to 65535, 0 for any free one, or -1 for none", port)
		}
		if other, taken := by[port]; taken && port > 0 {
			k.failf(key, "%d is also http.ports.%s; give each its own", port, other)
		}
		by[port] = service
	}
}

func (k *checker) log(l Log) {
	if _, err := obs.ParseLevel(l.Level); err != nil {
		k.failf("log.level", "%v", err)
	}
	if l.Format != obs.FormatText && l.Format != obs.FormatJSON {
		k.failf("log.format", "unknown format %q (want text or json)", l.Format)
	}
}

// hostPort wants "address:port", where the address may be empty, an IP address or localhost.
func (k *checker) hostPort(key, s string) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		k.failf(key, "%q lacks an address or a port; want address:port such as 127.0.0.1:8080", s)
		return
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		k.failf(key, "%q is no port; want a number up to 65535, 0 for any free one", port)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		k.failf(key, "%q is no address to listen on; want an IP address of this machine, localhost, or 0.0.0.0 for all", host)
	}
}

// host wants nothing, an IP address or a host name.
func (k *checker) host(key, s string) {
	if _, err := netip.ParseAddr(s); s != "" && err != nil && !hostName(s) {
		k.failf(key, "%q is neither an IP address nor a host name; leave out scheme and port", s)
	}
}

func (k *checker) natsURL(key, s string) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls"}, u.Scheme) {
		// The text itself stays out of the message: it may hold a password.
		k.failf(key, "is no NATS address; want nats://host:4222")
	}
}

// plainName tells whether s can name a node or a cluster.
func plainName(s string) bool {
	ok := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)
	}
	return len(s) >= 1 && len(s) <= 63 && !strings.ContainsFunc(s, func(r rune) bool { return !ok(r) })
}

// hostName tells whether s looks like a name of RFC 1123.
func hostName(s string) bool {
	if len(s) > 253 || strings.Contains(s, "_") {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !plainName(label) || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
	}
	return true
}
