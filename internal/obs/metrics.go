package obs

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// JetStream is the redis_cluster_name (and kafka_location) of the fabric: the catalogue's names speak of Redis and
// Kafka, and what they measure here is the JetStream underneath.
const JetStream = "jetstream"

// NewRegistry returns the registry of one service, with the Go and process collectors and service_version_info.
// Every service has its own, so that two platforms live in one process and /metrics of a service shows that service;
// the go_ and process_ values are those of the whole process, because that is what there is.
func NewRegistry(version string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	VersionInfo(reg, version)
	return reg
}

// VersionInfo registers service_version_info: 1, with the running version as its label. NewRegistry has done it.
func VersionInfo(reg prometheus.Registerer, version string) {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "service_version_info",
		Help:        "Always 1; the version label names the running release.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	g.Set(1)
	reg.MustRegister(g)
}

// Gauge registers a gauge that asks value at each scrape. labels are constant for the life of the process, e.g.
// location; nil for none.
func Gauge(reg prometheus.Registerer, name, help string, labels prometheus.Labels, value func() float64) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value))
}

// Scale turns a level into the number a service's health metric uses.
type Scale func(Level) float64

// ScaleLevel is the scale of dialplan, sipfe, ors, registrar, sip and sipproxy: -1 fail, 0 starting, 1 degraded, 2 pass.
func ScaleLevel(l Level) float64 { return float64(l) }

// ScaleError is the scale of agent, callthread and config: -1 error, 0 fail, 1 degraded, 2 pass. A service that is
// still starting cannot serve, which this scale calls fail; -1 is kept for a check that could not be made, and a
// [Health] always can.
func ScaleError(l Level) float64 { return float64(max(l, LevelStarting)) }

// HealthGauge registers <service>_health_level or its like, with the level of h at each scrape.
func HealthGauge(reg prometheus.Registerer, name string, scale Scale, h *Health) {
	Gauge(reg, name, "Overall health of the service on this node.", nil, func() float64 {
		l, _ := h.Report()
		return scale(l)
	})
}

// State is a link's state on the scale of <service>_redis_state. The two-value metrics of the catalogue
// (*_config_node_status, *_envoy_proxy_status, kafka_*_state) know StateDisconnected and StateConnected only.
type State float64

// The states of a link.
const (
	StateError        State = -1
	StateDisconnected State = 0
	StateConnected    State = 1
	StateReady        State = 2 // connected, and what it needs there was found or made
)

// Connected tells whether a link is up, and why not; fabric.(*Fabric).Connected is one.
type Connected func() (ok bool, reason string)

// RedisState registers <service>_redis_state{location,redis_cluster_name}: the link to the JetStream, ready or
// disconnected. There is no state between: a fabric hands itself out only when its streams and buckets are usable.
func RedisState(reg prometheus.Registerer, name, location string, up Connected) {
	labels := prometheus.Labels{"location": location, "redis_cluster_name": JetStream}
	Gauge(reg, name, "State of the link to the JetStream: -1 error, 0 disconnected, 1 connected, 2 ready.", labels, func() float64 {
		if ok, _ := up(); ok {
			return float64(StateReady)
		}
		return float64(StateDisconnected)
	})
}

// LinkState registers a two-value state metric: 1 connected, 0 disconnected. labels may be nil.
func LinkState(reg prometheus.Registerer, name, help string, labels prometheus.Labels, up Connected) {
	Gauge(reg, name, help, labels, func() float64 {
		if ok, _ := up(); ok {
			return float64(StateConnected)
		}
		return float64(StateDisconnected)
	})
}
