package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"net/url"

	"github.com/gofiber/fiber/v2"
)

// Mount gives h every request whose path begins with prefix, which ends in "/". It is for interfaces whose shape others have
// laid down, so that they need neither OpenAPI nor the library underneath; they are open to all and have to ask for
// credentials themselves. The body is read before h runs and the answer sent when it returns. The context of a request
// ends when the server gives up on requests in progress; a handler that waits looks at [Server.Stopping] too.
func (s *Server) Mount(prefix string, h http.Handler) {
	s.app.All(prefix+"*", func(c *fiber.Ctx) error {
		r, err := requestOf(c)
		if err != nil {
			return fiber.ErrBadRequest
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

// requestOf copies a request: what Fiber gives are views into buffers that the next request of the connection overwrites, and a
// handler may keep what it is given. The adaptor of fasthttp does not copy.
func requestOf(c *fiber.Ctx) (*http.Request, error) {
	in := c.Context()
	uri := string(in.RequestURI())
	u, err := url.ParseRequestURI(uri)
	if err != nil {
		return nil, err
	}
	body := bytes.Clone(c.Body())
	r := &http.Request{
		Method: string(in.Method()), URL: u, RequestURI: uri, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Host: string(in.Host()), RemoteAddr: in.RemoteAddr().String(), TLS: in.TLSConnectionState(),
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	for k, v := range in.Request.Header.All() {
		if key := string(k); key != fiber.HeaderHost { // it is r.Host, as net/http has it
			r.Header.Add(key, string(v))
		}
	}
	return r, nil
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
