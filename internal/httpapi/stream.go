package httpapi

import (
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
)

// Stream is the answer of an operation whose body is too long to be held in memory: it is read from body while it is
// sent, chunk by chunk. headers are pairs of name and value. When body fails, the connection is broken off, so that the
// client does not take what it has for the whole.
//
// The context of the operation may be used by body: it ends when the server gives up on requests in progress.
func Stream(body io.Reader, headers ...string) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		for i := 0; i+1 < len(headers); i += 2 {
			ctx.SetHeader(headers[i], headers[i+1])
		}
		StreamTo(humafiber.Unwrap(ctx), body)
	}}
}

// StreamTo is the same for a handler on App, which sets its headers itself.
func StreamTo(c *fiber.Ctx, body io.Reader) {
	const unknown = -1
	c.Context().SetBodyStream(body, unknown)
}

// Take is the answer of an operation that takes over its connection, for what goes on until the client leaves (SSE, WebSocket):
// fasthttp alone could not say that a client has gone before the next write to it. fn owns conn until it returns, and
// answers the request itself; r has no body. Each write has the deadline of the listener's connections, so a client that
// reads nothing is dropped. Nobody waits for fn when the server stops: it ends when [Server.Stopping] is closed.
func (s *Server) Take(fn func(conn net.Conn, r *http.Request)) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		c := humafiber.Unwrap(ctx)
		r, err := ownRequest(c)
		if err != nil {
			s.log.Error("a request that was routed cannot be read", "err", err)
			c.Status(fiber.StatusBadRequest)
			return
		}
		c.Context().HijackSetNoResponse(true)
		c.Context().Hijack(func(conn net.Conn) {
			defer func() {
				if p := recover(); p != nil { // this goroutine is not that of a request, nobody else would catch it
					s.log.Error("panic on a connection taken over", "panic", p, "stack", string(debug.Stack()))
				}
			}()
			fn(takenConn{conn}, r)
		})
	}}
}

// takenConn is a connection taken over. fasthttp closes it only when the function that has it returns, which may be one that
// waits for bytes.
type takenConn struct{ net.Conn }

// Close closes the connection itself.
func (c takenConn) Close() error {
	if in, ok := c.Conn.(interface{ UnsafeConn() net.Conn }); ok {
		return in.UnsafeConn().Close()
	}
	return c.Conn.Close()
}

// ownRequest is the request as net/http has it, with strings of its own.
func ownRequest(c *fiber.Ctx) (*http.Request, error) {
	r, err := http.NewRequest(strings.Clone(c.Method()), strings.Clone(c.OriginalURL()), http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Host = strings.Clone(string(c.Context().Host()))
	for name, value := range c.Request().Header.All() {
		r.Header.Add(string(name), string(value))
	}
	return r, nil
}
