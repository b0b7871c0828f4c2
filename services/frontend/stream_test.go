package frontend

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// sseEvent is one event as a client reads it.
type sseEvent struct{ id, name, data string }

// reader is a client of server-sent events.
type reader struct {
	t      testing.TB
	lines  *bufio.Scanner
	body   interface{ Close() error }
	last   string // event id
	status int
}

// follow opens a stream; query may be "". last is the id to go on from, "" for from now on.
func (r *rig) follow(token, query, last string) *reader {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	r.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/api/v1/tenants/demo/events"+query, http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	c := &reader{t: r.t, lines: bufio.NewScanner(res.Body), body: res.Body, status: res.StatusCode, last: last}
	r.t.Cleanup(c.close)
	return c
}

func (c *reader) close() { c.body.Close() }

// read gives the next event, or false at the end. One without data only moves the id on, as browsers have it.
func (c *reader) read() (e sseEvent, ok bool) {
	for c.lines.Scan() {
		field, value, _ := strings.Cut(c.lines.Text(), ": ")
		switch field {
		case "id":
			e.id = value
			c.last = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			if e.data != "" {
				return e, true
			}
			if e.id != "" {
				return sseEvent{id: e.id}, true
			}
		}
	}
	return e, false
}

// next gives the next event that says something.
func (c *reader) next() sseEvent {
	c.t.Helper()
	for {
		e, ok := c.read()
		if !ok {
			c.t.Fatalf("the stream ended: %v", c.lines.Err())
		}
		if e.data != "" {
			return e
		}
	}
}

// opened waits for the first word of the stream.
func (c *reader) opened() *reader {
	c.t.Helper()
	if e, ok := c.read(); !ok || e.id == "" {
		c.t.Fatalf("status %d, first %+v", c.status, e)
	}
	return c
}

// publishCall publishes an event of a call.
func (r *rig) publishCall(tenant, conn, dn string, name voice.EventName, more func(*voice.CallEvent)) {
	r.t.Helper()
	e := voice.CallEvent{ID: name, Server: "sip", ThisDN: dn, ConnID: conn, CallUUID: "uuid-" + conn, CallThreadID: "t-" + conn, Tenant: tenant}
	if more != nil {
		more(&e)
	}
	if err := r.f.Publish(fabric.Event{Subject: fabric.Subject("call", tenant, "uuid-"+conn, string(name)), Payload: e}); err != nil {
		r.t.Fatal(err)
	}
}

func (e sseEvent) call(t testing.TB) (out voice.CallEvent) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.data), &out); err != nil {
		t.Fatalf("%+v: %v", e, err)
	}
	return out
}

func TestEventsAndFilters(t *testing.T) {
	r := start(t, nil)
	type want struct {
		token, query string
		conns        string
	}
	wants := []want{
		{"boss", "", "c1 c2 c3 c4"},
		{"root", "?dn=1001&dn=1003", "c1 c3 c4"},
		{"boss", "?type=EventRinging&type=Dialing", "c1 c2 c4"},
		{"boss", "?call=uuid-c2", "c2"},
		{"boss", "?call=t-c3", "c3"},
		{"boss", "?agent=alice", "c1 c4"},
		{"boss", "?agent=alice&type=EventRinging", "c4"},
		{"alice", "", "c1 c4"},
		{"alice", "?dn=1001&call=c4", "c4"},
	}
	var readers []*reader
	for _, w := range wants {
		readers = append(readers, r.follow(w.token, w.query, "").opened())
	}
	r.publishCall("demo", "c1", "1001", voice.EventDialing, nil)
	r.publishCall("acme", "x1", "1001", voice.EventDialing, nil)
	r.publishCall("demo", "c2", "1002", voice.EventRinging, nil)
	r.publishCall("demo", "c3", "1003", voice.EventHeld, nil)
	r.publishCall("demo", "c4", "1001", voice.EventRinging, nil)
	for i, w := range wants {
		for conn := range strings.FieldsSeq(w.conns) {
			if e := readers[i].next(); e.call(t).ConnID != conn || e.name != string(e.call(t).ID) {
				t.Errorf("%s %q: %+v, want %s", w.token, w.query, e, conn)
			}
		}
	}
	for query, want := range map[string]int{"?dn=1002": 403, "?after=x": 422, "?after=1.2": 422, "?when=now": 422} {
		if c := r.follow("alice", query, ""); c.status != want {
			t.Errorf("%s: %d, want %d", query, c.status, want)
		}
	}
	for _, token := range []string{"acme", "guest"} {
		if c := r.follow(token, "", ""); c.status != 403 {
			t.Errorf("%s: %d, want 403", token, c.status)
		}
	}
	// What is refused is told where the asker follows.
	r.wants(voice.TErrDNNotConfigured, "boss", map[string]any{"request": "RequestMakeCall", "ThisDN": "1999", "OtherDN": "1001", "ReferenceID": 77})
	if e := readers[0].next(); e.name != "EventError" || e.id != "" || !strings.Contains(e.data, `"ReferenceID":77,"ErrorCode":59`) {
		t.Errorf("the refused request is told as %+v", e)
	}
}

// Clients that are cut off again and again, while events of two streams are published, get each of them once and in order: from
// memory, and from the streams where memory does not reach back.
func TestResume(t *testing.T) {
	for _, c := range []struct {
		name         string
		buffer, each int
		from         string
	}{{"memory", 8192, 60, "memory"}, {"streams", minBuffer, 60, "streams"}} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, func(cfg *Config) { cfg.Buffer = c.buffer })
			const total = 900
			client := r.follow("boss", "?dn=1001", "").opened()
			go func() {
				for i := range total {
					r.publishCall("demo", fmt.Sprint("c", i), "1001", voice.EventDialing, func(e *voice.CallEvent) { e.CallID = uint64(i) })
					if i%3 == 0 { // these are not for the client
						r.publishCall("demo", "other", "1002", voice.EventDialing, nil)
					}
					err := r.f.Publish(fabric.Event{Subject: fabric.Subject("device", "demo", "1001", "EventUserEvent"),
						Payload: voice.DeviceEvent{ID: voice.EventUserEvent, ThisDN: "1001", Tenant: "demo", Seq: uint64(i)}})
					if err != nil {
						t.Error(err)
					}
				}
			}()
			calls, devices, cuts := uint64(0), uint64(0), 0
			for read := 0; calls < total || devices < total; read++ {
				e, ok := client.read()
				switch {
				case !ok, e.name == "end": // the ring has overtaken it: a client comes back
					client.close()
					client = r.follow("boss", "?dn=1001", client.last)
					continue
				case e.data == "":
					continue
				case e.name == string(voice.EventDialing):
					if got := e.call(t).CallID; got != calls {
						t.Fatalf("call event %d, want %d, after %d cuts", got, calls, cuts)
					}
					calls++
				default:
					var d voice.DeviceEvent
					if err := json.Unmarshal([]byte(e.data), &d); err != nil || e.name != string(voice.EventUserEvent) {
						t.Fatalf("%+v: %v", e, err)
					}
					if d.Seq != devices {
						t.Fatalf("device event %d, want %d, after %d cuts", d.Seq, devices, cuts)
					}
					devices++
				}
				if read%c.each == c.each-1 {
					cuts++
					client.close()
					client = r.follow("boss", "?dn=1001", client.last)
				}
			}
			if n := testutil.ToFloat64(r.metrics.resumes.WithLabelValues(c.from)); n == 0 || cuts < 10 {
				t.Errorf("%d cuts, %v resumed from %s", cuts, n, c.from)
			}
		})
	}
}

// A client that does not read is closed, counted, and nobody else notices.
func TestSlowClient(t *testing.T) {
	r := start(t, func(c *Config) { c.Buffer = minBuffer })
	good := r.follow("boss", "", "").opened()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil { // or the system takes megabytes for it
		t.Fatal(err)
	}
	fmt.Fprint(conn, "GET /api/v1/tenants/demo/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer root\r\n\r\n")
	eventually(t, func() error {
		if n := r.open.len(); n != 2 {
			return fmt.Errorf("%d streams, want 2", n)
		}
		return nil
	})
	seen := 0
	big := voice.KVList{"text": strings.Repeat("x", 2000), "more": strings.Repeat("y", 2000), "most": strings.Repeat("z", 2000)}
	for n := 0; testutil.ToFloat64(r.metrics.closed.WithLabelValues(endSlow)) == 0; n++ {
		if n > 100_000 {
			t.Fatal("the slow client is still there")
		}
		r.publishCall("demo", fmt.Sprint("c", n), "1001", voice.EventDialing, func(e *voice.CallEvent) { e.UserData = big })
		if e := good.next(); e.call(t).ConnID != fmt.Sprint("c", n) {
			t.Fatalf("the other client got %.200s, want c%d", e.data, n)
		}
		seen++
	}
	if n := r.open.len(); n != 1 {
		t.Errorf("%d streams, want 1", n)
	}
	t.Logf("closed after %d events of 6 KB", seen)
}

func TestStreamsAreLimited(t *testing.T) {
	r := start(t, func(c *Config) { c.StreamsPerUser = 1 })
	first := r.follow("boss", "", "").opened()
	if c := r.follow("boss", "", ""); c.status != http.StatusTooManyRequests {
		t.Errorf("a second stream: %d, want 429", c.status)
	}
	r.follow("root", "", "").opened()
	first.close()
	eventually(t, func() error { // the server has seen that it left
		if c := r.follow("boss", "", ""); c.status != http.StatusOK {
			return fmt.Errorf("after the first has left: %d", c.status)
		}
		return nil
	})
}

// What is gone from the streams is said to be lost; a position that no stream has is not believed.
func TestResumeWithoutHistory(t *testing.T) {
	r := start(t, nil)
	c := r.follow("boss", "", "900.0.0")
	if e := c.next(); e.name != "lost" || e.id != "0.0.0" {
		t.Errorf("first %+v, want lost", e)
	}
	c.opened()
	r.publishCall("demo", "c1", "1001", voice.EventDialing, nil)
	if e := c.next(); e.id != "1.0.0" || e.call(t).ConnID != "c1" {
		t.Errorf("then %+v", e)
	}
}

// socket is a client by WebSocket.
type socket struct {
	t  testing.TB
	ws *websocket.Conn
}

func (r *rig) dial(token, query string) *socket {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	ws, res, err := websocket.Dial(ctx, r.url+"/api/v1/tenants/demo/events"+query, &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
	})
	if err != nil {
		r.t.Fatalf("%v: %+v", err, res)
	}
	if res.Body != nil {
		res.Body.Close()
	}
	s := &socket{r.t, ws}
	r.t.Cleanup(func() { ws.CloseNow() })
	return s
}

func (s *socket) send(v any) {
	s.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.ws.Write(s.t.Context(), websocket.MessageText, b); err != nil {
		s.t.Fatal(err)
	}
}

func (s *socket) read() (webMessage, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	_, b, err := s.ws.Read(ctx)
	var m webMessage
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	return m, err
}

// next gives the next message that is no heartbeat.
func (s *socket) next() webMessage {
	s.t.Helper()
	for {
		m, err := s.read()
		if err != nil {
			s.t.Fatal(err)
		}
		if m.Event != nil || m.Answer != nil || m.Lost != "" {
			return m
		}
	}
}

func TestWebSocket(t *testing.T) {
	r := start(t, nil)
	n := r.node("a", 0, false)
	ws := r.dial("boss", "?register=true")
	answer := func(req map[string]any, want voice.EventName, code voice.TErrorCode) *Answer {
		t.Helper()
		ws.send(req)
		m := ws.next()
		if m.Answer == nil || m.Answer.ID != want || m.Answer.ErrorCode != code || m.Answer.ReferenceID != int64(req["ReferenceID"].(int)) {
			t.Fatalf("%v: %+v, want %s %d", req, m.Answer, want, code)
		}
		return m.Answer
	}
	r.publishCall("demo", "c0", "1001", voice.EventDialing, nil) // nothing is registered yet
	eventually(t, func() error {
		r.hub.mu.Lock()
		defer r.hub.mu.Unlock()
		if r.hub.head[fromCalls] != 1 {
			return errors.New("the hub has not heard of the first event")
		}
		return nil
	})
	answer(map[string]any{"request": "RegisterAddress", "ThisDN": "1999", "ReferenceID": 1}, voice.EventError, voice.TErrDNNotConfigured)
	if a := answer(map[string]any{"request": "RegisterAddress", "ThisDN": "1001", "ReferenceID": 2}, eventRegistered, 0); a.ThisDN != "1001" {
		t.Errorf("%+v", a)
	}
	r.publishCall("demo", "c1", "1002", voice.EventDialing, nil)
	r.publishCall("demo", "c2", "1001", voice.EventDialing, nil)
	m := ws.next()
	var e voice.CallEvent
	if err := json.Unmarshal(m.Event, &e); err != nil || e.ConnID != "c2" || m.Position == "" {
		t.Errorf("%+v: %v", m, err)
	}
	if a := answer(map[string]any{"request": "MakeCall", "ThisDN": "1001", "OtherDN": "1002", "ReferenceID": 3}, eventACK, 0); a.ConnID != "c-a" {
		t.Errorf("%+v", a)
	}
	if got := n.taken(); len(got) != 1 || got[0].User != "boss" {
		t.Errorf("the node was asked %+v", got)
	}
	answer(map[string]any{"request": "UnregisterAddress", "ThisDN": "1001", "ReferenceID": 4}, eventUnregistered, 0)
	answer(map[string]any{"request": "UnregisterAddress", "ThisDN": "1001", "ReferenceID": 5}, voice.EventError, voice.TErrNotRegistered)
	ws.send("nonsense")
	if m := ws.next(); m.Answer == nil || m.Answer.ErrorCode != voice.TErrInvalidValue {
		t.Errorf("nonsense: %+v", m.Answer)
	}
	// Back with the position, all that was missed comes, for the DNs that are named.
	again := r.dial("boss", "?dn=1002&dn=1001&after=0.0.0")
	for _, want := range []string{"c0", "c1", "c2"} {
		var e voice.CallEvent
		if m := again.next(); json.Unmarshal(m.Event, &e) != nil || e.ConnID != want {
			t.Errorf("after 0.0.0: %+v, want %s", m, want)
		}
	}
	// An agent has what is his.
	agent := r.dial("alice", "")
	agent.send(map[string]any{"request": "RegisterAddress", "ThisDN": "1002"})
	if m := agent.next(); m.Answer == nil || m.Answer.ErrorCode != voice.TErrNotRegistered {
		t.Errorf("a DN of others: %+v", m.Answer)
	}
}

// A stream says why it ends when the service stops, and goes on with word of where it is while nothing happens.
func TestHeartbeatAndStop(t *testing.T) {
	r := start(t, func(c *Config) { c.Heartbeat = time.Second })
	c, ws := r.follow("boss", "?dn=1003", "").opened(), r.dial("boss", "?dn=1003")
	r.publishCall("demo", "c1", "1001", voice.EventDialing, nil)
	for c.last != "1.0.0" { // not for it, but it need not be read again
		if e, ok := c.read(); !ok || e.data != "" {
			t.Fatalf("%+v, want a heartbeat", e)
		}
	}
	r.stop()
	for {
		e, ok := c.read()
		if !ok {
			t.Fatal("the stream ended without a word")
		}
		if e.name == "end" {
			if !strings.Contains(e.data, `"reason":"stop"`) {
				t.Errorf("end: %s", e.data)
			}
			break
		}
	}
	for {
		if _, err := ws.read(); err != nil {
			var ce websocket.CloseError
			if !errors.As(err, &ce) || ce.Code != websocket.StatusGoingAway {
				t.Errorf("the WebSocket ended with %v", err)
			}
			break
		}
	}
	if n := testutil.ToFloat64(r.metrics.closed.WithLabelValues(endStop)); n != 2 {
		t.Errorf("%v streams were stopped, want 2", n)
	}
}
