package frontend

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"time"
)

// sseHead begins a stream of server-sent events (HTML, §9.2). A client that lost its connection waits two seconds.
const sseHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\n" +
	"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\nretry: 2000\n\n"

const sseBuffer = 32 << 10

// sse writes server-sent events. The first error stays, and is that of all that follow.
type sse struct{ w *bufio.Writer }

// serveSSE owns conn until it returns.
func (s *Service) serveSSE(ctx context.Context, cancel context.CancelFunc, conn net.Conn, st *stream) {
	gone := make(chan struct{})
	go func() { // a client sends nothing after its request, so whatever a read returns, it is the end
		defer close(gone)
		defer cancel()
		var one [1]byte
		conn.Read(one[:]) //nolint:errcheck // see above
	}()
	defer func() {
		if err := conn.SetReadDeadline(time.Unix(1, 0)); err == nil {
			<-gone
		} // else the connection is closed, and the read has ended or is about to
	}()
	c := sse{bufio.NewWriterSize(conn, sseBuffer)}
	c.w.WriteString(sseHead) //nolint:errcheck // a bufio.Writer keeps its error for Flush
	s.serveStream(ctx, st, c)
}

// event writes one event; its data is JSON on one line, as the fabric has it.
func (c sse) event(e *event) error {
	_, err := fmt.Fprintf(c.w, "id: %s\nevent: %s\ndata: %s\n\n", e.at, e.name, e.data)
	return err
}

// reply has no id: it is in no stream, and comes once.
func (c sse) reply(a *Answer) error {
	data, err := json.Marshal(a)
	if err == nil {
		_, err = fmt.Fprintf(c.w, "event: %s\ndata: %s\n\n", a.ID, data)
	}
	return err
}

// beat moves the client's last event id on; without data it is no event.
func (c sse) beat(at position) error {
	_, err := fmt.Fprintf(c.w, ": beat\nid: %s\n\n", at)
	return err
}

func (c sse) lost(at position, reason string) error {
	_, err := fmt.Fprintf(c.w, "id: %s\nevent: lost\ndata: {\"reason\":%q}\n\n", at, reason)
	return err
}

func (c sse) flush() error { return c.w.Flush() }

func (c sse) end(reason, sentence string) {
	fmt.Fprintf(c.w, "event: end\ndata: {\"reason\":%q,\"detail\":%q}\n\n", reason, sentence) //nolint:errcheck // kept for Flush
	c.w.Flush()                                                                               //nolint:errcheck // it ends either way
}
