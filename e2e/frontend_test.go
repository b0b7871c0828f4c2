package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/e2e/phone"
	"parley/internal/voice"
)

// desk is a client of the front end's REST interface.
type desk struct {
	t     *testing.T
	base  string
	token string
	last  string // id of the last event
}

func newDesk(t *testing.T, p *platform, user string) *desk {
	t.Helper()
	token, code := p.cli("token", "--user", user)
	if code != 0 {
		t.Fatalf("token: %s", token)
	}
	return &desk{t: t, base: "http://" + p.address("frontend", "http") + "/api/v1/tenants/demo", token: strings.Fields(token)[0]}
}

// ask makes a request, and returns its ConnID.
func (d *desk) ask(req map[string]any) string {
	d.t.Helper()
	body, err := json.Marshal(req)
	if err != nil {
		d.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.base+"/requests", strings.NewReader(string(body)))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.token)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	var a struct {
		ID, ConnID, ErrorMessage string
	}
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil || res.StatusCode != http.StatusOK || a.ID != "EventACK" {
		d.t.Fatalf("%v: %s %+v, %v", req, res.Status, a, err)
	}
	return a.ConnID
}

// feed is an event stream: it gives events until it is cut.
type feed struct {
	events <-chan voice.CallEvent
	cut    func() // returns when the connection is gone
}

// follow opens an event stream, behind the last event that was read.
func (d *desk) follow() *feed {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+"/events?dn=1001&dn=1002", http.NoBody)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.token)
	if d.last != "" {
		r.Header.Set("Last-Event-ID", d.last)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != http.StatusOK {
		d.t.Fatalf("events: %+v, %v", res, err)
	}
	lines := bufio.NewScanner(res.Body)
	for d.last == "" && lines.Scan() { // the first word is where the stream begins
		d.last, _ = strings.CutPrefix(lines.Text(), "id: ")
		if d.last == lines.Text() {
			d.last = ""
		}
	}
	out, done := make(chan voice.CallEvent), make(chan struct{})
	go func() {
		defer close(done)
		defer res.Body.Close()
		id := ""
		for lines.Scan() {
			if v, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				id = v
			}
			v, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var e voice.CallEvent
			if err := json.Unmarshal([]byte(v), &e); err != nil {
				d.t.Errorf("%s: %v", v, err)
			}
			if e.ConnID == "" { // a phone came into service
				continue
			}
			select {
			case out <- e:
				d.last = id
			case <-ctx.Done():
				return
			}
		}
	}()
	return &feed{events: out, cut: func() { cancel(); <-done }}
}

// want reads events of a DN until one of a name comes, which must carry the reference.
func (f *feed) want(t *testing.T, dn string, name voice.EventName, ref int64) voice.CallEvent {
	t.Helper()
	var seen []string
	late := time.After(20 * time.Second)
	for {
		select {
		case e := <-f.events:
			if e.ThisDN == dn && e.ID == name {
				if e.ReferenceID != ref {
					t.Errorf("%s of %s has ReferenceID %d, want %d", name, dn, e.ReferenceID, ref)
				}
				return e
			}
			seen = append(seen, fmt.Sprintf("%s %s", e.ThisDN, e.ID))
		case <-late:
			t.Fatalf("no %s of %s; seen: %v", name, dn, seen)
		}
	}
}

// A client makes a call between two phones by REST, holds, retrieves and releases it. Its event stream is cut in between, and
// goes on where it was: each event of the call comes once and in order.
func TestClientDrivesCall(t *testing.T) {
	t.Parallel()
	p := queues(t, "front")
	alice, bob := agent(t, p, "1001", "udp"), agent(t, p, "1002", "udp")
	d := newDesk(t, p, "admin")
	f := d.follow()
	conn := d.ask(map[string]any{"request": "RequestMakeCall", "ThisDN": "1001", "OtherDN": "1002", "ReferenceID": 1, "UserData": map[string]any{"vip": 1}})
	take := func(a *phone.Agent) *phone.Call {
		t.Helper()
		select {
		case c := <-a.Incoming:
			c.Ring()
			if err := c.Answer(phone.OpenAudio(t).Offer("sendrecv")); err != nil {
				t.Fatal(err)
			}
			return c
		case <-time.After(20 * time.Second):
			t.Fatalf("%s is not called", a.Number())
			return nil
		}
	}
	out := take(alice)
	if e := f.want(t, "1001", voice.EventDialing, 1); e.ConnID != conn || e.UserData.Text("vip") != "1" {
		t.Errorf("%+v, want ConnID %s", e, conn)
	}
	in := take(bob)
	f.want(t, "1001", voice.EventEstablished, 0)

	hold := map[string]any{"ThisDN": "1001", "ConnID": conn}
	ask := func(name string, ref int) {
		t.Helper()
		hold["request"], hold["ReferenceID"] = name, ref
		d.ask(hold)
	}
	ask("RequestHoldCall", 2)
	held := f.want(t, "1001", voice.EventHeld, 2)
	f.cut()
	ask("RequestRetrieveCall", 3)
	f = d.follow() // what happened meanwhile is not lost
	if e := f.want(t, "1001", voice.EventRetrieved, 3); e.Seq <= held.Seq {
		t.Errorf("events came twice: %d after %d", e.Seq, held.Seq)
	}
	ask("RequestReleaseCall", 4)
	f.want(t, "1001", voice.EventReleased, 4)
	for _, c := range []*phone.Call{out, in} {
		select {
		case <-c.Ended:
		case <-time.After(20 * time.Second):
			t.Errorf("call %s goes on", c.ID)
		}
	}
}
