package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/e2e/books"
	"parley/e2e/peer"
	"parley/e2e/phone"
	"parley/internal/contract"
	"parley/internal/media/audio"
	"parley/internal/media/codec"
	"parley/internal/media/dtmf"
	"parley/internal/media/play"
	"parley/internal/media/prompt"
	"parley/internal/media/wav"
	"parley/internal/voice"
)

// queues starts a node with numbers 1001 to 1003 and route points: calls to 9000 are answered, those to 9001 and
// 9002 kept in early media; at 9001 nobody waits for long.
// more is added to its configuration.
func queues(t *testing.T, id string, more ...string) *platform {
	t.Helper()
	var dns strings.Builder
	for n := 1001; n <= 1003; n++ {
		fmt.Fprintf(&dns, "      - {number: \"%d\", type: extension, password: %s}\n", n, nodeSecret)
	}
	dns.WriteString("      - {number: \"9000\", type: routing-point, options: {TServer: {router-timeout: \"120\"}}}\n")
	dns.WriteString("      - {number: \"9001\", type: routing-point, options: {TServer: {answer: early, router-timeout: \"2\"}}}\n")
	dns.WriteString("      - {number: \"9002\", type: routing-point, options: {TServer: {answer: early, router-timeout: \"120\"}}}\n")
	return start(t, id, strings.Join(more, ""), "--provision", provision(t, "tenants:\n  - name: demo\n    domains: [demo.local]\n    default: true\n    dns:\n"+dns.String()+
		"    persons: [{username: admin, password: the-admin-secret, roles: [system]}]\n"))
}

// treat applies a treatment to the call at a route point.
func (p *platform) treat(dn, what, params string) {
	p.t.Helper()
	if out, code := p.cli("treat", dn, what, params); code != 0 || out != "accepted\n" {
		p.t.Fatalf("%s %s: %d: %s", what, params, code, out)
	}
}

// idle waits until the call at a route point has no treatment; waiting, until there is a call.
func (p *platform) idle(dn string) {
	p.t.Helper()
	p.atQueue(dn, func(c contract.LiveCall) bool { return c.Treatment == "" })
}

func (p *platform) waiting(dn string) {
	p.t.Helper()
	p.atQueue(dn, func(contract.LiveCall) bool { return true })
}

func (p *platform) atQueue(dn string, ok func(contract.LiveCall) bool) {
	p.t.Helper()
	peer.Poll(p.t, 30*time.Second, func() error {
		var live contract.CallsResponse
		if err := json.Unmarshal([]byte(rest(p.t.(*testing.T), p, "sip", http.MethodGet, "/api/v1/tenants/demo/calls", http.StatusOK)), &live); err != nil {
			return err
		}
		if !slices.ContainsFunc(live.Calls, func(c contract.LiveCall) bool { return c.Queue == dn && c.State == "queued" && ok(c) }) {
			return fmt.Errorf("calls in progress: %+v", live.Calls)
		}
		return nil
	})
}

// ends are the TreatmentEnds that the node wrote down, once it has stopped.
func (p *platform) ends(id string) (out []voice.CallEvent) {
	p.t.Helper()
	p.proc.Stop()
	b, err := books.Open(p.t.Context(), filepath.Join(p.dir, "data"), id, "demo")
	if err != nil {
		p.t.Fatal(err)
	}
	if err := b.Check(); err != nil {
		p.t.Error(err)
	}
	for _, e := range b.Events {
		if e.ID == voice.EventTreatmentEnd {
			out = append(out, e)
		}
	}
	return out
}

// said is how a prompt sounds.
func said(t *testing.T, names ...string) []int16 {
	t.Helper()
	library, err := prompt.New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	clips, err := library.Clips("demo", prompt.DefaultLanguage, names...)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range clips {
		n += c.Samples()
	}
	pcm := make([]int16, n)
	if _, err := play.New(clips...).Read(pcm); err != nil {
		t.Fatal(err)
	}
	return pcm
}

// A real softphone calls a route point: it hears an announcement, enters digits, records an announcement of its own, hears
// that, and is routed to another phone.
func TestSoftphoneAtARoutePoint(t *testing.T) {
	t.Parallel()
	p := queues(t, "queue")
	bob := agent(t, p, "1002", "udp")
	m := newMember(t, p, "1001", 500, false)
	bare := m.proc
	bare.Type("/dial sip:9000@demo.local")
	bare.Await(`Call established`, 15*time.Second)
	p.waiting("9000")
	if out, code := p.cli("treat", "9000", "PlayAnnouncement", `{"PROMPT":{"1":{"ID":"no/such"}}}`); code != 1 || !strings.Contains(out, "error 166") {
		t.Errorf("a prompt that is not there: %d: %s", code, out)
	}

	p.treat("9000", "PlayAnnouncement", `{"PROMPT":{"1":{"ID":"queue/all_busy"},"2":{"ID":"queue/next"}}}`)
	p.idle("9000")
	announcement := said(t, "queue/all_busy", "queue/next")
	var best float64
	peer.Poll(t, 20*time.Second, func() error {
		if best = max(best, likenessOfParts(m.heard(), announcement)); best < 0.95 {
			return fmt.Errorf("what was heard correlates with the announcement by %.3f", best)
		}
		return nil
	})
	t.Logf("the announcement was heard with a correlation of %.4f", best)

	p.treat("9000", "CollectDigits", `{"MAX_DIGITS":9,"TERM_DIGITS":"#"}`)
	for _, key := range "27#" {
		bare.Type(string(key))
	}
	p.idle("9000")

	p.treat("9000", "RecordUserAnnouncement", `{"USER_ID":"anna","TERM_DIGITS":"#","TOTAL_TIMEOUT":30}`)
	file := filepath.Join(p.dir, "data", "announcements", "demo", "anna", "1.wav")
	peer.Poll(t, 20*time.Second, func() error {
		if info, err := os.Stat(file); err != nil || info.Size() < 2*rate {
			return fmt.Errorf("nothing was recorded in %s yet: %v", file, err)
		}
		return nil
	})
	bare.Type("#")
	p.idle("9000")
	f, err := wav.Load(file, wav.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	clip := play.FromFile(f, audio.Narrow)
	pcm := make([]int16, rate)
	if n := clip.Copy(pcm, rate/2); n < rate {
		t.Fatalf("%d samples were recorded", n)
	}
	if hz := crossings(pcm); hz < 490 || hz > 510 {
		t.Errorf("%d Hz was recorded, 500 was said", hz)
	}
	p.treat("9000", "PlayAnnouncement", `{"PROMPT":{"1":{"USER_ID":"anna","USER_ANN_ID":1}}}`)
	p.idle("9000")

	if out, code := p.cli("route", "9000", "1002"); code != 0 {
		t.Fatalf("route: %s", out)
	}
	in := <-bob.Incoming
	far := phone.OpenAudio(t)
	if err := in.Answer(far.Offer("sendrecv")); err != nil {
		t.Fatal(err)
	}
	peer.Poll(t, 20*time.Second, func() error {
		if n := len(far.Got()); n < 25 {
			return fmt.Errorf("the phone it was routed to heard %d packets", n)
		}
		return nil
	})
	if err := in.Bye(); err != nil {
		t.Error(err)
	}
	if r := recorded(t, p, "1001", voice.OutcomeAnswered); r.RoutePoint != "9000" || r.Answered != "1002" || r.Queued <= 0 || r.EndedBy != "callee" {
		t.Errorf("record %+v", r)
	}
	ends := p.ends("queue")
	if len(ends) != 4 || ends[1].CollectedDigits != "27" || ends[1].LastCollectedDigit != "#" || ends[2].Extensions.Text("USER_ANN_ID") != "1" ||
		ends[2].Extensions.Text("COMPLETION_STATUS") != "NORMAL" || ends[3].Extensions.Text("INTERRUPTED") != "NO" {
		t.Errorf("ends of treatments: %+v", ends)
	}
}

// likenessOfParts is the median likeness of the loud fifths of a second of part, each at its best place of whole: the clock of a
// phone is not ours, so now and then it leaves out a sample or adds one.
func likenessOfParts(whole, part []int16) float64 {
	const piece = rate / 5
	var all []float64
	for at := 0; at+piece <= len(part); at += piece {
		p := part[at : at+piece]
		if level(p[:piece/4]) < 500 || level(p) < 500 {
			continue // silence is like everything and nothing
		}
		all = append(all, likeness(whole, p))
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// level is the root mean square.
func level(pcm []int16) float64 {
	sum := 0.0
	for _, x := range pcm {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum / float64(len(pcm)))
}

// crossings is how often a second a sound goes from below to above zero.
func crossings(pcm []int16) int {
	n := 0
	for i := 1; i < len(pcm); i++ {
		if pcm[i-1] < 0 && pcm[i] >= 0 {
			n++
		}
	}
	return n * rate / len(pcm)
}

// Keys arrive from a phone that tells them in INFO, and from one that knows nothing but sound.
func TestKeysAtARoutePoint(t *testing.T) {
	t.Parallel()
	p := queues(t, "keysin")
	alice := agent(t, p, "1001", "udp")
	mine := phone.OpenAudio(t)
	offer := strings.NewReplacer(" 101\r\n", "\r\n", "a=rtpmap:101 telephone-event/8000\r\n", "", "a=fmtp:101 0-15\r\n", "").Replace(mine.Offer("sendrecv"))
	call := alice.Dial("9000", offer)
	if status := call.Final(20 * time.Second); status != 200 {
		t.Fatalf("the call ended with %d", status)
	}
	p.waiting("9000")
	to, _ := ends(t, call)
	p.treat("9000", "CollectDigits", `{"MAX_DIGITS":2}`)
	for _, key := range "4#" {
		res, err := call.Request("INFO", "Content-Type: application/dtmf-relay\r\n", fmt.Sprintf("Signal=%c\r\nDuration=160\r\n", key))
		if err != nil || res.Status != 200 {
			t.Fatalf("INFO: %+v, %v", res, err)
		}
	}
	p.idle("9000")
	p.treat("9000", "CollectDigits", `{"MAX_DIGITS":3}`)
	tones, err := dtmf.NewSound(audio.Narrow, "1*9", dtmf.DefaultShape())
	if err != nil {
		t.Fatal(err)
	}
	pcmu, ok := codec.Find("PCMU", audio.Narrow)
	if !ok {
		t.Fatal("no PCMU")
	}
	coder := pcmu.NewEncoder()
	frame := make([]int16, audio.Frame(audio.Narrow))
	var packets [][]byte
	for range 100 {
		n, _ := tones.Read(frame)
		clear(frame[n:])
		packets = append(packets, coder.Encode(nil, frame))
	}
	speak(mine, to, packets, func() {})
	p.idle("9000")
	if err := call.Bye(); err != nil {
		t.Error(err)
	}
	recorded(t, p, "1001", voice.OutcomeAbandoned)
	got := p.ends("keysin")
	if len(got) != 2 || got[0].CollectedDigits != "4#" || got[1].CollectedDigits != "1*9" {
		t.Errorf("ends of treatments: %+v", got)
	}
}

// A caller in early media hears before he is answered that nobody takes his call, and is never answered.
func TestEarlyMediaAtARoutePoint(t *testing.T) {
	t.Parallel()
	p := queues(t, "earlyqueue")
	alice := agent(t, p, "1001", "udp")
	mine := phone.OpenAudio(t)
	call := alice.Dial("9001", mine.Offer("sendrecv"))
	<-call.Ringing
	p.waiting("9001")
	peer.Poll(t, 20*time.Second, func() error {
		if n := len(mine.Got()); n < 25 {
			return fmt.Errorf("%d packets came before the answer", n)
		}
		return nil
	})
	if status := call.Final(30 * time.Second); status != 480 {
		t.Errorf("the call ended with %d, want 480", status)
	}
	if r := likeness(heardBy(mine), said(t, "error/cannot_complete")); r < 0.95 {
		t.Errorf("what was heard correlates with the prompt by %.3f", r)
	}
	recorded(t, p, "1001", voice.OutcomeNoAnswer)
}

// A caller who is killed leaves the route point when nothing has come of him for a while.
func TestKilledCallerLeavesTheRoutePoint(t *testing.T) {
	t.Parallel()
	p := queues(t, "killed", "calls: {silence: 4s}\n")
	bare := peer.Baresip(t, peer.Account{User: "1001", Password: nodeSecret, Domain: "demo.local", Transport: "udp", Server: p.sip("udp"),
		Plays: sine(t, filepath.Join(t.TempDir(), "tone.wav"), 500)})
	peer.BaresipRegistered(bare)
	bare.Type("/dial sip:9000@demo.local")
	bare.Await(`Call established`, 15*time.Second)
	p.waiting("9000")
	p.treat("9000", "Music", "")
	bare.Kill()
	peer.Poll(t, 30*time.Second, func() error {
		var live contract.CallsResponse
		if err := json.Unmarshal([]byte(rest(t, p, "sip", http.MethodGet, "/api/v1/tenants/demo/calls", http.StatusOK)), &live); err != nil {
			return err
		}
		if live.Total != 0 {
			return fmt.Errorf("%d calls", live.Total)
		}
		return nil
	})
	if r := recorded(t, p, "1001", voice.OutcomeFailed); r.Reason != "no audio came any more" || r.RoutePoint != "9000" {
		t.Errorf("record %+v", r)
	}
}
