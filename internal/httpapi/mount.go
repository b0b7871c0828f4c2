package httpapi

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp/fasthttpadaptor"
)

// Mount gives h every request whose path begins with prefix, which ends in "/". It is for interfaces whose shape others have
// laid down, so that they need neither OpenAPI nor the library underneath; they are open to all and have to ask for
// credentials themselves. The body is read before h runs and the answer sent when it returns. The context of a request
// ends when the server gives up on requests in progress; a handler that waits looks at [Server.Stopping] too.
func (s *Server) Mount(prefix string, h http.Handler) {
	s.app.All(prefix+"*", func(c *fiber.Ctx) error {
		var r http.Request
		if err := fasthttpadaptor.ConvertRequest(c.Context(), &r, true); err != nil {
			return fmt.Errorf("read the request: %w", err)
		}
		w := &buffered{header: http.Header{}}
		h.ServeHTTP(w, r.WithContext(c.UserContext()))
		for k, values := range w.header {
			for _, v := range values {
				c.Response().Header.Add(k, v)
			}
		}
		if w.status != 0 {
			c.Status(w.status)
		}
		return c.Send(w.body.Bytes())
	})
}

// buffered keeps an answer until it is whole.
type buffered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *buffered) Header() http.Header { return w.header }

func (w *buffered) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *buffered) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
