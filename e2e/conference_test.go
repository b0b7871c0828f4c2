package e2e

import (
	bits "encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/internal/contract"
	"parley/internal/media/audio"
	"parley/internal/media/wav"
)

// member is a softphone in a conference: it plays a tone of its own and writes down what it hears.
type member struct {
	number string
	hz     float64
	dir    string
	proc   *peer.Process
	id     string // as a participant
}

// toneLevel is how loud members play.
const toneLevel = 6000

func newMember(t *testing.T, p *platform, number string, hz float64, answer bool) *member {
	t.Helper()
	m := &member{number: number, hz: hz, dir: t.TempDir()}
	tone := filepath.Join(m.dir, "tone.wav")
	w, err := wav.Create(tone, wav.Format{Encoding: wav.PCM, Rate: rate, Channels: 1})
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]int16, 90*rate)
	for i := range pcm {
		pcm[i] = int16(toneLevel * math.Sin(2*math.Pi*hz*float64(i)/rate))
	}
	if err := w.Write(pcm); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(-1); err != nil {
		t.Fatal(err)
	}
	m.proc = peer.Baresip(t, peer.Account{User: number, Password: nodeSecret, Domain: "demo.local", Transport: "udp", Server: p.sip("udp"),
		Plays: tone, Heard: m.dir, Answer: answer})
	peer.BaresipRegistered(m.proc)
	return m
}

// heard is what the phone has written down so far.
func (m *member) heard() []int16 {
	b, err := os.ReadFile(peer.Heard(m.dir))
	if err != nil || len(b) < wavHeader {
		return nil
	}
	pcm := make([]int16, (len(b)-wavHeader)/2)
	for i := range pcm {
		pcm[i] = int16(bits.LittleEndian.Uint16(b[wavHeader+2*i:]))
	}
	return pcm
}

// later waits until all phones have heard so many seconds more, and returns the last of them for each.
func later(t *testing.T, seconds float64, members []*member) [][]int16 {
	t.Helper()
	before := make([]int, len(members))
	for i, m := range members {
		before[i] = len(m.heard())
	}
	out := make([][]int16, len(members))
	for i, m := range members {
		var pcm []int16
		peer.Poll(t, 40*time.Second, func() error {
			if pcm = m.heard(); float64(len(pcm)-before[i]) < seconds*rate {
				return fmt.Errorf("%s heard %.1f s more", m.number, float64(len(pcm)-before[i])/rate)
			}
			return nil
		})
		out[i] = pcm[len(pcm)-rate:]
	}
	return out
}

// levelOf is how loud a tone is in sound, 1 being that at which members play: the mean of its tenths of a second, since clocks
// of phones differ.
func levelOf(pcm []int16, hz float64) float64 {
	const window = rate / 10
	sum, n := 0.0, 0
	for i := 0; i+window <= len(pcm); i += window {
		var re, im float64
		for j, s := range pcm[i : i+window] {
			at := 2 * math.Pi * hz * float64(j) / rate
			re += float64(s) * math.Cos(at)
			im += float64(s) * math.Sin(at)
		}
		sum += 2 * math.Hypot(re, im) / window / toneLevel
		n++
	}
	return sum / float64(max(1, n))
}

// send is a request with a body to the REST interface of the SIP node, whose answer goes into out.
func send(t *testing.T, p *platform, method, path string, body, out any) {
	t.Helper()
	sendTo(t, p, "sip", method, path, body, out)
}

// sendTo is the same for any service.
func sendTo(t *testing.T, p *platform, service, method, path string, body, out any) {
	t.Helper()
	token, code := p.cli("token", "--user", "admin")
	if code != 0 {
		t.Fatalf("token: %s", token)
	}
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.address(service, "http")+"/api/v1/tenants/demo/"+path, strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.Fields(token)[0])
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %v: %s", method, path, res.Status, err, answer)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			t.Fatalf("%s %s: %v in %s", method, path, err, answer)
		}
	}
}

// expectHears checks who hears whom, after a moment in which what was before has passed. On a busy machine a phone may have gaps in
// what it plays and writes down, so a second that is not as it should be is followed by others.
func expectHears(t *testing.T, what string, matrix [][]bool, members ...*member) {
	t.Helper()
	var wrong []string
	for range 4 {
		wrong = nil
		heard := later(t, 3, members)
		for i, row := range matrix {
			for j, want := range row {
				if got := levelOf(heard[i], members[j].hz); want && got < 0.5 || !want && got > 0.1 {
					wrong = append(wrong, fmt.Sprintf("%s hears %s at %.2f, want it to be heard: %v", members[i].number, members[j].number, got, want))
				}
			}
		}
		if len(wrong) == 0 {
			return
		}
	}
	t.Errorf("%s:\n%s", what, strings.Join(wrong, "\n"))
}

// Three softphones at a route point are put into a conference: each hears the other two and not himself. An observer hears and is
// not heard; the one who is coached alone hears the coach. What was recorded of it survives that the node is killed.
func TestConference(t *testing.T) {
	t.Parallel()
	p := start(t, "conference", "", "--provision", provision(t, `tenants:
  - name: demo
    domains: [demo.local]
    default: true
    dns:
      - {number: "1001", type: extension, password: `+nodeSecret+`}
      - {number: "1002", type: extension, password: `+nodeSecret+`}
      - {number: "1003", type: extension, password: `+nodeSecret+`}
      - {number: "1004", type: extension, password: `+nodeSecret+`}
      - {number: "1005", type: extension, password: `+nodeSecret+`}
      - {number: "9000", type: routing-point, options: {TServer: {router-timeout: "120"}}}
    persons: [{username: admin, password: the-admin-secret, roles: [system]}]
`))
	a, b, c := newMember(t, p, "1001", 450, false), newMember(t, p, "1002", 750, false), newMember(t, p, "1003", 1250, false)
	watcher, coach := newMember(t, p, "1004", 1650, false), newMember(t, p, "1005", 2250, false)
	all := []*member{a, b, c, watcher, coach}
	for _, m := range all {
		m.proc.Type("/dial sip:9000@demo.local")
		m.proc.Await(`Call established`, 20*time.Second)
	}
	var calls contract.CallsResponse
	send(t, p, http.MethodGet, "calls", nil, &calls)
	for _, call := range calls.Calls {
		for _, m := range all {
			if m.number == call.Caller {
				m.id = call.CallUUID
			}
		}
	}
	for _, m := range []*member{a, b, c} {
		send(t, p, http.MethodPut, "calls/"+m.id+"/conference", map[string]any{"room": "meeting"}, nil)
	}
	var recording contract.RecordConferenceResponse
	send(t, p, http.MethodPut, "conferences/meeting/recording", map[string]bool{"on": true}, &recording)
	began := time.Now()
	expectHears(t, "three", [][]bool{{false, true, true}, {true, false, true}, {true, true, false}}, a, b, c)

	send(t, p, http.MethodPut, "calls/"+watcher.id+"/conference", map[string]any{"room": "meeting", "role": "observer"}, nil)
	send(t, p, http.MethodPut, "calls/"+coach.id+"/conference", map[string]any{"room": "meeting", "role": "coach", "of": b.id}, nil)
	expectHears(t, "observer and coach", [][]bool{
		{false, true, true, false, false},
		{true, false, true, false, true},
		{true, true, false, false, false},
		{true, true, true, false, false},
		{true, true, true, false, false},
	}, all...)
	var rooms contract.ConferencesResponse
	send(t, p, http.MethodGet, "conferences", nil, &rooms)
	if r := rooms.Conferences; len(r) != 1 || len(r[0].Participants) != len(all) || r[0].Recording != recording.File {
		t.Errorf("the list says %+v", rooms)
	}

	lasted := time.Since(began)
	p.proc.Kill()
	f, err := wav.Load(recording.File, wav.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if f.Cut || f.Duration() < lasted-2500*time.Millisecond { // a second, and what a busy machine is behind
		t.Errorf("%v are in the recording (cut: %v) of %v until the node was killed", f.Duration(), f.Cut, lasted)
	}
	pcm := f.Mono(audio.Narrow)
	pcm = pcm[max(0, len(pcm)-rate):]
	for i, want := range []bool{true, true, true, false, false} {
		m := all[i]
		if got := levelOf(pcm, m.hz); want && got < 0.5 || !want && got > 0.1 {
			t.Errorf("the recording has %s at %.2f, want it to be heard: %v", m.number, got, want)
		}
	}
}

// A call that leaves its conference is a call of two again.
func TestConferenceEnds(t *testing.T) {
	t.Parallel()
	p := house(t, "conference-ends")
	a, b := newMember(t, p, "1001", 450, false), newMember(t, p, "1002", 750, true)
	a.proc.Type("/dial sip:1002@demo.local")
	a.proc.Await(`Call established`, 20*time.Second)
	var calls contract.CallsResponse
	send(t, p, http.MethodGet, "calls", nil, &calls)
	if len(calls.Calls) != 1 {
		t.Fatalf("the calls are %+v", calls)
	}
	uuid := calls.Calls[0].CallUUID
	send(t, p, http.MethodPut, "calls/"+uuid+"/conference", map[string]any{"room": "r"}, nil)
	send(t, p, http.MethodPatch, "participants/"+uuid, map[string]any{"muted": true}, nil)
	expectHears(t, "muted", [][]bool{{false, true}, {false, false}}, a, b)
	send(t, p, http.MethodDelete, "calls/"+uuid+"/conference", nil, nil)
	expectHears(t, "out of the conference", [][]bool{{false, true}, {true, false}}, a, b)
	a.proc.Type("/hangup")
	b.proc.Await(`session closed|terminated`, 15*time.Second)
	var rooms contract.ConferencesResponse
	send(t, p, http.MethodGet, "conferences", nil, &rooms)
	if len(rooms.Conferences) != 0 {
		t.Errorf("there are still %+v", rooms)
	}
}
