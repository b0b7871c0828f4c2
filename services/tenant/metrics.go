package tenant

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcomes of a sign-in, as the label outcome tells them.
const (
	outcomeOK         = "ok"
	outcomeRefused    = "refused"    // wrong name or password, or the person is disabled
	outcomeLocked     = "locked"     // the name or the source failed too often
	outcomeOverloaded = "overloaded" // too many checks were waiting
	outcomeError      = "error"      // it could not be judged
)

// metrics are the service's own; the catalogue names none for it.
type metrics struct {
	signIns *prometheus.CounterVec // outcome
	tokens  *prometheus.CounterVec // how: sign_in, issue
	checks  *prometheus.CounterVec // outcome: ok, refused, error
	revokes prometheus.Counter     //
	seconds prometheus.Histogram   // of one argon2 verification, without waiting
	inUse   prometheus.Gauge       // verifications under way
}

func newMetrics(reg prometheus.Registerer, g *guard, r *revoked, now func() time.Time) *metrics {
	m := &metrics{
		signIns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_tenant_sign_ins_total", Help: "Sign-ins with name and password, by outcome.",
		}, []string{"outcome"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_tenant_tokens_issued_total", Help: "Bearer tokens issued, after a sign-in or without password.",
		}, []string{"how"}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_tenant_token_checks_total", Help: "Bearer tokens checked, by outcome.",
		}, []string{"outcome"}),
		revokes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "parley_tenant_tokens_revoked_total", Help: "Bearer tokens ended before their time.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "parley_tenant_password_check_seconds", Help: "Time of one password check, without the wait for it.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1},
		}),
		inUse: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "parley_tenant_password_checks", Help: "Password checks under way.",
		}),
	}
	for _, o := range []string{outcomeOK, outcomeRefused, outcomeLocked, outcomeOverloaded, outcomeError} {
		m.signIns.WithLabelValues(o)
	}
	locked := func(kind string, count func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "parley_tenant_locked", Help: "Names and sources that are locked out on this node.",
			ConstLabels: prometheus.Labels{"kind": kind},
		}, func() float64 { return float64(count()) })
	}
	reg.MustRegister(m.signIns, m.tokens, m.checks, m.revokes, m.seconds, m.inUse,
		locked("name", func() int { n, _ := g.lockedNow(now()); return n }),
		locked("source", func() int { _, n := g.lockedNow(now()); return n }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "parley_tenant_revoked_tokens", Help: "Revoked tokens that would not have expired yet.",
		}, func() float64 { return float64(r.size()) }),
	)
	return m
}
