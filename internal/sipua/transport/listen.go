package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"syscall"
)

// endpoint is one listen URL, taken apart.
type endpoint struct {
	url       string
	transport Transport
	network   string // udp, udp4, udp6, tcp, tcp4, tcp6
	addr      netip.AddrPort
	path      string // ws and wss: where the upgrade is taken, "" = everywhere
}

// parseEndpoint reads a listen URL.
func parseEndpoint(raw string) (endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return endpoint{}, err
	}
	e := endpoint{url: raw, transport: Transport(u.Scheme)}
	if !slices.Contains(transports[:], e.transport) {
		return e, fmt.Errorf("%s: unknown transport %q (want udp, tcp, tls, ws or wss)", raw, u.Scheme)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return e, fmt.Errorf("%s: only scheme://host:port is understood, and a path for ws and wss", raw)
	}
	if e.path = u.Path; e.path == "/" {
		e.path = ""
	}
	if e.path != "" && !e.transport.web() {
		return e, fmt.Errorf("%s: a path means something for ws and wss only", raw)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return e, fmt.Errorf("%s: the port is missing or not a number up to 65535 (0 = any free one)", raw)
	}
	ip, family, err := parseHost(u.Hostname())
	if err != nil {
		return e, fmt.Errorf("%s: %w", raw, err)
	}
	e.addr = netip.AddrPortFrom(ip, uint16(port))
	e.network = "tcp" + family
	if e.transport == UDP {
		e.network = "udp" + family
	}
	return e, nil
}

// parseHost gives the address to bind and the family: "4", "6", or "" for both.
func parseHost(host string) (ip netip.Addr, family string, err error) {
	switch host {
	case "":
		return netip.IPv6Unspecified(), "", nil
	case "localhost":
		host = "127.0.0.1"
	}
	if ip, err = netip.ParseAddr(host); err != nil {
		return ip, "", fmt.Errorf("%q is no IP address (want an address of this machine, localhost, or nothing for all)", host)
	}
	if ip = ip.Unmap(); ip.Is4() {
		return ip, "4", nil
	}
	return ip, "6", nil
}

// bind is the address for net.Listen: without a host where both families are meant, since that works without IPv6 too.
func (e endpoint) bind(port uint16) string {
	if e.network == "udp" || e.network == "tcp" {
		return ":" + strconv.Itoa(int(port))
	}
	return netip.AddrPortFrom(e.addr.Addr(), port).String()
}

// boundTo is the URL with the address really bound.
func (e endpoint) boundTo(addr netip.AddrPort) string {
	return string(e.transport) + "://" + addr.String() + e.path
}

// ListenError says which listener could not be opened, why, and what helps.
type ListenError struct {
	URL  string
	Err  error
	Cure string // what the operator can do
}

// Error reads "URL: cause: cure".
func (e *ListenError) Error() string { return e.URL + ": " + e.Err.Error() + ": " + e.Cure }

// Unwrap gives the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// listenError finds the words for a failed bind.
func listenError(e endpoint, err error) error {
	le := &ListenError{URL: e.url, Err: err, Cure: "check the address"}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		le.Err = errno // "address already in use", without the chain of function names before it
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		le.Cure = "another program, or another Parley, has this port; stop it or listen on another port"
	case errors.Is(err, syscall.EACCES):
		le.Cure = "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); take a port from 1024 on"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		le.Cure = "this machine has no such address; take one of its own, or 0.0.0.0 for all"
	case errors.Is(err, syscall.EAFNOSUPPORT):
		le.Cure = "this machine has no IPv6; listen on an IPv4 address"
	}
	return le
}

// addrPort turns a socket's address into a netip one, IPv4 never in its IPv6 form.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
