package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// idleConnections is how many phones BenchmarkIdleConnections has.
const idleConnections = 1000

// idleClientEnv makes the test binary the phones: "transport address".
const idleClientEnv = "PARLEY_TEST_IDLE_CLIENT"

// BenchmarkIdleConnections reports what a phone costs that has sent one request and is silent: Go heap and stacks of
// the server, the phones being another process.
func BenchmarkIdleConnections(b *testing.B) {
	for _, tr := range []Transport{TCP, TLS, WS, WSS} {
		b.Run(string(tr), func(b *testing.B) {
			certs, _, _ := certificate(b)
			o := echoOptions(string(tr) + "://127.0.0.1:0")
			o.Certificates = certs
			s := start(b, o)
			before := memory()
			phones := exec.Command(os.Args[0])
			phones.Env = append(os.Environ(), idleClientEnv+"="+string(tr)+" "+at(b, s, tr).String())
			phones.Stderr = os.Stderr
			hangUp, err := phones.StdinPipe()
			if err != nil {
				b.Fatal(err)
			}
			out, err := phones.StdoutPipe()
			if err != nil {
				b.Fatal(err)
			}
			if err := phones.Start(); err != nil {
				b.Fatal(err)
			}
			defer phones.Wait()
			defer hangUp.Close()
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
				b.Fatalf("phones say %q, %v", line, err)
			}
			for b.Loop() {
			}
			b.ReportMetric(float64(memory()-before)/idleConnections, "B/conn")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// memory is what the heap and the stacks take after a collection.
func memory() uint64 {
	var m runtime.MemStats
	for range 4 { // stacks shrink by half with each
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// idleClient opens the connections, sends a request on each, says "ready" and waits for its input to end.
func idleClient(peer string) {
	tr, addr, _ := strings.Cut(peer, " ")
	conns := make([]io.Closer, 0, idleConnections)
	for range idleConnections {
		c, err := idlePhone(Transport(tr), addr)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		conns = append(conns, c)
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	for _, c := range conns {
		c.Close()
	}
}

func idlePhone(tr Transport, addr string) (io.Closer, error) {
	if tr.web() {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		ws, err := dialWeb(ctx, string(tr)+"://"+addr, nil)
		if err != nil {
			return nil, err
		}
		if err := ws.Write(ctx, websocket.MessageText, request(1, 0)); err != nil {
			return nil, err
		}
		_, _, err = ws.Read(ctx)
		return closerFunc(ws.CloseNow), err
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if tr == TLS {
		c = tls.Client(c, insecure())
	}
	c.SetDeadline(time.Now().Add(wait))
	if _, err := c.Write(request(1, 0)); err != nil {
		return nil, err
	}
	_, err = c.Read(make([]byte, 1000))
	return c, err
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }
