package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"parley/internal/sipua/transport"
	"parley/server/settings"
)

// listenHTTP opens the HTTP listener of a service, or returns nil when its port is off.
func listenHTTP(cfg settings.HTTP, service string) (net.Listener, error) {
	port, known := cfg.Ports[service]
	if !known || port < 0 {
		return nil, nil
	}
	return listenTCP("http.ports."+service, net.JoinHostPort(cfg.Bind, strconv.Itoa(port)), "http.bind")
}

// listenTCP opens a listener; an error names the key that gave the port, the key that gave the address, and the cure.
func listenTCP(portKey, address, bindKey string) (net.Listener, error) {
	ln, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, unix.EADDRINUSE):
		return nil, fmt.Errorf("%s: %s is in use by another program; stop that one, or set another port (0 takes any free one)", portKey, address)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s: %s is no address of this machine; set one that is, or 0.0.0.0 for all", bindKey, address)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s: no permission to listen on %s; set a port above 1023, or give the program the right to use low ports", portKey, address)
	default:
		return nil, fmt.Errorf("%s: cannot listen on %s: %w", portKey, address, err)
	}
}

// sipListenError names the key behind a SIP listener that could not be opened.
func (n *Node) sipListenError(err error) error {
	var l *transport.ListenError
	if errors.As(err, &l) {
		if i := slices.Index(n.cfg.SIP.Listen, l.URL); i >= 0 {
			return fmt.Errorf("sip.listen[%d]: %w", i, l)
		}
		if i := slices.Index(n.cfg.SIP.InternalListen, l.URL); i >= 0 {
			return fmt.Errorf("sip.internal_listen[%d]: %w", i, l)
		}
	}
	return fmt.Errorf("sip.listen: %w", err)
}

// reachable is where other nodes reach a listener: a wildcard address says nothing to them, so the external host
// stands in for it, or else the first address of the machine that is not loopback.
func reachable(a netip.AddrPort, externalHost string) string {
	host := a.Addr().String()
	if a.Addr().IsUnspecified() {
		host = externalHost
		if host == "" {
			host = machineAddress()
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(int(a.Port())))
}

// forPhones is the URL of a listener with an address that phones can use.
func forPhones(listener, externalHost string) string {
	u, err := url.Parse(listener)
	if err != nil {
		return listener
	}
	if a, err := netip.ParseAddrPort(u.Host); err == nil {
		u.Host = reachable(a, externalHost)
	}
	return u.String()
}

// machineAddress is an address of this machine that others may know; 127.0.0.1 if it has no other.
func machineAddress() string {
	if all := machineAddresses(); len(all) > 0 {
		return all[0]
	}
	return "127.0.0.1" // the others will not reach this node, and say so
}

// machineAddresses are the addresses of this machine but loopback, at most maxHosts.
func machineAddresses() []string {
	const maxHosts = 32
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && len(out) < maxHosts {
			out = append(out, n.IP.String())
		}
	}
	return out
}
