package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"time"

	"github.com/gofiber/fiber/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/web/live"
)

const (
	streamBeat = 15 * time.Second       // a line on a quiet stream, so that proxies keep it and dead clients show
	streamPace = 200 * time.Millisecond // the least time between two bursts to one page
)

// stream answers GET /live?topic=...: server-sent events for one page until it closes, the session ends, the page
// falls behind, or the server stops.
//
// The connection is taken over from fasthttp, which could not say that a client has gone before the next write to it:
// pages come and go faster than heartbeats, and a session may have few streams. Each write has the deadline of the
// listener's connections (see package httpapi), so a client that reads nothing is dropped.
func (s *Server) stream(r *request) error {
	v, err := s.newLiveView(r)
	if err != nil {
		return err
	}
	ctx, session, token := r.ctx, r.sessionID(), r.token
	r.c.Context().HijackSetNoResponse(true)
	r.c.Context().Hijack(func(conn net.Conn) {
		defer func() {
			if p := recover(); p != nil { // this goroutine is not that of a request, nobody else would catch it
				s.log.Error("panic in a live stream", "topic", v.topic.Kind, "panic", p, "stack", string(debug.Stack()))
			}
		}()
		s.serveStream(ctx, conn, v, session, token)
	})
	return nil
}

// The heads of the two answers to a page that asks for a stream.
const (
	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\n" +
		"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\nretry: 2000\n\n"
	streamFull = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 10\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)

// serveStream owns conn until it returns. What goes wrong with writing means that the client is gone.
func (s *Server) serveStream(ctx context.Context, conn net.Conn, v *liveView, session, token string) {
	st, err := s.hub.Open(session, v.topic, v.wants)
	if err != nil {
		io.WriteString(conn, streamFull) //nolint:errcheck // it is being turned away
		return
	}
	defer st.Close()
	s.metrics.streamsOpened.Inc()

	// A page sends nothing after its request, so whatever a read returns, it is the end.
	ctx, cancel := context.WithCancel(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer cancel()
		var one [1]byte
		conn.Read(one[:]) //nolint:errcheck // see above
	}()
	defer func() {
		if err := conn.SetReadDeadline(time.Unix(1, 0)); err == nil {
			<-gone
		} // else the connection is closed, and the read has ended or is about to
	}()

	w := bufio.NewWriter(conn)
	w.WriteString(streamHead) //nolint:errcheck // a bufio.Writer keeps its error for Flush
	s.follow(ctx, st, v, token, w)
}

// liveView is how the changes of one page are rendered.
type liveView struct {
	topic live.Topic
	wants func(key string) bool
	first []string // keys to tell at once: what happened between the page and its stream
	event string   // name of the server-sent event
	// render returns the data of one key; nil tells nothing.
	render func(ctx context.Context, key string) ([]byte, error)
}

// newLiveView checks that r may follow what it asks for.
func (s *Server) newLiveView(r *request) (*liveView, error) {
	tenant := r.query("tenant")
	topic := r.query("topic")
	if topic == topicOverview {
		if !readsAnything(r.who) {
			return nil, voice.ErrForbidden
		}
		return s.liveOverview(r.who), nil
	}
	if !r.who.MayRead(tenant) {
		return nil, voice.ErrForbidden
	}
	switch topic {
	case topicDevices:
		return s.liveDevices(tenant, r.query("from"), r.query("to")), nil
	case topicCalls:
		return s.liveCalls(r, tenant, r.query("q"))
	case topicSessions:
		return s.liveSessions(tenant, r.query("q")), nil
	case topicSession:
		return s.liveSession(tenant, r.query("session")), nil
	case topicCall:
		return s.liveCall(r, tenant, r.query("call"))
	case topicTrunks:
		return s.liveTrunks(tenant), nil
	case topicTrunk:
		return s.liveTrunk(tenant, r.query("dn")), nil
	case topicDevice:
		return s.liveDevice(tenant, r.query("dn"), r.csrf, r.who.MayWrite(tenant)), nil
	}
	return nil, fiber.ErrBadRequest
}

func (s *Server) liveOverview(who voice.Principal) *liveView {
	return &liveView{
		topic: live.Topic{Kind: topicOverview, Name: overviewScope(who)},
		first: []string{"counts", "services", "chart", "events"}, event: "part",
		render: func(ctx context.Context, key string) ([]byte, error) {
			return s.part(key, key, s.overviewOf(ctx, who))
		},
	}
}

// liveDevices follows the rows of one page of the list: numbers from first to last.
func (s *Server) liveDevices(tenant, first, last string) *liveView {
	return &liveView{
		topic: live.Topic{Kind: topicDevices, Name: tenant}, event: "device",
		wants: func(dn string) bool { return dn >= first && (last == "" || dn <= last) },
		render: func(ctx context.Context, dn string) ([]byte, error) {
			state := s.stateOf(ctx, tenant, dn)
			html, err := s.ui.Part("state", state)
			if err != nil {
				return nil, err
			}
			return json.Marshal(map[string]string{"dn": dn, "state": string(html), "phone": state.Phone})
		},
	}
}

func (s *Server) liveDevice(tenant, dn, csrf string, mayWrite bool) *liveView {
	return &liveView{
		topic: deviceTopic(tenant, dn), first: []string{"bindings", "state"}, event: "part",
		render: func(ctx context.Context, key string) ([]byte, error) {
			b := s.bindingsOf(ctx, tenant, dn)
			if key == "state" {
				return s.part(key, key, b.state())
			}
			b.CSRF, b.MayWrite = csrf, mayWrite
			return s.part(key, key, b)
		},
	}
}

// part renders the template name as the data of a "part" event for the element called element.
func (s *Server) part(element, name string, data any) ([]byte, error) {
	html, err := s.ui.Part(name, data)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"name": element, "html": string(html)})
}

// follow writes events until the client, the session or the server ends.
func (s *Server) follow(ctx context.Context, st *live.Stream, v *liveView, token string, w *bufio.Writer) {
	out := &eventWriter{w: w, sent: map[string][]byte{}, event: v.event}
	if !s.tell(ctx, out, v, v.first) {
		return
	}
	for {
		wait, cancel := context.WithTimeout(ctx, streamBeat)
		keys, open := st.Next(wait)
		cancel()
		if !open || ctx.Err() != nil {
			return
		}
		if !s.stillSignedIn(ctx, token) {
			out.write("end", []byte("{}"))
			w.Flush() //nolint:errcheck // the stream ends either way
			return
		}
		if !s.tell(ctx, out, v, keys) || !pause(ctx, s.http.Stopping(), streamPace) {
			return
		}
	}
}

// tell renders keys, or a heartbeat when there are none, and flushes. It returns false when the client is gone.
func (s *Server) tell(ctx context.Context, out *eventWriter, v *liveView, keys []string) bool {
	for _, key := range keys {
		data, err := v.render(ctx, key)
		if err != nil {
			s.log.Error("live update", "topic", v.topic.Kind, "key", key, "err", err)
			return false
		}
		out.changed(key, data)
	}
	if len(keys) == 0 {
		fmt.Fprint(out.w, ": beat\n\n") //nolint:errcheck // kept for Flush
	}
	return out.w.Flush() == nil
}

// stillSignedIn asks about the token; when nobody can answer, the stream goes on until somebody can.
func (s *Server) stillSignedIn(ctx context.Context, token string) bool {
	_, err := fabric.Call(ctx, s.f, contract.VerifyToken, token)
	return voice.CodeOf(err) != "unauthorized"
}

// pause waits for d; it returns false when the stream shall end instead.
func pause(ctx context.Context, stopping <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stopping:
		return false
	case <-ctx.Done():
		return false
	}
}

// eventWriter writes server-sent events, and only what differs from what it wrote of the key before.
type eventWriter struct {
	w     *bufio.Writer
	event string
	sent  map[string][]byte // last data by key; as many keys as the page shows
}

func (e *eventWriter) changed(key string, data []byte) {
	if data == nil || bytes.Equal(e.sent[key], data) {
		return
	}
	e.sent[key] = data
	e.write(e.event, data)
}

// write writes one event. data is JSON, which holds no line end.
func (e *eventWriter) write(event string, data []byte) {
	fmt.Fprintf(e.w, "event: %s\ndata: %s\n\n", event, data) //nolint:errcheck // kept for Flush
}
