package frontend

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"parley/internal/contract"
	"parley/internal/voice"
)

const (
	maxWebMessage = 64 << 10         // bytes of one request
	webWrite      = 15 * time.Second // for a client to take a message
)

// Events that answer requests on a WebSocket only.
const (
	eventRegistered   voice.EventName = "EventRegistered"
	eventUnregistered voice.EventName = "EventUnregistered"
)

// webMessage is what a client reads: an event with its id, an answer to a request, or word that events are lost. A message with
// a position only is a heartbeat.
type webMessage struct {
	Position string          `json:"position,omitempty"`
	Event    json.RawMessage `json:"event,omitempty"`
	Answer   *Answer         `json:"answer,omitempty"`
	Lost     string          `json:"lost,omitempty"`
}

// web writes to a WebSocket.
type web struct {
	ctx context.Context
	ws  *websocket.Conn
}

// serveWebSocket owns conn until it returns.
func (s *Service) serveWebSocket(ctx context.Context, cancel context.CancelFunc, conn net.Conn, r *http.Request, st *stream) {
	// The token is in a header, which no page of somebody else can make a browser send: any origin will do.
	ws, err := websocket.Accept(&taken{conn: conn}, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		s.metrics.closed.WithLabelValues(endInvalid).Inc()
		return // Accept has answered
	}
	ws.SetReadLimit(maxWebMessage)
	// Whoever reads with a context that ends loses the connection at once, and with it the closing frame that says why.
	open, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	var reading sync.WaitGroup
	reading.Go(func() { defer cancel(); s.readWebSocket(open, ws, st) })
	s.serveStream(ctx, st, &web{open, ws})
	cancel()
	done()
	ws.CloseNow() //nolint:errcheck // whoever is still there has had the closing handshake
	reading.Wait()
}

// readWebSocket takes requests until the client goes. Each is done on a goroutine of its own, as one may wait for a node.
func (s *Service) readWebSocket(ctx context.Context, ws *websocket.Conn, st *stream) {
	var under sync.WaitGroup
	defer under.Wait()
	places := make(chan struct{}, s.cfg.RequestsPerUser)
	for {
		_, body, err := ws.Read(ctx)
		if err != nil {
			return
		}
		r, err := readRequest(body)
		if err != nil {
			st.say(ctx, newAnswer(refuse(voice.TErrorf(voice.TErrInvalidValue, "%s", sentence(err)))))
			continue
		}
		if sh, ok := shapes[r.Name]; ok && sh.at == atStream {
			st.say(ctx, s.registration(ctx, st, r))
			continue
		}
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		under.Go(func() {
			defer func() { <-places }()
			st.say(ctx, s.askedBy(ctx, st, r))
		})
	}
}

// say leaves an answer to be written, when the client takes those before it.
func (st *stream) say(ctx context.Context, a Answer) {
	select {
	case st.cursor.replies <- a:
	case <-ctx.Done():
	}
}

// askedBy does a request that came by a WebSocket.
func (s *Service) askedBy(ctx context.Context, st *stream, r *voice.Request) Answer {
	ref := r.ReferenceID
	a, err := s.askAs(ctx, st.principal(s), st.tenant, r)
	if err != nil {
		a = &contract.RequestAnswer{ReferenceID: ref, Error: voice.TErrorf(voice.TErrServiceUnavailable, "%s", sentence(err))}
	}
	return newAnswer(a)
}

// registration changes which DNs the stream is about.
func (s *Service) registration(ctx context.Context, st *stream, r *voice.Request) Answer {
	r.Tenant = st.tenant
	e := func() *voice.TError {
		if _, e := shapeOf(r); e != nil {
			return e
		}
		if e := s.knows(r); e != nil {
			return e
		}
		sc, err := s.scopeOf(ctx, st.principal(s), st.tenant)
		if err != nil {
			return voice.TErrorf(voice.TErrServiceUnavailable, "%s", sentence(err))
		}
		if e := sc.allowed(r); e != nil {
			return e
		}
		ok := true
		s.hub.edit(st.cursor, func(f *filter) {
			if f.registering = true; r.Name == voice.RequestRegisterAddress {
				ok = f.register(r.ThisDN)
			} else {
				ok = f.unregister(r.ThisDN)
			}
		})
		switch {
		case ok:
			return nil
		case r.Name == voice.RequestRegisterAddress:
			return voice.TErrorf(voice.TErrTooManyRequests, "%d DNs are registered already", maxRegistered)
		}
		return voice.TErrorf(voice.TErrNotRegistered, "%s is not registered", r.ThisDN)
	}()
	a := newAnswer(&contract.RequestAnswer{ReferenceID: r.ReferenceID, Error: e})
	if e == nil {
		a.ThisDN = r.ThisDN
		if a.ID = eventRegistered; r.Name == voice.RequestUnregisterAddress {
			a.ID = eventUnregistered
		}
	}
	return a
}

func (c *web) write(m webMessage) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, webWrite)
	defer cancel()
	return c.ws.Write(ctx, websocket.MessageText, data)
}

func (c *web) event(e *event) error {
	return c.write(webMessage{Position: e.at.String(), Event: e.data})
}

func (c *web) reply(a *Answer) error { return c.write(webMessage{Answer: a}) }

func (c *web) beat(at position) error { return c.write(webMessage{Position: at.String()}) }

func (c *web) lost(at position, reason string) error {
	return c.write(webMessage{Position: at.String(), Lost: reason})
}

func (c *web) flush() error { return nil }

// end says why in the closing frame (RFC 6455 §7.4.1): try again later, or a policy.
func (c *web) end(reason, sentence string) {
	code := websocket.StatusTryAgainLater
	switch reason {
	case endSlow, endToken:
		code = websocket.StatusPolicyViolation
	case endStop:
		code = websocket.StatusGoingAway
	}
	const maxReason = 120 // of 125 bytes in a control frame
	text := reason + ": " + sentence
	c.ws.Close(code, text[:min(len(text), maxReason)]) //nolint:errcheck // it ends either way
}

// taken is a connection taken over, as net/http would show it to a handshake.
type taken struct {
	conn net.Conn
	head http.Header
	sent bool
}

// Header is part of http.ResponseWriter.
func (t *taken) Header() http.Header {
	if t.head == nil {
		t.head = http.Header{}
	}
	return t.head
}

// WriteHeader is part of http.ResponseWriter.
func (t *taken) WriteHeader(status int) {
	if t.sent {
		return
	}
	t.sent = true
	w := bufio.NewWriter(t.conn)
	w.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + "\r\n") //nolint:errcheck // kept for Flush
	t.Header().Write(w)                                                                        //nolint:errcheck // the same
	w.WriteString("\r\n")                                                                      //nolint:errcheck // the same
	w.Flush()                                                                                  //nolint:errcheck // whoever reads finds out
}

// Write is part of http.ResponseWriter: why there is no handshake.
func (t *taken) Write(p []byte) (int, error) {
	t.Header().Set("Connection", "close")
	t.WriteHeader(http.StatusBadRequest)
	return t.conn.Write(p)
}

// Hijack is part of http.Hijacker.
func (t *taken) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return t.conn, bufio.NewReadWriter(bufio.NewReader(t.conn), bufio.NewWriter(t.conn)), nil
}
