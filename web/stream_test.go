package web

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/obs"
)

// tap reads a live stream.
type tap struct {
	t      *testing.T
	status int
	resp   *http.Response
	stop   context.CancelFunc
	events chan event
}

type event struct {
	name string
	data map[string]string
}

// listen opens a live stream as v.
func (v *visitor) listen(t *testing.T, query string) *tap {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", v.h.url+"/live?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		t.Fatalf("GET /live?%s: %v", query, err)
	}
	s := &tap{t: t, status: resp.StatusCode, resp: resp, stop: cancel, events: make(chan event, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(s.events)
		s.read()
	}()
	t.Cleanup(func() {
		cancel()
		resp.Body.Close()
		<-done
	})
	return s
}

func (s *tap) read() {
	lines := bufio.NewScanner(s.resp.Body)
	lines.Buffer(nil, 1<<20)
	name := ""
	for lines.Scan() {
		if n, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			name = n
		}
		if d, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			ev := event{name: name}
			if err := json.Unmarshal([]byte(d), &ev.data); err != nil {
				ev.name = "unreadable: " + d
			}
			s.events <- ev
		}
	}
}

// want waits for an event for which ok holds.
func (s *tap) want(what string, ok func(event) bool) {
	s.t.Helper()
	deadline := time.After(15 * time.Second)
	var last event
	for {
		select {
		case ev, open := <-s.events:
			if !open {
				s.t.Fatalf("the stream ended before %s", what)
			}
			if last = ev; ok(ev) {
				return
			}
		case <-deadline:
			s.t.Fatalf("waited in vain for %s; the last event was %+v", what, last)
		}
	}
}

// wantEnd waits until the stream ends.
func (s *tap) wantEnd(what string) {
	s.t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		select {
		case _, open := <-s.events:
			if !open {
				return
			}
		case <-deadline:
			s.t.Fatalf("the stream goes on: %s", what)
		}
	}
}

func part(name, text string) func(event) bool {
	return func(ev event) bool {
		return ev.name == "part" && ev.data["name"] == name && strings.Contains(ev.data["html"], text)
	}
}

func TestOverviewFollowsThePlatform(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	s := h.signIn("root").listen(t, "topic=overview")
	if s.status != 200 || s.resp.Header.Get("Content-Type") != "text/event-stream" || s.resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("GET /live = %d %v", s.status, s.resp.Header)
	}
	s.want("the state to begin with", part("counts", `data-count="registered">0<`))
	h.phones.register("demo", "1003", "sip:1003@198.51.100.40", "Phone")
	s.want("the count after a registration", part("counts", `data-count="registered">1<`))
	if err := h.phones.unregister("demo", "1003", "", "expired"); err != nil {
		t.Fatal(err)
	}
	s.want("why it went away", part("events", "was not renewed in time"))
	h.setLevel(obs.LevelDegraded, "the disk is slow")
	reason, level := false, false // in whichever order
	s.want("a degraded service with its reason, and with it the whole platform", func(ev event) bool {
		reason = reason || part("services", "the disk is slow")(ev)
		level = level || part("counts", "Degraded")(ev)
		return reason && level
	})
}

func TestOverviewOfATenantShowsNoOtherTenant(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	s := h.signIn("sven").listen(t, "topic=overview")
	h.phones.register("acme", "2001", "sip:2001@198.51.100.50", "Phone")
	h.phones.register("demo", "1004", "sip:1004@198.51.100.50", "Phone")
	s.want("the own tenant's event", part("events", "1004"))
	body := h.signIn("sven").get("/").body
	if strings.Contains(body, "2001") || strings.Contains(body, "127.0.0.1:9100") {
		t.Error("a supervisor sees another tenant's device, or where services listen")
	}
	if !strings.Contains(body, `data-count="registered">1<`) {
		t.Error("the count is not that of the own tenant")
	}
}

func TestRowsOfTheListFollowOnlyWhatIsShown(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	s := h.signIn("sven").listen(t, "topic=devices&tenant=demo&from=1002&to=1004")
	until(t, "the stream is open", func() bool { return h.web.hub.Stats().Open == 1 })
	for _, dn := range []string{"1001", "1005", "1003"} {
		h.phones.register("demo", dn, "sip:"+dn+"@198.51.100.40", "Phone of "+dn)
	}
	s.want("the first event", func(ev event) bool {
		if ev.name != "device" || ev.data["dn"] != "1003" || ev.data["phone"] != "Phone of 1003" || !strings.Contains(ev.data["state"], "Registered") {
			t.Errorf("event %+v, want the state of 1003 only", ev)
		}
		return true
	})
}

func TestDeviceFollowsEveryContact(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	h.phones.register("demo", "1001", "sip:a@198.51.100.40", "First")
	s := h.signIn("anna.admin").listen(t, "topic=device&tenant=demo&dn=1001")
	s.want("the contact there is", part("bindings", "First"))
	h.phones.mu.Lock() // another contact, and no event: the number was in service before
	k := [2]string{"demo", "1001"}
	h.phones.byDN[k] = append(h.phones.byDN[k], contract.Binding{Contact: "sip:b@198.51.100.41", UserAgent: "Second", Transport: "tls"})
	h.phones.mu.Unlock()
	s.want("the second contact", part("bindings", "Second"))
	s.want("the state", part("state", "2 contacts"))
}

func TestStreamsAreLimitedAndGivenBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{config: func(c *Config) { c.StreamsPerSession = 2 }})
	v := h.signIn("root")
	a, b := v.listen(t, "topic=overview"), v.listen(t, "topic=overview")
	if c := v.listen(t, "topic=overview"); a.status != 200 || b.status != 200 || c.status != 429 {
		t.Fatalf("three streams of a session that may have two: %d, %d, %d, want 200, 200, 429", a.status, b.status, c.status)
	}
	if other := h.signIn("root").listen(t, "topic=overview"); other.status != 200 {
		t.Errorf("a stream of another session = %d, want 200", other.status)
	}
	a.stop() // the page is closed; nothing needs to be written to notice
	until(t, "its place is free", func() bool { return h.web.hub.Stats().Open == 2 })
	if c := v.listen(t, "topic=overview"); c.status != 200 {
		t.Errorf("a stream in the freed place = %d, want 200", c.status)
	}
}

func TestStreamEndsWithTheSession(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	v := h.signIn("root")
	s := v.listen(t, "topic=overview")
	s.want("the state to begin with", part("counts", "Registered numbers"))
	v.post("/", "/signout")
	s.want("the word that it has ended", func(ev event) bool { return ev.name == "end" })
	s.wantEnd("the session is over")
}

func TestStreamsEndWhenTheServerStops(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	s := h.signIn("root").listen(t, "topic=overview")
	s.want("the state to begin with", part("counts", "Registered numbers"))
	began := time.Now()
	h.stop()
	s.wantEnd("the server has stopped")
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the stop took %v; an open stream must not hold it up", took)
	}
}

// TestAClientThatReadsNothingHoldsUpNobody opens a stream by hand, reads nothing, and makes far more news than fit
// into the buffers between.
func TestAClientThatReadsNothingHoldsUpNobody(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	v := h.signIn("root")
	cookies := ""
	for _, c := range v.client.Jar.Cookies(mustURL(t, h.url)) {
		cookies += c.Name + "=" + c.Value + "; "
	}
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /live?topic=overview HTTP/1.1\r\nHost: " + h.addr + "\r\nCookie: " + cookies + "\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	until(t, "the stream is open", func() bool { return h.web.hub.Stats().Open == 1 })
	quick := v.listen(t, "topic=overview")
	for i := range 200 {
		h.setLevel(obs.LevelDegraded, strings.Repeat("slow ", 1000)+time.Duration(i).String())
		h.phones.register("demo", "1001", "sip:a@198.51.100.40", "Phone")
	}
	quick.want("news on another page", part("events", "registered"))
	if a := v.get("/me"); a.status != 200 {
		t.Errorf("another page = %d", a.status)
	}
	if _, err := fabric.Call(context.Background(), h.f, contract.Bans, struct{}{}); err != nil {
		t.Error(err)
	}
}

func TestAClientThatTalksIsCutOff(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	v := h.signIn("root")
	cookies := ""
	for _, c := range v.client.Jar.Cookies(mustURL(t, h.url)) {
		cookies += c.Name + "=" + c.Value + "; "
	}
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /live?topic=overview HTTP/1.1\r\nHost: " + h.addr + "\r\nCookie: " + cookies + "\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	until(t, "the stream is open", func() bool { return h.web.hub.Stats().Open == 1 })
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	until(t, "the stream has ended", func() bool { return h.web.hub.Stats().Open == 0 })
}
