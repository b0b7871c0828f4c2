package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"parley/internal/voice"
)

const (
	// maxInProgress bounds the requests one door has in progress; more are refused with voice.ErrOverloaded.
	maxInProgress = 4096

	doorRoot      = "door."
	doorQueue     = "doors"
	doorVersion   = "1.0.0" // of the wire form
	headerTimeout = "Parley-Timeout"
)

var doorName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func subjectOf(service, name string) string { return doorRoot + service + "." + name }

func nodeSubjectOf(service, name, node string) string {
	return doorRoot + service + "." + name + ".node." + Token(node)
}

// doors are those this process serves, and their NATS micro services: one a service name, with an endpoint a door.
type doors struct {
	f    *Fabric
	open sync.Map // Service.Name -> *local[Req, Resp]

	mu       sync.Mutex // guards services and the making of endpoints
	services map[string]*served
	closed   bool
}

// served is one micro service and the doors it has.
type served struct {
	name  string
	micro micro.Service
	doors map[string]*endpoint
}

// endpoint is one door of a service.
type endpoint struct {
	name string
	gate *gate
	fn   func(context.Context, []byte) ([]byte, error)
}

func (d *doors) init(f *Fabric) {
	d.f = f
	d.services = map[string]*served{}
}

// find returns the *local of a door, or nil.
func (d *doors) find(id string) any {
	l, _ := d.open.Load(id)
	return l
}

// serve makes a door reachable: in the process under its id, elsewhere as an endpoint of its service.
func (d *doors) serve(ctx context.Context, service, name string, l any, g *gate, fn func(context.Context, []byte) ([]byte, error)) (func(), error) {
	if !doorName.MatchString(service) || !doorName.MatchString(name) {
		return nil, fmt.Errorf("door %q of %q: names are letters, digits, '-' and '_'", name, service)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	if _, taken := d.open.LoadOrStore(g.name, l); taken {
		return nil, voice.Errorf(voice.ErrExists, "door %s is already served by this node", g.name)
	}
	if err := d.addLocked(service, &endpoint{name, g, fn}); err != nil {
		d.open.Delete(g.name)
		return nil, fmt.Errorf("door %s: %w", g.name, err)
	}
	var once sync.Once
	stop := func() { once.Do(func() { d.stop(service, name, g) }) }
	release := context.AfterFunc(ctx, stop)
	return func() { release(); stop(); g.wait(context.Background()) }, nil
}

func (d *doors) addLocked(service string, e *endpoint) error {
	s := d.services[service]
	if s == nil {
		m, err := d.announce(service)
		if err != nil {
			return err
		}
		s = &served{name: service, micro: m, doors: map[string]*endpoint{}}
		d.services[service] = s
	}
	s.doors[e.name] = e
	if err := d.endpoints(s, e); err != nil {
		return err
	}
	// The server knows of the subscription when it has answered a ping: who calls now is served.
	return d.f.nc.FlushTimeout(apiTimeout)
}

// endpoints adds the two subjects of a door: the queue group's and the node's own.
func (d *doors) endpoints(s *served, e *endpoint) error {
	h := micro.HandlerFunc(func(r micro.Request) { d.handle(e, r) })
	if err := s.micro.AddEndpoint(e.name, h, micro.WithEndpointSubject(subjectOf(s.name, e.name))); err != nil {
		return err
	}
	return s.micro.AddEndpoint(e.name+"-node", h, micro.WithEndpointSubject(nodeSubjectOf(s.name, e.name, d.f.node)),
		micro.WithEndpointQueueGroupDisabled())
}

// stop closes one door. micro cannot take one endpoint away, so the service is made anew without it: then no request
// for a closed door comes to this node, and another node of the queue group serves it.
func (d *doors) stop(service, name string, g *gate) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g.shut()
	s := d.services[service]
	if s == nil || s.doors[name] == nil || s.doors[name].gate != g {
		return // closed with the fabric
	}
	d.open.Delete(g.name)
	old := s.micro
	delete(s.doors, name)
	if len(s.doors) == 0 {
		delete(d.services, service)
	} else if err := d.renewLocked(s); err != nil {
		d.f.log.LogAttrs(d.f.ctx, slog.LevelWarn, "door still announced", slog.String("door", g.name), slog.Any("err", err))
		return // its requests are answered with voice.ErrUnavailable
	}
	d.withdraw(service, old)
}

// renewLocked makes the micro service of s anew, with the doors it has now, beside the old one.
func (d *doors) renewLocked(s *served) error {
	m, err := d.announce(s.name)
	if err != nil {
		return err
	}
	old := s.micro
	s.micro = m
	for _, e := range s.doors {
		if err := d.endpoints(s, e); err != nil {
			s.micro = old
			d.withdraw(s.name, m)
			return err
		}
	}
	return nil
}

func (d *doors) announce(service string) (micro.Service, error) {
	return micro.AddService(d.f.nc, micro.Config{
		Name: service, Version: doorVersion, Description: "Parley " + service,
		Metadata: map[string]string{"node": d.f.node}, QueueGroup: doorQueue,
	})
}

func (d *doors) withdraw(service string, m micro.Service) {
	if err := m.Stop(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		d.f.log.LogAttrs(d.f.ctx, slog.LevelWarn, "service not withdrawn", slog.String("service", service), slog.Any("err", err))
	}
}

// close closes all doors and waits for requests in progress until ctx ends.
func (d *doors) close(ctx context.Context) {
	d.mu.Lock()
	d.closed = true
	var gates []*gate
	for name, s := range d.services {
		for _, e := range s.doors {
			e.gate.shut()
			d.open.Delete(e.gate.name)
			gates = append(gates, e.gate)
		}
		delete(d.services, name)
		d.withdraw(name, s.micro)
	}
	d.mu.Unlock()
	for _, g := range gates {
		g.wait(ctx)
	}
}

// handle answers one request from the wire, on a goroutine of its own: micro delivers one at a time.
func (d *doors) handle(e *endpoint, r micro.Request) {
	if err := e.gate.enter(); err != nil {
		d.respondError(r, err)
		return
	}
	data, header := r.Data(), r.Headers()
	go func() {
		defer e.gate.leave()
		ctx, cancel := context.WithTimeout(d.f.ctx, wireTimeout(header.Get(headerTimeout)))
		defer cancel()
		resp, err := e.fn(ctx, data)
		if err != nil {
			d.respondError(r, err)
			return
		}
		if limit := d.f.nc.MaxPayload(); int64(len(resp)) > limit {
			d.f.log.LogAttrs(ctx, slog.LevelError, "answer too large", slog.String("door", e.gate.name), slog.Int("bytes", len(resp)))
			d.respondError(r, voice.Errorf(voice.ErrInvalid, "the answer has %d bytes, more than the %d that travel: ask for less", len(resp), limit))
			return
		}
		if err := r.Respond(resp); err != nil {
			d.f.log.LogAttrs(ctx, slog.LevelWarn, "answer not sent", slog.String("door", e.gate.name), slog.Any("err", err))
		}
	}()
}

// respondError sends err.
func (d *doors) respondError(r micro.Request, err error) {
	code, msg, fields := encodeError(err)
	if err := r.Error(code, msg, fields); err != nil {
		d.f.log.LogAttrs(d.f.ctx, slog.LevelWarn, "answer not sent", slog.String("subject", r.Subject()), slog.Any("err", err))
	}
}

// wireTimeout reads the milliseconds a caller still waits.
func wireTimeout(s string) time.Duration {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms <= 0 || ms > int64(time.Hour/time.Millisecond) {
		return defaultCallTimeout
	}
	return time.Duration(ms) * time.Millisecond
}

// request sends one request over NATS and returns the answer's body, or the error that came instead.
func (f *Fabric) request(ctx context.Context, id, subject string, data []byte) ([]byte, error) {
	left := time.Second
	if d, ok := ctx.Deadline(); ok {
		left = time.Until(d)
	}
	m := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{
		headerTimeout: {strconv.FormatInt(max(left.Milliseconds(), 1), 10)},
	}}
	answer, err := f.nc.RequestMsgWithContext(ctx, m)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, unserved(id)
	}
	if err != nil {
		return nil, requestError(ctx, err)
	}
	if code := answer.Header.Get(micro.ErrorCodeHeader); code != "" {
		return nil, decodeError(code, answer.Header.Get(micro.ErrorHeader), answer.Data)
	}
	return answer.Data, nil
}

func unserved(id string) error {
	return voice.Errorf(voice.ErrUnavailable, "nobody serves %s at the moment", id)
}

// requestError says what a failed request means for the caller.
func requestError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctxError(ctx)
	case errors.Is(err, nats.ErrTimeout):
		return voice.Errorf(voice.ErrTimeout, "no answer in time")
	case errors.Is(err, nats.ErrNoResponders):
		return errNoStream
	default:
		return publishError(err)
	}
}

// gate counts the requests in progress on a door and closes it.
type gate struct {
	f        *Fabric
	name     string // Service.Name
	progress atomic.Int64
	closed   atomic.Bool
	idle     chan struct{} // closed when shut and nothing is in progress
	idleOnce sync.Once
}

var errBusy = voice.Errorf(voice.ErrOverloaded, "too many requests in progress")

func (g *gate) init(f *Fabric, name string) {
	g.f, g.name, g.idle = f, name, make(chan struct{})
}

func (g *gate) open() bool { return !g.closed.Load() }

// enter counts a request in, or says why not.
func (g *gate) enter() error {
	if g.progress.Add(1) > maxInProgress {
		g.leave()
		return errBusy
	}
	if g.closed.Load() {
		g.leave()
		return unserved(g.name)
	}
	return nil
}

func (g *gate) leave() {
	if g.progress.Add(-1) == 0 && g.closed.Load() {
		g.idleOnce.Do(func() { close(g.idle) })
	}
}

func (g *gate) shut() {
	g.closed.Store(true)
	g.progress.Add(1)
	g.leave() // closes idle if nothing was in progress
}

func (g *gate) wait(ctx context.Context) {
	select {
	case <-g.idle:
	case <-ctx.Done():
	}
}

// panicked turns a panic of a handler into an error, and the log gets the rest.
func (g *gate) panicked(p any) error {
	g.f.log.LogAttrs(g.f.ctx, slog.LevelError, "handler panicked", slog.String("door", g.name),
		slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	return voice.Errorf(voice.ErrInternal, "internal error")
}

// outward is err as callers may see it, here and elsewhere.
func (g *gate) outward(ctx context.Context, err error) error {
	out := outwardError(err)
	if out.Code == "internal" && !errors.Is(err, voice.ErrInternal) {
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			return context.Canceled
		}
		g.f.log.LogAttrs(ctx, slog.LevelError, "door failed", slog.String("door", g.name), slog.Any("err", err))
	}
	return out
}

// guard runs a callback and turns its panic into a log line: one bad event must not end the process.
func guard(log *slog.Logger, who string, fn func()) {
	defer func() {
		if p := recover(); p != nil {
			log.LogAttrs(context.Background(), slog.LevelError, "callback panicked", slog.String("callback", who),
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	fn()
}
