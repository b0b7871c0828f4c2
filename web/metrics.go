package web

import (
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"parley/web/live"
)

// metrics are the service's own; the catalogue names none for the pages.
type metrics struct {
	requests      *prometheus.CounterVec // method, code
	seconds       prometheus.Histogram
	csrf          prometheus.Counter
	streamsOpened prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, hub *live.Hub, h *handouts) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_web_requests_total", Help: "Page requests answered, by method and status code.",
		}, []string{"method", "code"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "parley_web_request_seconds", Help: "Time to answer a page request.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
		csrf: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "parley_web_forms_refused_total", Help: "Forms refused because they did not come from a page of the session.",
		}),
		streamsOpened: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "parley_web_streams_opened_total", Help: "Live streams opened by pages.",
		}),
	}
	reg.MustRegister(m.requests, m.seconds, m.csrf, m.streamsOpened,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "parley_web_streams", Help: "Live streams open.",
		}, func() float64 { return float64(hub.Stats().Open) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "parley_web_streams_overrun_total", Help: "Live streams ended because the page could not keep up.",
		}, func() float64 { return float64(hub.Stats().Overrun) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "parley_web_handouts", Help: "Provisioning documents waiting to be fetched by a phone.",
		}, func() float64 { return float64(h.waiting()) }),
	)
	return m
}

func (m *metrics) request(method string, code int, took time.Duration) {
	// A label is kept for good, and the string given is a view into a buffer that Fiber uses again.
	switch method {
	case fiber.MethodGet:
		method = fiber.MethodGet
	case fiber.MethodPost:
		method = fiber.MethodPost
	default:
		method = "other"
	}
	m.requests.WithLabelValues(method, strconv.Itoa(code)).Inc()
	m.seconds.Observe(took.Seconds())
}
