package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"

	"golang.org/x/sys/unix"

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
