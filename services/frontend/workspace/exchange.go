package workspace

import (
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// exchange is one request and where its answer goes.
type exchange struct {
	*http.Request
	w http.ResponseWriter
}

// handler answers an exchange. An error it returns is one of sending the answer.
type handler func(c *exchange) error

// reply sends body as JSON.
func (c *exchange) reply(status int, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, err = c.w.Write(text)
	return err
}

func (c *exchange) redirect(to string) error {
	c.w.Header().Set("Location", to)
	c.w.WriteHeader(http.StatusFound)
	return nil
}

// bytes is the body of the request, cut where it is too long for anything here.
func (c *exchange) bytes() []byte {
	b, err := io.ReadAll(io.LimitReader(c.Body, maxBody+1))
	if err != nil {
		return nil
	}
	return b
}

func (c *exchange) query(name string) string { return c.URL.Query().Get(name) }

// session is what the cookie says.
func (c *exchange) session() string {
	ck, err := c.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return ck.Value
}

// source is where the request comes from.
func (c *exchange) source() netip.Addr {
	from, err := netip.ParseAddrPort(c.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr().Unmap()
}

// sameOrigin compares Origin, where it is sent, with the host that was asked.
func (c *exchange) sameOrigin() bool {
	if site := c.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return false
	}
	origin := c.Header.Get("Origin")
	if origin == "" {
		return true
	}
	o, err := url.Parse(origin)
	return err == nil && strings.EqualFold(o.Host, c.Host)
}

// overTLS tells whether the other end speaks TLS, with us or with a proxy in front of us.
func (c *exchange) overTLS() bool {
	return c.TLS != nil || c.Header.Get("X-Forwarded-Proto") == "https"
}
