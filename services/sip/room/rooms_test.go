package room

import (
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"parley/internal/contract"
	"parley/internal/media/audio"
	"parley/internal/media/prompt"
	"parley/internal/media/wav"
	"parley/internal/voice"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// phone is a voice that says a tone of its own and remembers what it hears.
type phone struct {
	t    *testing.T
	hz   float64
	at   int
	ear  []int16
	play audio.Source
	to   audio.Sink
}

func (p *phone) Play(src audio.Source, _ func(error)) func() {
	p.play = src
	return func() { p.play = nil }
}

func (p *phone) Listen(to audio.Sink) func() {
	p.to = to
	return func() { p.to = nil }
}

const level = 5000

// tick is one of the media clock for phones.
func tick(phones ...*phone) {
	for _, p := range phones {
		if p.to == nil {
			continue
		}
		pcm := make([]int16, audio.Frame(p.to.Rate()))
		for i := range pcm {
			pcm[i] = int16(level * math.Sin(2*math.Pi*p.hz*float64(p.at)/float64(p.to.Rate())))
			p.at++
		}
		if err := p.to.Write(pcm); err != nil {
			p.t.Error(err)
		}
	}
	for _, p := range phones {
		if p.play == nil {
			continue
		}
		pcm := make([]int16, audio.Frame(p.play.Rate()))
		n, err := p.play.Read(pcm)
		if err != nil && err != io.EOF {
			p.t.Error(err)
		}
		p.ear = append(p.ear, pcm[:n]...)
	}
}

// heard is the level of a tone in pcm, 1 being that at which it was said.
func heard(pcm []int16, hz float64) float64 {
	var re, im float64
	for i, s := range pcm {
		a := 2 * math.Pi * hz * float64(i) / audio.Narrow
		re += float64(s) * math.Cos(a)
		im += float64(s) * math.Sin(a)
	}
	return 2 * math.Hypot(re, im) / float64(max(1, len(pcm))) / level
}

// expect lets a second pass, in which tones of the room end, and checks who hears whom in another one.
func expect(t *testing.T, what string, want [][]int, phones ...*phone) {
	t.Helper()
	for range 50 {
		tick(phones...)
	}
	for _, p := range phones {
		p.ear = nil
	}
	for range 50 {
		tick(phones...)
	}
	for i, l := range phones {
		for j, s := range phones {
			if got := heard(l.ear, s.hz); math.Abs(got-float64(want[i][j])) > 0.1 {
				t.Errorf("%s: %v hears %v at %.2f, want %d", what, l.hz, s.hz, got, want[i][j])
			}
		}
	}
}

func house(t *testing.T, o Options) (*Rooms, *prometheus.Registry) {
	t.Helper()
	var err error
	if o.Prompts, err = prompt.New("", nil); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	o.Node, o.Registry = "n1", reg
	r := New(o)
	t.Cleanup(r.Close)
	return r, reg
}

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func enter(t *testing.T, r *Rooms, call string, hz float64, role contract.ConferenceRole, of string) *phone {
	t.Helper()
	p := &phone{t: t, hz: hz}
	if err := r.Enter(Entry{Tenant: "acme", Room: "r", ID: call, CallUUID: call, Number: "+" + call, Role: role, Of: of, Voice: p}, now); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRoom(t *testing.T) {
	r, reg := house(t, Options{})
	a := enter(t, r, "a", 450, "", "")
	for range 50 {
		tick(a)
	}
	if l := audio.Level(a.ear[4000:]); l < -40 {
		t.Errorf("who is alone hears %.1f dBov, want music", l)
	}
	b := enter(t, r, "b", 750, contract.RoleTalker, "")
	a.ear = nil
	for range 10 {
		tick(a, b)
	}
	if got := heard(a.ear[200:1000], 1000); got < 1 {
		t.Errorf("no tone tells that somebody came: %.2f", got)
	}
	expect(t, "two", [][]int{{0, 1}, {1, 0}}, a, b)
	o, c := enter(t, r, "o", 1650, contract.RoleObserver, ""), enter(t, r, "c", 2250, contract.RoleCoach, "a")
	expect(t, "observer and coach", [][]int{{0, 1, 0, 1}, {1, 0, 0, 0}, {1, 1, 0, 0}, {1, 1, 0, 0}}, a, b, o, c)

	if n := testutil.CollectAndCount(reg, "parley_conference_rooms", "parley_conference_participants"); n != 4 {
		t.Errorf("%d metrics of rooms", n)
	}
	got := r.List(contract.ConferencesRequest{Tenant: "acme"})
	if len(got) != 1 || len(got[0].Participants) != 4 || got[0].Node != "n1" {
		t.Fatalf("List = %+v", got)
	}
	shown := got[0].Participants[3]
	if shown.ID != "c" || shown.CallUUID != "c" || shown.Number != "+c" || shown.Role != contract.RoleCoach || shown.Of != "a" || !slices.Equal(shown.Hears, []string{"a", "b"}) {
		t.Errorf("the coach is shown as %+v", shown)
	}
	if l := shown.Level; l < -25 || l > -15 {
		t.Errorf("the coach speaks at %.1f dBov", l)
	}

	yes, gain := true, -20.
	if err := r.Change(contract.ChangeConferenceRequest{Tenant: "acme", Participant: "b", Muted: &yes}); err != nil {
		t.Fatal(err)
	}
	if err := r.Hear(contract.HearConferenceRequest{Tenant: "acme", Listener: "o", Speaker: "c", Hears: true}); err != nil {
		t.Fatal(err)
	}
	if err := r.Change(contract.ChangeConferenceRequest{Tenant: "acme", Participant: "c", Gain: &gain}); err != nil {
		t.Fatal(err)
	}
	expect(t, "b muted, c softer", [][]int{{0, 0, 0, 0}, {1, 0, 0, 0}, {1, 0, 0, 0}, {1, 0, 0, 0}}, a, b, o, c)
	if got := heard(o.ear, c.hz); math.Abs(got-0.1) > 0.03 {
		t.Errorf("the observer hears the coach at %.2f, want 0.1", got)
	}
	no, loud := false, 0.
	for _, req := range []contract.ChangeConferenceRequest{{Participant: "b", Muted: &no}, {Participant: "c", Gain: &loud, Role: contract.RoleTalker}, {Participant: "a", Deaf: &yes}} {
		req.Tenant = "acme"
		if err := r.Change(req); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, "the coach talks, a is deaf", [][]int{{0, 0, 0, 0}, {1, 0, 0, 1}, {1, 1, 0, 1}, {1, 1, 0, 0}}, a, b, o, c)

	if !r.Leave("a") || !r.Leave("c") || r.Leave("c") {
		t.Error("Leave does not say who was there")
	}
	if a.play != nil || a.to != nil {
		t.Error("who has left still hears or speaks")
	}
	r.Leave("b")
	r.Leave("o")
	if got := r.List(contract.ConferencesRequest{}); len(got) != 0 {
		t.Errorf("an empty room is still there: %+v", got)
	}
}

func TestRefused(t *testing.T) {
	r, _ := house(t, Options{MaxRooms: 1})
	enter(t, r, "a", 450, "", "")
	other := Entry{Tenant: "other", Room: "r", ID: "x", Voice: &phone{t: t}}
	no := true
	for what, c := range map[string]struct{ err, want error }{
		"a second room of a house for one": {r.Enter(other, now), voice.ErrOverloaded},
		"a bad name":                       {r.Enter(Entry{Tenant: "acme", Room: "../r", ID: "b"}, now), voice.ErrInvalid},
		"in a room already":                {r.Enter(Entry{Tenant: "acme", Room: "r2", ID: "a"}, now), voice.ErrConflict},
		"a coach of nobody":                {r.Enter(Entry{Tenant: "acme", Room: "r", ID: "b", Role: contract.RoleCoach, Of: "z"}, now), voice.ErrInvalid},
		"what is no role":                  {r.Enter(Entry{Tenant: "acme", Room: "r", ID: "b", Role: "king"}, now), voice.ErrInvalid},
		"a call that is in no room":        {r.Change(contract.ChangeConferenceRequest{Tenant: "acme", Participant: "b", Muted: &no}), voice.ErrNotFound},
		"a call of another tenant":         {r.Change(contract.ChangeConferenceRequest{Tenant: "other", Participant: "a", Muted: &no}), voice.ErrNotFound},
		"a speaker who is not there":       {r.Hear(contract.HearConferenceRequest{Tenant: "acme", Listener: "a", Speaker: "b"}), voice.ErrNotFound},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", what, c.err, c.want)
		}
	}
	if _, err := r.Record(contract.RecordConferenceRequest{Tenant: "acme", Room: "r", On: true}, now); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("a recording without a directory: %v", err)
	}
	if _, err := r.Record(contract.RecordConferenceRequest{Tenant: "other", Room: "r", On: true}, now); !errors.Is(err, voice.ErrNotFound) {
		t.Errorf("a recording of another tenant's room: %v", err)
	}
	if got := r.List(contract.ConferencesRequest{}); len(got) != 1 || len(got[0].Participants) != 1 {
		t.Errorf("those who were refused left something: %+v", got)
	}
}

func TestRecording(t *testing.T) {
	r, _ := house(t, Options{Recordings: t.TempDir(), Failed: func(why string) { t.Error(why) }})
	a, b := enter(t, r, "a", 450, "", ""), enter(t, r, "b", 750, "", "")
	c := enter(t, r, "c", 1650, contract.RoleCoach, "a")
	record := func(on bool) string {
		t.Helper()
		path, err := r.Record(contract.RecordConferenceRequest{Tenant: "acme", Room: "r", On: on}, now)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	path := record(true)
	if again := record(true); again != path || !strings.HasSuffix(path, "/acme/conference/r-20260301T120000.000Z.wav") {
		t.Errorf("the file is %s, asked again %s", path, again)
	}
	for i := range 200 { // of four seconds the first have the prompt in them
		tick(a, b, c)
		onDisk(t, path, (i-50)*320) // a second behind, while the recorder has room for two
	}
	if got := r.List(contract.ConferencesRequest{Room: "r"}); got[0].Recording != path {
		t.Errorf("the list has recording %q", got[0].Recording)
	}
	if again := record(false); again != path {
		t.Errorf("what ended is %s", again)
	}
	if again := record(false); again != "" {
		t.Errorf("what ended twice is %s", again)
	}
	r.Close()
	f, err := wav.Load(path, wav.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	pcm := f.Mono(audio.Narrow)
	if len(pcm) < 199*160 {
		t.Fatalf("%d samples are recorded", len(pcm))
	}
	for hz, want := range map[float64]float64{a.hz: 1, b.hz: 1, c.hz: 0} {
		if got := heard(pcm[24000:], hz); math.Abs(got-want) > 0.1 {
			t.Errorf("%v is in the recording at %.2f, want %v", hz, got, want)
		}
	}
}

// onDisk waits until a file has so many bytes: sound comes faster here than a busy machine may write it.
func onDisk(t *testing.T, path string, bytes int) {
	t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		info, err := os.Stat(path)
		if err == nil && info.Size() >= int64(bytes) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("waited for %d bytes of the recording: %v, %v", bytes, info, err)
		case <-tick.C:
		}
	}
}

func TestRecordingFails(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	r, _ := house(t, Options{Recordings: file, Failed: func(string) { n++ }}) // no directory
	enter(t, r, "a", 450, "", "")
	if _, err := r.Record(contract.RecordConferenceRequest{Tenant: "acme", Room: "r", On: true}, now); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("a recording that cannot begin: %v", err)
	}
	if n != 1 {
		t.Errorf("%d recordings are counted as failed", n)
	}
}
