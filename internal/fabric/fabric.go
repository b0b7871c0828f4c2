package fabric

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// InProcess hands out connections to an embedded nats-server; services/rq provides it.
type InProcess interface {
	InProcessConn() (net.Conn, error)
}

// Options says how to reach the JetStream and how to use it.
type Options struct {
	Node     string                // id of this node; part of subjects and events
	Server   InProcess             // the embedded server; nil means URL
	URL      string                // nats://host:port[,...] of an outside server, used when Server is nil
	Replicas int                   // 1 on one node, 3 in a cluster
	Buffer   int                   // events waiting to be published at the most; 0 = 65,536
	Registry prometheus.Registerer // may be nil
	Log      *slog.Logger
}

// Fabric is one node's client of the JetStream under everything. All methods may be called at once.
type Fabric struct{}

// Connect connects, creates or reconciles the streams and buckets of the platform, and returns when they are usable.
func Connect(ctx context.Context, opts Options) (*Fabric, error) { panic("fabric: being built") }

// Close publishes what waits (bounded by ctx), drains and disconnects.
func (f *Fabric) Close(ctx context.Context) error { panic("fabric: being built") }

// Node is the id of this node.
func (f *Fabric) Node() string { panic("fabric: being built") }

// Connected tells whether the connection to the JetStream is up; reason says why not.
func (f *Fabric) Connected() (ok bool, reason string) { panic("fabric: being built") }

// Event is one message for a stream.
type Event struct {
	Subject string // built with Subject(...); its first token chooses the stream
	MsgID   string // for duplicate suppression within the stream's window; empty = none
	Payload any    // marshalled as JSON, or []byte taken as it is; not to be changed after the call
}

// Publish queues ev and returns at once. Events of one subject are stored in the order of Publish.
// It returns voice.ErrOverloaded, and counts, when the buffer is full: the event is then lost, and said so.
func (f *Fabric) Publish(ev Event) error { panic("fabric: being built") }

// PublishSync stores ev and returns when it is stored (on disk where the stream's class demands it).
func (f *Fabric) PublishSync(ctx context.Context, ev Event) (seq uint64, err error) {
	panic("fabric: being built")
}

// Flush waits until every event published before the call is stored or counted as lost.
func (f *Fabric) Flush(ctx context.Context) error { panic("fabric: being built") }

// Message is one event read back from a stream.
type Message struct {
	Subject []string // unescaped tokens
	Data    []byte
	Seq     uint64 // stream sequence
	Time    time.Time
}

// From says where a subscription starts.
type From struct {
	New bool   // only what is published from now on
	Seq uint64 // from this stream sequence on; 0 = from the first
}

// Subscribe calls fn for each event of stream that matches filter, in stream order, on one goroutine, until
// ctx ends. It survives reconnects without loss or repeat. filter is built with Subject and may hold Any or Rest.
func (f *Fabric) Subscribe(ctx context.Context, stream, filter string, from From, fn func(Message)) error {
	panic("fabric: being built")
}
