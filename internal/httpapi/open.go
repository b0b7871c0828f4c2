package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/common/expfmt"

	"parley/internal/obs"
)

// openRoutes are for everybody on the network the listener is bound to: scrapers and load balancers have no token.
func (s *Server) openRoutes() {
	s.app.Get("/metrics", s.metrics)
	s.app.Get("/healthz", func(c *fiber.Ctx) error { return c.SendString("ok\n") })
	s.app.Get("/readyz", s.ready)
	document := s.document()
	s.app.Get("/openapi.json", func(c *fiber.Ctx) error {
		doc, err := document()
		if err != nil {
			return fmt.Errorf("render OpenAPI document: %w", err)
		}
		c.Set(fiber.HeaderContentType, "application/openapi+json")
		return c.Send(doc)
	})
}

// metrics writes the classic text format, the only one that carries gauges named _total and counters named _count
// unchanged. A collector that fails costs its own metrics, not the page.
func (s *Server) metrics(c *fiber.Ctx) error {
	if s.opts.Registry == nil {
		return fiber.ErrNotFound
	}
	families, err := s.opts.Registry.Gather()
	if err != nil {
		s.log.Error("gather metrics", "err", err)
		if len(families) == 0 {
			return fmt.Errorf("gather metrics: %w", err)
		}
	}
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	var page bytes.Buffer
	enc := expfmt.NewEncoder(&page, format)
	var errs []error
	for _, f := range families {
		errs = append(errs, enc.Encode(f))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("encode metrics: %w", err)
	}
	c.Set(fiber.HeaderContentType, "text/plain; version=0.0.4; charset=utf-8")
	return c.Send(page.Bytes())
}

// Readiness is the body of /readyz.
type Readiness struct {
	Service string      `json:"service"`
	Ready   bool        `json:"ready"`
	Level   obs.Level   `json:"level"`
	Checks  []obs.Check `json:"checks"`
}

// ready says whether the service can do its work, and why not: 200 when passing or degraded, 503 otherwise.
func (s *Server) ready(c *fiber.Ctx) error {
	r := Readiness{Service: s.opts.Service, Level: obs.LevelPass, Checks: []obs.Check{}}
	if s.opts.Health != nil {
		r.Level, r.Checks = s.opts.Health.Report()
	}
	r.Ready = r.Level >= obs.LevelDegraded
	status := http.StatusOK
	if !r.Ready {
		status = http.StatusServiceUnavailable
	}
	return c.Status(status).JSON(r)
}
