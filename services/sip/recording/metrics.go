package recording

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/obs"
)

// metrics of the recordings. sips_call_recording_failed is of the family's catalogue, where running totals are gauges.
type metrics struct {
	failed  atomic.Int64
	stored  atomic.Int64 // bytes, by the last sweep
	begun   *prometheus.CounterVec
	deleted *prometheus.CounterVec
	seconds prometheus.Counter
}

func newMetrics(r *Recordings, reg prometheus.Registerer) *metrics {
	m := &metrics{
		begun: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "parley_recordings_total",
			Help: "Recordings of calls that began, by what asked for them."}, []string{"reason"}),
		deleted: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "parley_recordings_deleted_total",
			Help: "Recordings that were deleted: for their age, for want of room, or by a request."}, []string{"why"}),
		seconds: prometheus.NewCounter(prometheus.CounterOpts{Name: "parley_recorded_seconds_total", Help: "Length of the recordings of calls that ended."}),
	}
	reg.MustRegister(m.begun, m.deleted, m.seconds)
	obs.Gauge(reg, "sips_call_recording_failed", "Recordings that could not begin, or that the disk ended.", nil, func() float64 { return float64(m.failed.Load()) })
	obs.Gauge(reg, "parley_recordings", "Calls that are recorded now.", nil, func() float64 {
		r.mu.Lock()
		defer r.mu.Unlock()
		return float64(len(r.tapes))
	})
	obs.Gauge(reg, "parley_recordings_bytes", "Size of the recordings of calls in the store.", nil, func() float64 { return float64(m.stored.Load()) })
	return m
}
