package room

import (
	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/obs"
)

// metrics of the rooms.
type metrics struct {
	entered  prometheus.Counter
	recorded prometheus.Counter
}

func newMetrics(r *Rooms, reg prometheus.Registerer) *metrics {
	m := &metrics{
		entered:  prometheus.NewCounter(prometheus.CounterOpts{Name: "parley_conference_entered_total", Help: "Calls that entered a conference."}),
		recorded: prometheus.NewCounter(prometheus.CounterOpts{Name: "parley_conference_recorded_seconds_total", Help: "Sound of conferences that was recorded."}),
	}
	reg.MustRegister(m.entered, m.recorded)
	obs.Gauge(reg, "parley_conference_rooms", "Conferences on this node.", nil, func() float64 {
		r.mu.Lock()
		defer r.mu.Unlock()
		return float64(len(r.rooms))
	})
	for _, role := range []contract.ConferenceRole{contract.RoleTalker, contract.RoleObserver, contract.RoleCoach} {
		obs.Gauge(reg, "parley_conference_participants", "Calls in conferences, by role.", prometheus.Labels{"role": string(role)}, func() float64 {
			r.mu.Lock()
			defer r.mu.Unlock()
			n := 0
			for _, p := range r.calls {
				if p.Role == role {
					n++
				}
			}
			return float64(n)
		})
	}
	return m
}
