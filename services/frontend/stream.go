package frontend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/httpapi"
	"parley/internal/voice"
)

// eventsInput is what a client says of the events it wants.
type eventsInput struct {
	Tenant   string   `path:"tenant" maxLength:"128" doc:"Name of the tenant"`
	DN       []string `query:"dn,explode" maxItems:"100" doc:"Events of these DNs only (ThisDN)"`
	Agent    string   `query:"agent" maxLength:"128" doc:"Events of this person's DNs, or with this AgentID"`
	Call     string   `query:"call" maxLength:"64" doc:"Events of the call with this ConnID, CallUUID or CallThreadID"`
	Type     []string `query:"type,explode" maxItems:"100" doc:"Events of these names only, such as EventRinging"`
	Register bool     `query:"register" doc:"Only events of DNs registered by RequestRegisterAddress on the WebSocket; none at first"`
	After    string   `query:"after" maxLength:"80" doc:"Go on behind this event: an id of an earlier stream"`
	Last     string   `header:"Last-Event-ID" maxLength:"80" doc:"The same, as browsers send it"`

	Authorization string `header:"Authorization" hidden:"true"`
	Upgrade       string `header:"Upgrade" hidden:"true"`
}

// stream is one client that follows events.
type stream struct {
	cursor *cursor
	who    voice.Principal // as the token said at first, or last; guarded by the hub
	tenant string
	token  string
	after  *position // to go on from; nil = from now on
}

// principal is who follows.
func (st *stream) principal(s *Service) (p voice.Principal) {
	s.hub.edit(st.cursor, func(*filter) { p = st.who })
	return p
}

// client is how a stream is written: as server-sent events or by WebSocket. All are called by one goroutine.
type client interface {
	event(e *event) error
	reply(a *Answer) error
	beat(at position) error                // nothing has happened for a while, or the stream begins
	lost(at position, reason string) error // events that came before this place are not there any more
	flush() error
	end(reason, sentence string) // the last word; it may fail
}

func (s *Service) eventsREST(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	st, err := s.newStream(ctx, in)
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	return s.rest.Take(func(conn net.Conn, r *http.Request) {
		ctx, done, ok := s.opened()
		if !ok {
			return // the service stops
		}
		defer done()
		leave, e := s.open.enter(st.tenant, st.who.User)
		if e != nil {
			tooMany(conn, e.Message)
			return
		}
		defer leave()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if strings.EqualFold(in.Upgrade, "websocket") {
			s.serveWebSocket(ctx, cancel, conn, r, st)
		} else {
			s.serveSSE(ctx, cancel, conn, st)
		}
	}), nil
}

// newStream checks who may see what.
func (s *Service) newStream(ctx context.Context, in *eventsInput) (*stream, error) {
	who := httpapi.PrincipalFrom(ctx)
	sc, err := s.scopeOf(ctx, who, in.Tenant)
	if err != nil {
		return nil, err
	}
	if _, ok := s.dir.Tenant(in.Tenant); !ok {
		return nil, voice.Errorf(voice.ErrNotFound, "there is no tenant %.64q", in.Tenant)
	}
	select {
	case <-s.hub.ready:
	default:
		return nil, voice.Errorf(voice.ErrUnavailable, "the event streams are not followed yet")
	}
	f := filter{tenant: in.Tenant, scope: sc, dns: in.DN, call: in.Call, registering: in.Register}
	for _, name := range in.Type {
		if !strings.HasPrefix(name, "Event") {
			name = "Event" + name
		}
		f.types = append(f.types, voice.EventName(name))
	}
	for _, dn := range in.DN {
		if !sc.covers(dn) {
			return nil, voice.Errorf(voice.ErrForbidden, "%.64q is none of your DNs", dn)
		}
	}
	if in.Agent != "" {
		b, err := s.people.of(ctx, in.Tenant, in.Agent)
		if err != nil {
			return nil, err
		}
		f.agent = &agentFilter{names: []string{in.Agent, b.agent}, dns: b.dns}
	}
	st := &stream{who: who, tenant: in.Tenant, cursor: newCursor(f, [2]string{in.Tenant, who.User})}
	_, st.token, _ = strings.Cut(in.Authorization, " ")
	// A browser that comes back repeats the first URL, and its header knows better.
	if last := cmp.Or(in.Last, in.After); last != "" {
		p, err := parsePosition(last)
		if err != nil {
			return nil, err
		}
		st.after = &p
	}
	return st, nil
}

// tooMany turns a client away whose connection is already taken over.
func tooMany(conn net.Conn, why string) {
	body := fmt.Sprintf(`{"title":"Too Many Requests","status":429,"code":"overloaded","detail":%q}`, why)
	fmt.Fprintf(conn, "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/problem+json\r\nRetry-After: 10\r\n"+
		"Connection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body) //nolint:errcheck // it is being turned away
}

// gate is what streams pass when they begin, so that Run can wait for them.
type gate struct {
	mu     sync.Mutex // guards ctx, and Add against Wait
	ctx    context.Context
	closed bool
	wg     sync.WaitGroup
}

// opened is the context of a stream, until done; ok is false when the service does not run.
func (s *Service) opened() (ctx context.Context, done func(), ok bool) {
	g := &s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.ctx == nil {
		return nil, nil, false
	}
	g.wg.Add(1)
	return g.ctx, g.wg.Done, true
}

// openStreams lets streams begin until ctx ends, and waits for their end.
func (s *Service) openStreams(ctx context.Context) {
	g := &s.gate
	g.mu.Lock()
	g.ctx = ctx
	g.mu.Unlock()
	<-ctx.Done()
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.wg.Wait()
}

// serveStream writes events to a client until one of the two ends it.
func (s *Service) serveStream(ctx context.Context, st *stream, c client) {
	why, sentence := s.begin(ctx, st, c)
	if why == "" {
		why, sentence = s.deliver(ctx, st, c)
	}
	s.hub.leave(st.cursor)
	if why != endClient {
		c.end(why, sentence)
	}
	s.metrics.closed.WithLabelValues(why).Inc()
}

// begin joins the ring, after what the client has missed was read from the streams.
func (s *Service) begin(ctx context.Context, st *stream, c client) (why, sentence string) {
	if st.after == nil {
		at := s.hub.joinNow(st.cursor)
		return s.wrote(ctx, errors.Join(c.beat(at), c.flush()))
	}
	st.cursor.pos = *st.after
	if s.hub.ahead(ctx, st.cursor) {
		if err := c.lost(st.cursor.pos, "a stream was made anew; it is followed from here"); err != nil {
			return s.wrote(ctx, err)
		}
	}
	for first := true; ; first = false {
		at := st.cursor.pos
		src, head, ok := s.hub.join(st.cursor)
		if ok {
			s.metrics.resumed(first)
			return s.wrote(ctx, errors.Join(c.beat(at), c.flush()))
		}
		if err := s.catchUp(ctx, st, c, src, head); err != nil {
			return s.wrote(ctx, err)
		}
	}
}

// wrote is why a stream ends after an error of writing or reading.
func (s *Service) wrote(ctx context.Context, err error) (why, sentence string) {
	switch {
	case err == nil:
		return "", ""
	case errors.Is(err, os.ErrDeadlineExceeded):
		return endSlow, "events were not read in time"
	case s.stopping():
		return endStop, "the service stops; connect again"
	case ctx.Err() != nil, !errors.Is(err, errHistory):
		return endClient, ""
	}
	return endGone, "the events that were missed cannot be read now; connect again"
}

// stopping tells whether Run ends.
func (s *Service) stopping() bool {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	return s.gate.ctx == nil || s.gate.ctx.Err() != nil
}

var errHistory = errors.New("the stream cannot be read")

// catchUp writes what a stream has behind the client's position, up to head at least.
func (s *Service) catchUp(ctx context.Context, st *stream, c client, src source, head uint64) error {
	select { // a consumer each: many clients that come back at once take turns
	case s.readers <- struct{}{}:
		defer func() { <-s.readers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	cur, from := st.cursor, streams[src]
	oldest, err := s.f.Read(ctx, from.stream, from.prefix+"."+fabric.Rest, 1)
	if err != nil {
		return fmt.Errorf("%w: %w", errHistory, err)
	}
	if len(oldest) == 0 || oldest[0].Seq > cur.pos[src]+1 {
		if len(oldest) > 0 {
			cur.pos[src] = oldest[0].Seq - 1
		} else {
			cur.pos[src] = head
		}
		if err := c.lost(cur.pos, "events of "+from.stream+" before this place are too old and gone"); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	done := false
	stop := func(err error) { done, failed = true, err; cancel() }
	filter := fabric.Subject(from.prefix, st.tenant) + "." + fabric.Rest
	err = s.f.Subscribe(ctx, from.stream, filter, fabric.From{Seq: cur.pos[src] + 1, Caught: func(uint64) {
		if !done {
			stop(c.flush())
		}
	}}, func(m fabric.Message) {
		if done {
			return
		}
		it, ok := newItem(src, m)
		wanted := ok && s.hub.wants(cur, &it)
		cur.pos[src] = m.Seq
		if wanted {
			if err := c.event(&event{at: cur.pos, name: it.head.ID, data: it.data}); err != nil {
				stop(err)
				return
			}
			s.metrics.sent.Inc()
		}
		if m.Seq >= head {
			stop(c.flush())
		}
	})
	switch {
	case failed != nil:
		return failed
	case err != nil:
		return fmt.Errorf("%w: %w", errHistory, err)
	case !done:
		return context.Canceled
	}
	cur.pos[src] = max(cur.pos[src], head)
	return nil
}

// deliver writes what comes, until the end.
func (s *Service) deliver(ctx context.Context, st *stream, c client) (why, sentence string) {
	beat := time.NewTicker(s.cfg.Heartbeat)
	defer beat.Stop()
	buf := make([]event, 0, takeMost)
	for {
		events, at, more, ok := s.hub.take(st.cursor, buf)
		if !ok {
			return endSlow, fmt.Sprintf("more than %d events were behind; connect again with the last id to get what was missed", s.cfg.Buffer)
		}
		for i := range events {
			if err := c.event(&events[i]); err != nil {
				return s.wrote(ctx, err)
			}
		}
		s.metrics.sent.Add(float64(len(events)))
		clear(events) // the ring may forget them
		if len(events) > 0 {
			if err := c.flush(); err != nil {
				return s.wrote(ctx, err)
			}
		}
		if more {
			continue
		}
		var err error
		select {
		case <-st.cursor.poke:
		case a := <-st.cursor.replies:
			err = errors.Join(c.reply(&a), c.flush())
		case <-beat.C:
			if !s.stillAllowed(ctx, st) {
				return endToken, "the token has ended"
			}
			err = errors.Join(c.beat(at), c.flush())
		case <-s.rest.Stopping():
			return endStop, "the service stops; connect again"
		case <-ctx.Done():
			return s.wrote(ctx, ctx.Err())
		}
		if err != nil {
			return s.wrote(ctx, err)
		}
	}
}

// stillAllowed asks about the token, and what its owner may see now; when nobody can answer, the stream goes on as it was.
func (s *Service) stillAllowed(ctx context.Context, st *stream) bool {
	p, err := fabric.Call(ctx, s.f, contract.VerifyToken, st.token)
	if errors.Is(err, voice.ErrUnauthorized) {
		return false
	}
	if err == nil {
		s.hub.edit(st.cursor, func(*filter) { st.who = p })
	}
	sc, err := s.scopeOf(ctx, st.principal(s), st.tenant)
	if errors.Is(err, voice.ErrForbidden) {
		return false
	}
	if err == nil {
		s.hub.edit(st.cursor, func(f *filter) { f.scope = sc })
	}
	return true
}
