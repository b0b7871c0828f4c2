package transport

import (
	"context"
	"net/netip"
)

// Set is the sockets of one node.
type Set struct{}

// New checks o and opens nothing.
func New(o Options) (*Set, error) { panic("transport: being built") }

// Open binds all sockets, or none: a *ListenError names the URL at fault and the way out. From here on datagrams
// and connections queue in the kernel until Run.
func (s *Set) Open() error { panic("transport: being built") }

// ListenError says which listener could not be opened, why, and what helps.
type ListenError struct {
	URL  string
	Err  error
	Cure string // a sentence for the operator
}

// Error reads "URL: cause; cure".
func (e *ListenError) Error() string { return e.URL + ": " + e.Err.Error() + "; " + e.Cure }

// Unwrap gives the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// Run serves until ctx ends: then it stops to listen, closes the connections once what is queued has left
// (DrainTimeout at most), waits for every handler to return, and returns nil. Call it once, after Open.
// What answers requests should stop before ctx ends, since nothing can be sent afterwards.
func (s *Set) Run(ctx context.Context) error { panic("transport: being built") }

// Close frees the sockets of a Set that is opened and never run; after Run it does nothing.
func (s *Set) Close() error { panic("transport: being built") }

// Addresses lists the listeners in the order of Options.Listen as URLs with their real ports.
func (s *Set) Addresses() []string { panic("transport: being built") }

// Address is the first listener of t, in the family of the address if that is valid.
func (s *Set) Address(t Transport) (netip.AddrPort, bool) { panic("transport: being built") }

// Flow finds an open connection by its id.
func (s *Set) Flow(id string) (Flow, bool) { panic("transport: being built") }

// UDP is a flow to an address from the UDP listener that fits: from when it is valid, otherwise the first of the same family that
// can reach it. ErrNoRoute when there is none.
func (s *Set) UDP(from, to netip.AddrPort) (Flow, error) { panic("transport: being built") }

// Dial returns a connection to an address by tcp or tls: one that is open already, or a new one; callers that ask for the
// same at once share one attempt. serverName is what the certificate must name (tls only; "" = the IP address).
// A connection the peer opened is reused too, except by tls, where it proves no name.
func (s *Set) Dial(ctx context.Context, t Transport, to netip.AddrPort, serverName string) (Flow, error) {
	panic("transport: being built")
}
