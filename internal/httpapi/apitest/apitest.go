// Package apitest serves REST interfaces in tests: a listener on loopback, tokens that are names, and what every test
// process with a server of fasthttp keeps running. Nothing else imports it.
package apitest

import (
	"context"
	"net"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"parley/internal/httpapi"
	"parley/internal/voice"
)

// Serve serves srv until the test ends, and returns the address as http://host:port.
func Serve(t testing.TB, srv *httpapi.Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx, ln); err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return "http://" + ln.Addr().String()
}

// People verifies tokens that are the keys of the map.
type People map[string]voice.Principal

// Verify implements httpapi.Verifier.
func (p People) Verify(_ context.Context, token string) (voice.Principal, error) {
	who, ok := p[token]
	if !ok {
		return who, voice.ErrUnauthorized
	}
	return who, nil
}

// Clock is the one goroutine that may stay behind: fasthttp starts a clock for the header Date with the first response
// of a process and never stops it.
func Clock() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1")
}
