package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/voice"
)

// InProcess hands out connections to an embedded nats-server; services/rq provides it. If it also has a method
// Credentials() (user, password string), that is what Connect presents. If it is a [Syncer], promises are synced through it.
type InProcess interface {
	InProcessConn() (net.Conn, error)
}

// Options says how to reach the JetStream and how to use it.
type Options struct {
	Node     string                // id of this node; part of subjects and events
	Server   InProcess             // the embedded server; nil means URL
	URL      string                // nats://host:port[,...] of an outside server, used when Server is nil
	User     string                // credentials, if the server asks for any
	Password string                //
	Replicas int                   // 1 on one node, 3 in a cluster; 0 = 1
	Buffer   int                   // events waiting to be published at the most; 0 = 65,536
	Limits   map[string]Limits     // by name of stream or bucket; what is absent has its default
	Registry prometheus.Registerer // may be nil; see Collector for what each service exposes
	Log      *slog.Logger          // nil = discard
}

// Fabric is one node's client of the JetStream under everything. All methods may be called at once.
type Fabric struct {
	node     string
	sole     bool // see Sole
	log      *slog.Logger
	nc       *nats.Conn
	js       jetstream.JetStream
	puts     *acks      // acknowledgements of bucket writes
	pub      *publisher // events
	consumed *consumed  // what subscriptions count
	doors    doors
	buckets  map[string]*Bucket
	spare    sync.Pool // of *asyncMsg

	ctx    context.Context // ends with Close; owned by the watches' feeds
	cancel context.CancelFunc
	wg     sync.WaitGroup // feeds and slow puts

	mu         sync.Mutex
	lostAt     time.Time // when the connection broke; zero while it is up
	lostReason string
	followers  map[*follower]struct{} // told when the connection is back
	closed     bool
}

// Errors of the fabric itself; each wraps the sentinel that callers test for.
var (
	errClosed   = voice.Errorf(voice.ErrUnavailable, "the fabric is closed")
	errLost     = voice.Errorf(voice.ErrUnavailable, "the connection to the JetStream is down")
	errNoStream = voice.Errorf(voice.ErrUnavailable, "no JetStream answers for the stream")
	errCrowded  = voice.Errorf(voice.ErrTimeout, "too many messages are under way to the JetStream")
	errNoAck    = voice.Errorf(voice.ErrTimeout, "no acknowledgement from the JetStream in time")
)

const (
	defaultBuffer = 65536
	putWindow     = 4096 // bucket writes under way
	reconnectWait = 250 * time.Millisecond
)

// Connect connects, creates or reconciles the streams and buckets of the platform, and returns when they are usable.
// In a cluster it tries until ctx ends, since the streams cannot be made before the other nodes are there: give ctx a
// deadline.
func Connect(ctx context.Context, opts Options) (*Fabric, error) {
	if opts.Node == "" {
		return nil, errors.New("fabric: node id is missing")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Buffer <= 0 {
		opts.Buffer = defaultBuffer
	}
	f := &Fabric{
		node: opts.Node, log: opts.Log, followers: map[*follower]struct{}{},
		spare: sync.Pool{New: newAsyncMsg},
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	if err := f.open(ctx, opts); err != nil {
		f.cancel()
		if f.nc != nil {
			f.nc.Close()
		}
		return nil, fmt.Errorf("fabric: %w", err)
	}
	return f, nil
}

// Sole tells whether nobody but this process can write to the buckets: the server is embedded, and takes neither
// clients from outside nor other nodes. Whoever remembers all own writes then needs no watch.
func (f *Fabric) Sole() bool { return f.sole }

func (f *Fabric) open(ctx context.Context, opts Options) (err error) {
	if s, ok := opts.Server.(interface{ Sole() bool }); ok {
		f.sole = s.Sole()
	}
	if f.nc, err = nats.Connect(opts.URL, f.natsOptions(opts)...); err != nil {
		return err
	}
	if f.js, err = jetstream.New(f.nc); err != nil {
		return err
	}
	r := reconciler{js: f.js, log: f.log, replicas: max(opts.Replicas, 1), limits: opts.Limits, clustered: f.nc.ConnectedClusterName() != ""}
	if !r.clustered {
		r.syncer, _ = opts.Server.(Syncer)
	}
	replicas, err := r.run(ctx)
	if err != nil {
		return err
	}
	if f.puts, err = newAcks(f.nc, putWindow); err != nil {
		return err
	}
	if f.pub, err = newPublisher(f.nc, opts.Buffer, r.syncer, f.log); err != nil {
		return err
	}
	f.consumed = newConsumed()
	f.doors.init(f)
	f.buckets = make(map[string]*Bucket, len(bucketSpecs))
	for _, s := range bucketSpecs {
		f.buckets[s.name] = newBucket(f, s.name, replicas[kvStream(s.name)])
	}
	if opts.Registry != nil {
		return opts.Registry.Register(f.Collector(AllMetrics()))
	}
	return nil
}

func (f *Fabric) natsOptions(opts Options) []nats.Option {
	o := []nats.Option{
		nats.Name("parley " + opts.Node),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait/2, reconnectWait/2),
		nats.ReconnectBufSize(-1), // fail at once while disconnected; whoever may wait retries itself
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { f.onLost(err) }),
		nats.ReconnectHandler(func(*nats.Conn) { f.onBack() }),
		nats.ErrorHandler(f.onAsyncError),
	}
	if c, ok := opts.Server.(interface {
		Credentials() (user, password string)
	}); ok && opts.User == "" {
		opts.User, opts.Password = c.Credentials()
	}
	if opts.User != "" {
		o = append(o, nats.UserInfo(opts.User, opts.Password))
	}
	if opts.Server != nil {
		o = append(o, nats.InProcessServer(opts.Server))
	}
	return o
}

func (f *Fabric) onLost(err error) {
	reason := "disconnected"
	if err != nil {
		reason = err.Error()
	}
	f.mu.Lock()
	closed := f.closed
	f.lostAt, f.lostReason = time.Now(), reason
	f.mu.Unlock()
	if closed {
		return
	}
	f.log.LogAttrs(f.ctx, slog.LevelWarn, "connection to the JetStream lost", slog.String("reason", reason))
	if f.puts != nil {
		f.puts.failAll(errLost)
	}
	if f.pub != nil {
		f.pub.acks.failAll(errLost)
	}
}

func (f *Fabric) onBack() {
	f.mu.Lock()
	away := time.Since(f.lostAt)
	f.lostAt, f.lostReason = time.Time{}, ""
	for w := range f.followers {
		w.poke()
	}
	f.mu.Unlock()
	f.log.LogAttrs(f.ctx, slog.LevelInfo, "connection to the JetStream is back", slog.Duration("away", away))
	f.pub.kick()
}

func (f *Fabric) onAsyncError(_ *nats.Conn, sub *nats.Subscription, err error) {
	attrs := []slog.Attr{slog.Any("err", err)}
	if sub != nil {
		attrs = append(attrs, slog.String("subject", sub.Subject))
	}
	f.log.LogAttrs(f.ctx, slog.LevelWarn, "NATS reports an error", attrs...)
}

// Close publishes what waits (bounded by ctx), drains and disconnects. Doors stop being served, watches and
// subscriptions end, and what could not be stored is counted and returned as an error.
func (f *Fabric) Close(ctx context.Context) error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	f.mu.Unlock()
	f.doors.close(ctx)
	err := f.pub.close(ctx)
	f.cancel()
	f.puts.close()
	f.wg.Wait()
	if f.nc.IsConnected() { // the consumers' removal; they would end by themselves a little later
		if flushErr := f.nc.FlushTimeout(time.Second); flushErr != nil {
			f.log.LogAttrs(ctx, slog.LevelDebug, "connection not flushed", slog.Any("err", flushErr))
		}
	}
	f.nc.Close()
	return err
}

// Node is the id of this node.
func (f *Fabric) Node() string { return f.node }

// Connected tells whether the connection to the JetStream is up; reason says why not.
func (f *Fabric) Connected() (ok bool, reason string) {
	if f.nc.IsConnected() {
		return true, ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return false, "the fabric is closed"
	case f.lostAt.IsZero():
		return false, "connecting to the JetStream"
	default:
		return false, fmt.Sprintf("no connection to the JetStream since %s: %s", f.lostAt.Format(time.TimeOnly), f.lostReason)
	}
}

// publishError says what a failed publish means for the caller.
func publishError(err error) error {
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return voice.Errorf(voice.ErrInvalid, "the message is larger than the server takes")
	case errors.Is(err, nats.ErrBadSubject):
		return voice.Errorf(voice.ErrInvalid, "bad subject")
	case errors.Is(err, nats.ErrConnectionClosed):
		return errClosed
	default:
		return errLost
	}
}
