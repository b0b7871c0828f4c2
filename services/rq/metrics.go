package rq

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Values of rqnode_redis_state; what it tells of here is the JetStream.
const (
	stateDisconnected = 0
	stateConnected    = 1 // running, not ready for writes
	stateReady        = 2
)

// metrics are the catalogue's names for this service. rqnode_xreads and rqnode_xadds belong to the Redis-protocol
// door, rqnode_consul_leader_error to a Consul that is not here: absent, not zero.
type metrics struct {
	addLatency   *prometheus.HistogramVec
	readLatency  *prometheus.HistogramVec
	redisLatency prometheus.Histogram
	disconnects  prometheus.Counter
}

var millis = []float64{.1, .25, .5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000}

func newMetrics(s *Service, reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		addLatency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "rqnode_add_latency", Buckets: millis,
			Help: "Milliseconds from a message being sent until the JetStream has it."}, []string{"healthcheck"}),
		readLatency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "rqnode_read_latency", Buckets: millis,
			Help: "Milliseconds from a message being stored until a client has read it."}, []string{"healthcheck"}),
		redisLatency: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "rqnode_redis_latency", Buckets: millis,
			Help: "Milliseconds spent waiting for reads from and writes to the JetStream."}),
		disconnects: prometheus.NewCounter(prometheus.CounterOpts{Name: "rqnode_redis_disconnects",
			Help: "Times the JetStream stopped taking writes."}),
	}
	for _, h := range []*prometheus.HistogramVec{m.addLatency, m.readLatency} {
		h.WithLabelValues("true") // there from the start, so that a rate over it has a beginning
	}
	if reg == nil {
		return m, nil
	}
	gauge := func(name, help string, fn func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, fn)
	}
	for _, c := range []prometheus.Collector{
		m.addLatency, m.readLatency, m.redisLatency, m.disconnects,
		gauge("rqnode_clients", "Clients connected at present, in the process and outside.", s.clients),
		gauge("rqnode_streams", "Streams of this node, buckets among them.", s.streams),
		gauge("rqnode_redis_state", "State of the JetStream: 0 = not running, 1 = running, 2 = takes writes.", s.state),
		gauge("rqnode_active_master", "Whether this node leads the cluster; a single node does.", s.master),
		gauge("rqnode_active_backup", "Whether this node stands by to lead the cluster.", s.backup),
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (s *Service) clients() float64 {
	srv := s.running()
	if srv == nil {
		return 0
	}
	return float64(srv.NumClients())
}

func (s *Service) streams() float64 {
	srv := s.running()
	if srv == nil {
		return 0
	}
	js, err := srv.Jsz(nil)
	if err != nil {
		return 0
	}
	return float64(js.Streams)
}

func (s *Service) state() float64 {
	if ok, _ := s.Ready(); ok {
		return stateReady
	}
	if s.running() != nil {
		return stateConnected
	}
	return stateDisconnected
}

func (s *Service) master() float64 {
	srv := s.running()
	if srv != nil && srv.JetStreamEnabled() && (!s.cfg.Clustered() || srv.JetStreamIsLeader()) {
		return 1
	}
	return 0
}

func (s *Service) backup() float64 {
	srv := s.running()
	if srv != nil && s.cfg.Clustered() && !srv.JetStreamIsLeader() && srv.JetStreamIsCurrent() {
		return 1
	}
	return 0
}
