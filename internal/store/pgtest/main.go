package pgtest

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Main is a TestMain around s: it runs the tests, stops the server, and fails when goroutines stay behind that are not
// among ignored.
func (s *Server) Main(m *testing.M, ignored ...goleak.Option) {
	code := m.Run()
	for _, err := range []error{s.Stop(), goleak.Find(ignored...)} {
		if err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
