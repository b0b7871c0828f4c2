package httpapi

import (
	"io"

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
