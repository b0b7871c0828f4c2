package porttest

import (
	"net"
	"testing"
)

func TestTCP(t *testing.T) {
	seen := map[string]bool{}
	for _, addrs := range [][]string{TCP(t, 20), TCP(t, 20)} {
		for _, a := range addrs {
			if seen[a] {
				t.Errorf("%s was given twice", a)
			}
			seen[a] = true
			ln, err := net.Listen("tcp", a)
			if err != nil {
				t.Error(err)
				continue
			}
			_ = ln.Close()
		}
	}
}

func TestTCPPassesOverWhatIsTaken(t *testing.T) {
	free := TCP(t, 1)[0]
	ln, err := net.Listen("tcp", free)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	if addr, ok := reserve(t, ln.Addr().(*net.TCPAddr).Port); ok {
		t.Errorf("%s was given though somebody listens there", addr)
	}
}
