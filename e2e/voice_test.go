package e2e

import (
	bits "encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/e2e/books"
	"parley/e2e/impair"
	"parley/e2e/peer"
	"parley/e2e/phone"
	"parley/internal/contract"
	"parley/internal/voice"
)

// network is a bad way from a phone to the node, and what it really did to the phone's audio.
type network struct {
	*impair.Relay
	mu   sync.Mutex
	came []phone.Packet // at the node
}

func badNetwork(t *testing.T, to *net.UDPAddr, bad impair.Bad) (*network, *net.UDPAddr) {
	t.Helper()
	r, err := impair.Start(to.AddrPort(), bad)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	n := &network{Relay: r}
	r.Watch(func(d impair.Direction, b []byte, at time.Time) {
		if d == impair.ToServer {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.came = append(n.came, phone.Packet{Seq: bits.BigEndian.Uint16(b[2:]), Time: bits.BigEndian.Uint32(b[4:]), At: at})
		}
	})
	at, err := net.ResolveUDPAddr("udp", r.Address())
	if err != nil {
		t.Fatal(err)
	}
	return n, at
}

// truth is what the network did, read off what came out of it: shares are of the packets between the first and the last.
type truth struct {
	expected, lost, duplicates, reordered int
	burstR                                float64 // of G.107
	jitter                                float64 // ms
}

func (n *network) truth() (tr truth) {
	n.mu.Lock()
	defer n.mu.Unlock()
	seen, high := map[uint16]bool{}, n.came[0].Seq
	var unique []phone.Packet
	for _, p := range n.came {
		switch {
		case seen[p.Seq]:
			tr.duplicates++
			continue
		case p.Seq < high:
			tr.reordered++
		}
		unique = append(unique, p)
		seen[p.Seq], high = true, max(high, p.Seq)
	}
	runs := 0
	for s := n.came[0].Seq; s <= high; s++ {
		tr.expected++
		if !seen[s] {
			tr.lost++
			if seen[s-1] {
				runs++
			}
		}
	}
	tr.jitter, tr.burstR = phone.Jitter(unique), 1
	if runs > 0 {
		tr.burstR = max(1, float64(tr.lost)/float64(runs)*(1-float64(tr.lost)/float64(tr.expected)))
	}
	return tr
}

func (tr truth) loss() float64 { return 100 * float64(tr.lost) / float64(tr.expected) }

// listeningMOS is the score of G.711 with concealment by the E-model (ITU-T G.107, G.113), as somebody else would compute it.
func (tr truth) listeningMOS() float64 {
	p := tr.loss()
	r := 93.2 - 95*p/(p/tr.burstR+25.1)
	return 1 + 0.035*r + 7e-6*r*(r-60)*(100-r)
}

// learnt is how many packets the node may take to find out where a phone behind a NAT is; they are no part of the call.
const learnt = 3

// noise is packets of G.711 that are like no others.
func noise(seed uint64, n int) [][]byte {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([][]byte, n)
	for i := range out {
		out[i] = make([]byte, 160)
		for j := range out[i] {
			out[i][j] = byte(r.Uint32())
		}
	}
	return out
}

// linear is a sample of µ-law (ITU-T G.711, table 2b).
func linear(code byte) float64 {
	code = ^code
	v := float64((int(code&15)<<3+132)<<(code>>4&7) - 132)
	if code&0x80 != 0 {
		return -v
	}
	return v
}

// correlation is how much what was heard is what was said: 1 is all of it. What did not come is silence. Each packet is put
// where its timestamp says, beginning with the first, which must be one that was said.
func correlation(said [][]byte, heard []phone.Packet) float64 {
	heard = slices.DeleteFunc(slices.Clone(heard), func(p phone.Packet) bool { return p.Type != phone.PCMU || len(p.Payload) != 160 })
	if len(heard) == 0 {
		return 0
	}
	first := slices.IndexFunc(said, func(b []byte) bool { return string(b) == string(heard[0].Payload) })
	if first < 0 {
		return 0
	}
	at := map[int][]byte{}
	for _, p := range heard {
		at[first+int(int32(p.Time-heard[0].Time))/160] = p.Payload
	}
	var both, of, to float64
	for i, b := range said[first:] {
		for j, code := range b {
			x, y := linear(code), 0.0
			if h := at[first+i]; h != nil {
				y = linear(h[j])
			}
			both, of, to = both+x*y, of+x*x, to+y*y
		}
	}
	return both / math.Sqrt(of*to)
}

// speak sends packets 20 ms apart, and does something once a second.
func speak(a *phone.Audio, to *net.UDPAddr, packets [][]byte, second func()) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i, b := range packets {
		<-tick.C
		a.Say(to, b)
		if i%50 == 49 {
			second()
		}
	}
}

// voices starts a node with the numbers 1001 to 1020.
func voices(t *testing.T, id string) *platform {
	t.Helper()
	var dns strings.Builder
	for n := 1001; n <= 1020; n++ {
		fmt.Fprintf(&dns, "      - {number: \"%d\", type: extension, password: %s}\n", n, nodeSecret)
	}
	return start(t, id, "", "--provision", provision(t, "tenants:\n  - name: demo\n    domains: [demo.local]\n    default: true\n    dns:\n"+dns.String()+
		"    persons: [{username: admin, password: the-admin-secret, roles: [system]}]\n"))
}

// liveScores are the scores of a caller's call as the node tells them while it lasts.
func liveScores(t *testing.T, p *platform, caller string) (c contract.LiveCall) {
	t.Helper()
	peer.Poll(t, 20*time.Second, func() error {
		var page struct{ Calls []contract.LiveCall }
		if err := json.Unmarshal([]byte(rest(t, p, "sip", http.MethodGet, "/api/v1/tenants/demo/calls?limit=1000", http.StatusOK)), &page); err != nil {
			return err
		}
		i := slices.IndexFunc(page.Calls, func(c contract.LiveCall) bool { return c.Caller == caller })
		if i < 0 || page.Calls[i].CallerMOS == 0 {
			return fmt.Errorf("no score of the call of %s among %+v", caller, page.Calls)
		}
		c = page.Calls[i]
		return nil
	})
	return c
}

// What a bad network does to a phone's audio is measured as it was done, whatever it was, and the score falls as the E-model says. The
// speech goes on to the other phone, whose reports say what is missing of it.
func TestVoiceOverBadNetworks(t *testing.T) {
	t.Parallel()
	p := voices(t, "voices")
	const spoken = 600 // packets: 12 seconds, so that a call tells of its voice once
	scores := map[string]float64{}
	var mu sync.Mutex
	t.Run("networks", func(t *testing.T) {
		for i, c := range []struct {
			name string
			bad  impair.Bad
			did  func(truth) bool // the network did what this row is about
		}{
			{"good", impair.Bad{}, func(tr truth) bool { return tr.lost+tr.duplicates+tr.reordered == 0 }},
			{"single losses", impair.Bad{Seed: 11, Loss: 0.06}, func(tr truth) bool { return tr.loss() > 3 && tr.burstR < 1.2 }},
			{"bursts", impair.Bad{Seed: 12, Loss: 0.06, Burst: 5}, func(tr truth) bool { return tr.loss() > 3 && tr.burstR > 3 }},
			{"jitter", impair.Bad{Seed: 13, Delay: 60 * time.Millisecond}, func(tr truth) bool { return tr.jitter > 10 }},
			{"reordering", impair.Bad{Seed: 14, Reorder: 0.1, Late: 50 * time.Millisecond}, func(tr truth) bool { return tr.reordered > 20 && tr.lost == 0 }},
			{"duplicates", impair.Bad{Seed: 15, Duplicate: 0.1}, func(tr truth) bool { return tr.duplicates > 20 }},
			{"a slow clock", impair.Bad{Seed: 16, Drift: 200 * time.Microsecond}, func(tr truth) bool { return tr.lost == 0 }},
			{"all at once", impair.Bad{Seed: 17, Loss: 0.03, Burst: 2, Duplicate: 0.03, Delay: 30 * time.Millisecond}, func(tr truth) bool { return tr.lost > 0 && tr.duplicates > 0 && tr.jitter > 5 }},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				number := strconv.Itoa(1001 + 2*i)
				k := connect(t, agent(t, p, number, "udp"), agent(t, p, strconv.Itoa(1002+2*i), "udp"))
				to, _ := ends(t, k.out)
				way, at := badNetwork(t, to, c.bad)
				said := noise(uint64(i), spoken)
				_, control := ends(t, k.in)
				speak(k.caller, at, said, func() { k.callee.ReportHeard(control) })
				live := liveScores(t, p, number)
				peer.Poll(t, 20*time.Second, func() error { // all of it has arrived, and a report of the node that can be answered
					heard := len(k.callee.Got())
					way.mu.Lock()
					defer way.mu.Unlock()
					if heard < len(way.came)-learnt {
						return fmt.Errorf("%d of %d packets have arrived", heard, len(way.came))
					}
					for _, b := range k.callee.Reports() {
						if b[1] == 200 {
							return nil
						}
					}
					return fmt.Errorf("the callee has no sender report")
				})
				k.callee.ReportHeard(control)
				if err := k.out.Bye(); err != nil {
					t.Error(err)
				}
				k.over()
				tr, r := way.truth(), recorded(t, p, number, voice.OutcomeAnswered)
				if !c.did(tr) {
					t.Fatalf("the network did %+v, which is not what this is about", tr)
				}
				if r.CallerMedia == nil || r.CalleeMedia == nil {
					t.Fatalf("the record has no voice: %+v", r)
				}
				checkHeard(t, tr, &r.CallerMedia.Received)
				checkReported(t, k.callee, r.CalleeMedia)
				if got := correlation(said, k.callee.Got()); got < 0.9 {
					t.Errorf("what was heard correlates with what was said by %.3f, want 0.9", got)
				}
				if low := math.Min(r.CallerMedia.Received.MOSLQ, r.CalleeMedia.Sent.MOSLQ); math.Abs(live.CallerMOS-r.CallerMedia.Received.MOSLQ) > 0.4 || low < 1 {
					t.Errorf("the live call says %.2f for the caller, the record %.2f", live.CallerMOS, r.CallerMedia.Received.MOSLQ)
				}
				mu.Lock()
				defer mu.Unlock()
				scores[c.name] = r.CallerMedia.Received.MOSLQ
			})
		}
	})
	for _, name := range []string{"good", "jitter", "reordering", "duplicates", "a slow clock"} {
		if scores[name] < 4.4 {
			t.Errorf("score %.2f with %s, where nothing is lost; want 4.41", scores[name], name)
		}
	}
	for _, name := range []string{"single losses", "bursts", "all at once"} {
		if scores[name] > scores["good"]-0.1 {
			t.Errorf("score %.2f with %s, %.2f without", scores[name], name, scores["good"])
		}
	}
}

// checkHeard compares what the node measured with what the network did.
func checkHeard(t *testing.T, tr truth, q *voice.VoiceQuality) {
	t.Helper()
	if q.Loss == nil || q.Jitter == nil || q.Expected == nil {
		t.Fatalf("not measured: %+v", q)
	}
	if math.Abs(*q.Loss-tr.loss()) > 1 || math.Abs(float64(*q.Expected)-float64(tr.expected)) > learnt {
		t.Errorf("%.2f %% of %d lost, want %.2f %% of %d", *q.Loss, *q.Expected, tr.loss(), tr.expected)
	}
	if diff := math.Abs(*q.Jitter - tr.jitter); diff > 0.2*tr.jitter+5 { // a busy machine adds some milliseconds of its own
		t.Errorf("jitter %.2f ms, want %.2f ms", *q.Jitter, tr.jitter)
	}
	if math.Abs(float64(q.Duplicates)-float64(tr.duplicates)) > learnt || math.Abs(float64(q.Reordered)-float64(tr.reordered)) > learnt {
		t.Errorf("%d duplicates and %d out of order, want %d and %d", q.Duplicates, q.Reordered, tr.duplicates, tr.reordered)
	}
	atRandom := tr
	atRandom.burstR = 1
	if tr.burstR > 2 && q.MOSLQ > atRandom.listeningMOS()-0.05 {
		t.Errorf("score %.2f with losses in bursts, want less than %.2f of as many at random", q.MOSLQ, atRandom.listeningMOS())
	}
	if q.Codec != "PCMU" || math.Abs(q.MOSLQ-tr.listeningMOS()) > 0.03 {
		t.Errorf("score %.3f for %s, want %.3f by the E-model for %+v", q.MOSLQ, q.Codec, tr.listeningMOS(), tr)
	}
}

// checkReported compares what the node tells of a phone that listens with what the phone itself counted.
func checkReported(t *testing.T, a *phone.Audio, q *voice.MediaQuality) {
	t.Helper()
	lost, expected := a.Loss()
	if q.Sent.Loss == nil || math.Abs(*q.Sent.Loss-100*float64(lost)/float64(expected)) > 1 {
		t.Errorf("the phone lost %d of %d, its reports say %+v", lost, expected, q.Sent)
	}
	if q.RoundTrip == nil || *q.RoundTrip <= 0 || *q.RoundTrip > 1000 || q.Sent.MOSCQ == 0 {
		t.Errorf("%+v, want a round trip over loopback and a score with it", q)
	}
}

// printed are the figures of a kind that a baresip prints when a call is over: of what it sent, as it was told, and of what came.
func printed(t *testing.T, p *peer.Process, kind string) (sent, came float64) {
	t.Helper()
	m := p.Await(`^`+kind+`: +(-?[\d.]+) +(-?[\d.]+)`, 20*time.Second)
	for i, into := range []*float64{&sent, &came} {
		var err error
		if *into, err = strconv.ParseFloat(m[i+1], 64); err != nil {
			t.Fatal(err)
		}
	}
	return sent, came
}

// The figures of a real softphone and those of the node about it agree: what baresip says it lost is what its reports told.
func TestVoiceAsASoftphoneCountsIt(t *testing.T) {
	t.Parallel()
	p := voices(t, "softphone-voice")
	dir := t.TempDir()
	bare := peer.Baresip(t, peer.Account{User: "1002", Password: nodeSecret, Domain: "demo.local", Transport: "udp", Server: p.sip("udp"), Answer: true,
		Plays: tone(t, filepath.Join(dir, "tone.wav"), 500, 30)})
	peer.BaresipRegistered(bare)
	audio := phone.OpenAudio(t)
	out := agent(t, p, "1001", "udp").Dial("1002", audio.Offer("sendrecv"))
	if status := out.Final(20 * time.Second); status != 200 {
		t.Fatalf("the call ended with %d:\n%s", status, bare.Output())
	}
	to, _ := ends(t, out)
	_, at := badNetwork(t, to, impair.Bad{Seed: 21, Loss: 0.05})
	speak(audio, at, noise(1, 13*50), func() {}) // it reports every five seconds; the second one answers a report of the node
	if err := out.Bye(); err != nil {
		t.Error(err)
	}
	sent, got := printed(t, bare, "packets")
	_, lost := printed(t, bare, "lost")
	r := recorded(t, p, "1001", voice.OutcomeAnswered)
	if r.CallerMedia == nil || r.CallerMedia.Received.Expected == nil || r.CalleeMedia == nil || r.CalleeMedia.Sent.Loss == nil || r.CalleeMedia.Sent.Jitter == nil || r.CalleeMedia.RoundTrip == nil {
		t.Fatalf("the node has no report of the softphone: %+v\n%s", r.CalleeMedia, bare.Output())
	}
	heard, told := r.CalleeMedia.Received, r.CalleeMedia.Sent
	if lost == 0 || got == 0 {
		t.Fatalf("the softphone lost %v of %v:\n%s", lost, got, bare.Output())
	}
	if math.Abs(float64(heard.Packets)-sent) > 5 || math.Abs(float64(told.Packets)-got) > 5 {
		t.Errorf("the node has %d packets of the softphone and sent it %d, which says %v and %v", heard.Packets, told.Packets, sent, got)
	}
	// Its last report is some seconds older than its count; and what it prints as lost is older still, so that the packets are what is compared.
	said := float64(*r.CallerMedia.Received.Expected)
	if share := 100 * (said - got) / said; math.Abs(*told.Loss-share) > 2 {
		t.Errorf("the softphone heard %v of %v packets, which is a loss of %.2f %%; its reports say %.2f %%", got, said, share, *told.Loss)
	}
	if told.MOSCQ == 0 || told.MOSCQ >= 4.41 || heard.MOSCQ < 4.3 {
		t.Errorf("scores %.2f for what the softphone hears, with losses, and %.2f for what it says; want the first to be lower", told.MOSCQ, heard.MOSCQ)
	}
	checkToldOf(t, p, "softphone-voice", r)
}

// checkToldOf stops the node and looks what it told of the voice of a call: of each side every ten seconds while it lasted, which is once
// if the phones were quick, and once at its end, the last being what the record has.
func checkToldOf(t *testing.T, p *platform, id string, r voice.CDR) {
	t.Helper()
	p.proc.Terminate()
	if code := p.proc.Wait(30 * time.Second); code != 0 {
		t.Fatalf("the node ended with %d:\n%s", code, p.proc.Output())
	}
	b, err := books.Open(t.Context(), filepath.Join(p.dir, "data"), id, "demo")
	if err != nil {
		t.Fatal(err)
	}
	told := map[voice.Side][]voice.QualityEvent{}
	for i, e := range b.Voices {
		if e.CallUUID != r.CallUUID || e.Seq != uint64(i+1) || e.Node != id {
			t.Errorf("event %d: %+v, want number %d of call %s", i, e, i+1, r.CallUUID)
		}
		told[e.Side] = append(told[e.Side], e)
	}
	for side, record := range map[voice.Side]*voice.MediaQuality{voice.SideCaller: r.CallerMedia, voice.SideCallee: r.CalleeMedia} {
		events := told[side]
		last := len(events) - 1
		if last < 1 || last > 4 || slices.IndexFunc(events, func(e voice.QualityEvent) bool { return e.Final }) != last {
			t.Errorf("%d events of the %s, want one while it talked and one at its end: %+v", len(events), side, events)
			continue
		}
		if got := events[last].Whole; got.Received.Packets != record.Received.Packets || *got.Received.Loss != *record.Received.Loss || got.MOS() != record.MOS() {
			t.Errorf("the last event of the %s says %+v, the record %+v", side, got, record)
		}
	}
}
