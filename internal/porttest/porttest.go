// Package porttest hands out addresses that tests must know before anybody listens there, such as the routes of a
// cluster. Whoever can listen on port 0 and ask for the port afterwards does that instead.
package porttest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// The ports lie below those that the kernel gives to outgoing connections and to listeners on port 0 (32768 and up
// unless configured otherwise), so none of the many sockets of other tests can take one between here and its use.
const firstPort, lastPort = 20000, 32767

// TCP returns n addresses on 127.0.0.1 with different ports. They stay this test's until it ends: no other caller gets
// them, in this process or another, since for each port a Unix socket with its number in the name is held.
func TCP(t testing.TB, n int) []string {
	t.Helper()
	var addrs []string
	port := firstPort + rand.IntN(lastPort-firstPort+1)
	for range lastPort - firstPort + 1 {
		if len(addrs) == n {
			return addrs
		}
		if addr, ok := reserve(t, port); ok {
			addrs = append(addrs, addr)
		}
		if port++; port > lastPort {
			port = firstPort
		}
	}
	t.Fatalf("no %d free ports from %d to %d", n, firstPort, lastPort)
	return nil
}

func reserve(t testing.TB, port int) (addr string, ok bool) {
	hold, err := net.Listen("unix", fmt.Sprintf("@parley-porttest-%d", port)) // abstract: gone with the process
	if err != nil {
		return "", false
	}
	addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	probe, err := net.Listen("tcp", addr)
	if err != nil {
		_ = hold.Close()
		return "", false
	}
	_ = probe.Close()
	t.Cleanup(func() { _ = hold.Close() })
	return addr, true
}
