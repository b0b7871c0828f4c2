package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/e2e/books"
	"parley/e2e/peer"
	"parley/e2e/phone"
	"parley/internal/contract"
	"parley/internal/voice"
)

// visitor is a caller at a route point.
type visitor struct {
	t    *testing.T
	p    *platform
	dn   string
	call *phone.Call
	ear  *phone.Audio
	bob  *phone.Agent
	in   *phone.Call // at bob's, to whom the call is routed
}

// hears waits until the caller has heard something more.
func (v *visitor) hears() {
	v.t.Helper()
	before := len(v.ear.Got())
	peer.Poll(v.t, 20*time.Second, func() error {
		if n := len(v.ear.Got()); n < before+10 {
			return fmt.Errorf("%d packets came, %d before", n, before)
		}
		return nil
	})
}

// routed sends the call to bob, where it rings.
func (v *visitor) routed() {
	v.t.Helper()
	if out, code := v.p.cli("route", v.dn, v.bob.Number()); code != 0 {
		v.t.Fatalf("route: %s", out)
	}
	select {
	case v.in = <-v.bob.Incoming:
		v.in.Ring()
	case <-time.After(20 * time.Second):
		v.t.Fatal("the phone it was routed to does not ring")
	}
	v.shows(func(c contract.LiveCall) bool { return !c.Ringing.IsZero() })
}

// shows waits until the list of calls shows the call as ok wants it.
func (v *visitor) shows(ok func(contract.LiveCall) bool) (found contract.LiveCall) {
	v.t.Helper()
	peer.Poll(v.t, 20*time.Second, func() error {
		var live contract.CallsResponse
		if err := json.Unmarshal([]byte(rest(v.t, v.p, "sip", http.MethodGet, "/api/v1/tenants/demo/calls", http.StatusOK)), &live); err != nil {
			return err
		}
		at := slices.IndexFunc(live.Calls, ok)
		if at < 0 {
			return fmt.Errorf("calls in progress: %+v", live.Calls)
		}
		found = live.Calls[at]
		return nil
	})
	return found
}

// presses tells a key in INFO.
func (v *visitor) presses(key string) {
	v.t.Helper()
	if res, err := v.call.Request("INFO", "Content-Type: application/dtmf-relay\r\n", "Signal="+key+"\r\nDuration=160\r\n"); err != nil || res.Status != 200 {
		v.t.Fatalf("INFO: %+v, %v", res, err)
	}
}

// speaks until done says nil.
func (v *visitor) speaks(done func() error) {
	v.t.Helper()
	to, _ := ends(v.t, v.call)
	peer.Poll(v.t, 30*time.Second, func() error {
		v.ear.Say(to, make([]byte, 160))
		return done()
	})
}

// Wherever a call at a route point has got to when the caller hangs up, nothing of it stays: no call, no leg, no port, no file; and
// what was written down of it is complete.
func TestCallerLeavesARoutePoint(t *testing.T) {
	t.Parallel()
	p := queues(t, "leaving")
	alice, bob := agent(t, p, "1001", "udp"), agent(t, p, "1002", "tcp")
	recording := filepath.Join(p.dir, "data", "announcements", "demo", "anna")
	long := voice.KVList{}
	for i := range 20 {
		long[fmt.Sprint(i+1)] = voice.KVList{"ID": "queue/all_busy"}
	}
	announcement, err := json.Marshal(voice.KVList{"PROMPT": long})
	if err != nil {
		t.Fatal(err)
	}
	const came, gone = "Dialing 1001, Queued 9000, RouteRequest 9000", "Released 1001, Abandoned 9000"
	const early, earlyGone = "Dialing 1001, Queued 9002, RouteRequest 9002", "Released 1001, Abandoned 9002"
	steps := []struct {
		name   string
		dn     string
		until  func(v *visitor)
		events string
	}{
		{"before anybody does anything", "9000", func(v *visitor) { v.hears() }, came + ", " + gone},
		{"during an announcement", "9000", func(v *visitor) {
			v.p.treat(v.dn, "PlayAnnouncement", string(announcement))
			v.hears()
		}, came + ", TreatmentApplied 9000, " + gone},
		{"between digits", "9000", func(v *visitor) {
			v.p.treat(v.dn, "CollectDigits", `{"MAX_DIGITS":4,"DIGIT_TIMEOUT":0}`)
			v.presses("4")
			v.presses("2")
		}, came + ", TreatmentApplied 9000, " + gone},
		{"while an announcement is recorded", "9000", func(v *visitor) {
			v.p.treat(v.dn, "RecordUserAnnouncement", `{"USER_ID":"anna","TOTAL_TIMEOUT":120}`)
			v.speaks(func() error {
				for _, f := range files(recording) {
					if info, err := os.Stat(f); err == nil && info.Size() > 2*rate/5 {
						return nil
					}
				}
				return fmt.Errorf("nothing is recorded in %s", recording)
			})
		}, came + ", TreatmentApplied 9000, " + gone},
		{"while it rings where it was routed to", "9000", func(v *visitor) { v.routed() },
			came + ", RouteUsed 9000, Ringing 1002, Released 1001, Abandoned 1002, Abandoned 9000"},
		{"after it was busy there", "9000", func(v *visitor) {
			v.p.treat(v.dn, "Music", "")
			v.routed()
			v.in.Reject(486)
			v.shows(func(c contract.LiveCall) bool { return c.State == "queued" })
			v.hears()
		}, came + ", TreatmentApplied 9000, RouteUsed 9000, Ringing 1002, Released 1002, Error 9000, RouteRequest 9000, " + gone},
		{"before he was answered", "9002", func(v *visitor) {
			v.p.treat(v.dn, "Music", "")
			v.hears()
		}, early + ", TreatmentApplied 9002, " + earlyGone},
		{"before he was answered, while it rings", "9002", func(v *visitor) { v.routed() },
			early + ", RouteUsed 9002, Ringing 1002, Released 1001, Abandoned 1002, Abandoned 9002"},
		{"in a conference", "9000", func(v *visitor) {
			id := v.shows(func(c contract.LiveCall) bool { return c.Queue == v.dn }).CallUUID
			send(v.t, p, http.MethodPut, "calls/"+id+"/conference", map[string]any{"room": "meeting"}, nil)
			v.hears()
		}, came + ", " + gone},
	}
	total := portPairs(t, p, "free")
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			here := *p
			here.t = t
			p := &here
			v := &visitor{t: t, p: p, dn: s.dn, ear: phone.OpenAudio(t), bob: bob}
			v.call = alice.Dial(s.dn, v.ear.Offer("sendrecv"))
			taken := s.dn == "9000"
			if taken {
				if status := v.call.Final(20 * time.Second); status != 200 {
					t.Fatalf("the call ended with %d", status)
				}
			}
			p.waiting(s.dn)
			s.until(v)
			if taken {
				if err := v.call.Bye(); err != nil {
					t.Error(err)
				}
			} else {
				if err := v.call.Cancel(); err != nil {
					t.Error(err)
				}
				if status := v.call.Final(20 * time.Second); status != 487 {
					t.Errorf("the call ended with %d, want 487", status)
				}
			}
			if v.in != nil {
				select {
				case <-v.in.Ended:
				case <-time.After(20 * time.Second):
					t.Error("the phone it was routed to rings on")
				}
			}
			callsAt(t, p, exactly(0))
			peer.Poll(t, 20*time.Second, func() error {
				if legs, used, free := counted(t, p, "legs"), portPairs(t, p, "in_use"), portPairs(t, p, "free")+portPairs(t, p, "resting"); legs != 0 || used != 0 || free != total {
					return fmt.Errorf("%d legs; %d port pairs are in use and %d are not, of %d", legs, used, free, total)
				}
				return nil
			})
		})
	}
	var rooms contract.ConferencesResponse
	if send(t, p, http.MethodGet, "conferences", nil, &rooms); len(rooms.Conferences) != 0 {
		t.Errorf("conferences: %+v", rooms.Conferences)
	}
	peer.Poll(t, 20*time.Second, func() error {
		if left := files(recording); len(left) != 0 {
			return fmt.Errorf("of the recording is left %v", left)
		}
		return nil
	})
	records(t, p, len(steps))
	p.proc.Stop()
	b, err := books.Open(t.Context(), filepath.Join(p.dir, "data"), "leaving", "demo")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Check(); err != nil {
		t.Error(err)
	}
	slices.SortFunc(b.Records, func(x, y voice.CDR) int { return x.Start.Compare(y.Start) })
	if len(b.Records) != len(steps) {
		t.Fatalf("%d records, want %d", len(b.Records), len(steps))
	}
	for i, s := range steps {
		r, status := b.Records[i], 200
		if s.dn == "9002" {
			status = 487
		}
		if r.Outcome != voice.OutcomeAbandoned || r.Status != status || r.RoutePoint != s.dn || r.EndedBy != "caller" || r.Queued <= 0 {
			t.Errorf("%s: record %+v", s.name, r)
		}
		var names []string
		for _, e := range b.Events {
			if e.CallUUID == r.CallUUID {
				names = append(names, strings.TrimPrefix(string(e.ID), "Event")+" "+e.ThisDN)
			}
		}
		if got := strings.Join(names, ", "); got != s.events {
			t.Errorf("%s: events\n%s\nwant\n%s", s.name, got, s.events)
		}
	}
}

// files are those in a folder.
func files(dir string) (out []string) {
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, path)
		}
		return nil
	})
	return out
}

// portPairs is how many port pairs of the node are in a state.
func portPairs(t *testing.T, p *platform, state string) (n int) {
	t.Helper()
	m := regexp.MustCompile(`(?m)^parley_media_port_pairs\{state="` + state + `"\} (\S+)$`).FindStringSubmatch(scrape(t, p, "sip"))
	if m == nil {
		t.Fatalf("/metrics has no port pairs that are %s", state)
	}
	if _, err := fmt.Sscan(m[1], &n); err != nil {
		t.Fatal(err)
	}
	return n
}
