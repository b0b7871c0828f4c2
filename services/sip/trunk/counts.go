package trunk

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/voice"
)

// counts is what a trunk has counted since the process started, whatever its options became meanwhile.
type counts struct {
	calls             atomic.Int64 // in progress, both ways
	created, received atomic.Int64
	n4, n5, n6        atomic.Int64
	oos               atomic.Int64
}

// enter takes a place among at most capacity calls; 0 = no limit.
func (c *counts) enter(capacity int) bool {
	if n := c.calls.Add(1); capacity > 0 && n > int64(capacity) {
		c.calls.Add(-1)
		return false
	}
	return true
}

// said counts a final response by its class.
func (c *counts) said(status int) {
	switch status / 100 {
	case 4:
		c.n4.Add(1)
	case 5:
		c.n5.Add(1)
	case 6:
		c.n6.Add(1)
	}
}

// collector shows the trunks as the catalogue of the family names them; running totals are gauges there.
type collector struct{ t *Table }

// family is the series of one metric, for trunks or for softswitches.
type family struct {
	desc  *prometheus.Desc
	value func(*Trunk) (v float64, there bool)
}

var labels = []string{"device_name", "tenant"}

func describe(name, help string, value func(*Trunk) (float64, bool)) family {
	return family{prometheus.NewDesc(name, help, labels, nil), value}
}

func families(prefix, what string) []family {
	total := func(pick func(*counts) *atomic.Int64) func(*Trunk) (float64, bool) {
		return func(tr *Trunk) (float64, bool) { return float64(pick(tr.counts).Load()), true }
	}
	return []family{
		describe(prefix+"in_service", "Whether the "+what+" is in service: 1, or 0. Nothing where nobody asks.", (*Trunk).inService),
		describe(prefix+"noos_detected", "Times the "+what+" was found out of service.", total(func(c *counts) *atomic.Int64 { return &c.oos })),
		describe(prefix+"ncallscreated", "Calls made over the "+what+".", total(func(c *counts) *atomic.Int64 { return &c.created })),
		describe(prefix+"n4xx_received", "Answers 4xx from the "+what+".", total(func(c *counts) *atomic.Int64 { return &c.n4 })),
		describe(prefix+"n5xx_received", "Answers 5xx from the "+what+".", total(func(c *counts) *atomic.Int64 { return &c.n5 })),
		describe(prefix+"n6xx_received", "Answers 6xx from the "+what+".", total(func(c *counts) *atomic.Int64 { return &c.n6 })),
	}
}

// inService is 1 or 0 of what is known to be so.
func (tr *Trunk) inService() (float64, bool) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	switch tr.state {
	case contract.TrunkInService:
		return 1, true
	case contract.TrunkOutOfService:
		return 0, true
	}
	return 0, false
}

func (c *collector) families() map[voice.DNType][]family {
	return map[voice.DNType][]family{
		voice.DNTrunk:      families("sips_trunk_", "trunk"),
		voice.DNSoftswitch: families("sips_softswitch_", "softswitch"),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- cachedDesc
	ch <- syncedDesc
	for _, list := range c.families() {
		for _, f := range list {
			ch <- f.desc
		}
	}
}

// What the node knows of trunks altogether.
var (
	cachedDesc = prometheus.NewDesc("trunk_config_cached_count", "Trunks and softswitches known from the configuration.", nil, nil)
	syncedDesc = prometheus.NewDesc("trunk_config_synced_count", "Trunks and softswitches whose settings the node has taken over.", nil, nil)
)

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	all, trunks := c.families(), c.t.all()
	ch <- prometheus.MustNewConstMetric(cachedDesc, prometheus.GaugeValue, float64(len(c.t.dir.Trunks())))
	ch <- prometheus.MustNewConstMetric(syncedDesc, prometheus.GaugeValue, float64(len(trunks)))
	for _, tr := range trunks {
		for _, f := range all[tr.Type] {
			if v, there := f.value(tr); there {
				ch <- prometheus.MustNewConstMetric(f.desc, prometheus.GaugeValue, v, tr.DN, tr.Tenant)
			}
		}
	}
}
