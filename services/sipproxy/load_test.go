package sipproxy

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"parley/internal/contract"
)

// sipp runs a scenario on a free local port until it ends by itself, or ctx ends, and returns how it went.
func sipp(ctx context.Context, t testing.TB, scenario string, port int, args ...string) error {
	t.Helper()
	args = append([]string{"-sf", "testdata/" + scenario, "-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", fmt.Sprint(port), "-nostdin"}, args...)
	cmd := exec.CommandContext(ctx, "sipp", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		tail := out.String()
		return fmt.Errorf("sipp %s: %w\n%s", scenario, err, tail[max(0, len(tail)-3000):])
	}
	return nil
}

func freePort(t testing.TB) int {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// TestSippCalls sends real calls of an independent implementation through the front door: INVITE, 180, 200, ACK, BYE,
// over UDP and TCP, to the node in the process and to a sipp that answers.
func TestSippCalls(t *testing.T) {
	const calls = 150
	t.Run("node in the process", func(t *testing.T) {
		for _, mode := range []string{"u1", "t1"} { // UDP, and TCP on one connection
			node := newLocalNode()
			h := start(t, func(o *Options) { o.Node = node })
			target := h.address(map[string]string{"u1": "udp", "t1": "tcp"}[mode])
			if err := sipp(t.Context(), t, "uac.xml", freePort(t), "-t", mode, "-r", "150", "-m", fmt.Sprint(calls), "-d", "10", "-s", "9000", target); err != nil {
				t.Fatal(err)
			}
			if n := h.metric("sipproxy_requests_forwarded_total", "method=BYE", "sip_node_id=n1"); n != calls {
				t.Errorf("%s: %v BYE forwarded, want %d", mode, n, calls)
			}
			if n := h.metric("parley_sip_panics_total") + h.metric("parley_sip_transactions_swept_total"); n != 0 {
				t.Errorf("%s: %v panics and transactions swept", mode, n)
			}
		}
	})
	t.Run("node on a socket", func(t *testing.T) {
		h := start(t, nil)
		port := freePort(t)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- sipp(ctx, t, "uas.xml", port) }()
		defer func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		node := fmt.Sprint("127.0.0.1:", port)
		h.announce("uas", node, &contract.SIPNodeRecord{})
		eventually(t, "the answering sipp is there", func() bool { return listening(node) })
		if err := sipp(t.Context(), t, "uac.xml", freePort(t), "-r", "100", "-m", fmt.Sprint(calls), "-d", "10", "-s", "9000", h.address("udp")); err != nil {
			t.Fatal(err)
		}
		if n := h.metric("sipproxy_responses_forwarded_total", "method=INVITE", "sip_node_id=uas"); n < 2*calls {
			t.Errorf("%v responses to INVITE forwarded, want 180 and 200 of %d calls", n, calls)
		}
	})
}

// listening tells whether a UDP port is taken.
func listening(address string) bool {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return strings.Contains(err.Error(), "in use")
	}
	conn.Close()
	return false
}

// BenchmarkCall is a call of sipp's through the front door over UDP, INVITE to BYE, with the node in the process: four requests
// in, four answers out. cpu-µs/op is what the front door and the node cost, kernel included; sipp is a process of its own.
func BenchmarkCall(b *testing.B) {
	h := start(b, func(o *Options) {
		o.Node, o.Config.MaxTransactions = newLocalNode(), 10_000_000
		o.Config.Limits.StrangerRate, o.Config.Limits.StrangersRate = -1, -1
	})
	before := cpu()
	b.ReportAllocs()
	b.ResetTimer()
	if err := sipp(b.Context(), b, "uac.xml", freePort(b), "-r", "1000", "-m", fmt.Sprint(b.N), "-timeout", "40s", "-timeout_error", "-d", "10", "-s", "9000", h.address("udp")); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}
