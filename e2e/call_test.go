package e2e

import (
	bits "encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/internal/contract"
	"parley/internal/voice"
)

// The first call of the README: two softphones with printed accounts talk, and each hears what the other plays.
func TestSoftphonesTalk(t *testing.T) {
	t.Parallel()
	p := start(t, "first-call", "")
	ca := filepath.Join(p.dir, "data", "tls", "cert.pem")
	for _, c := range []struct{ from, to string }{{"udp", "udp"}, {"tcp", "udp"}, {"udp", "tls"}} {
		t.Run(c.from+" calls "+c.to, func(t *testing.T) {
			account := func(number, transport string, tone int) peer.Account {
				dir := t.TempDir()
				return peer.Account{User: number, Password: p.printedPassword(number), Domain: "demo.local", Transport: transport,
					Server: p.sip(transport), CA: ca, Plays: sine(t, filepath.Join(dir, "tone.wav"), tone), Heard: dir}
			}
			caller, callee := account("1001", c.from, 500), account("1002", c.to, 900)
			callee.Answer = true
			a, b := peer.Baresip(t, caller), peer.Baresip(t, callee)
			peer.BaresipRegistered(a)
			peer.BaresipRegistered(b)
			a.Type("/dial sip:1002@demo.local")
			a.Await(`Call established`, 15*time.Second)
			b.Await(`Call established`, 15*time.Second)
			awaitSound(t, caller.Heard)
			awaitSound(t, callee.Heard)
			a.Type("/hangup")
			b.Await(`session closed|terminated`, 15*time.Second)
			if hz := loudest(t, caller.Heard); hz != 900 {
				t.Errorf("the caller heard %d Hz, the callee played 900", hz)
			}
			if hz := loudest(t, callee.Heard); hz != 500 {
				t.Errorf("the callee heard %d Hz, the caller played 500", hz)
			}
		})
	}
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeAnswered: 3})
}

const (
	wavHeader = 44
	rate      = 8000 // samples a second
)

// sine writes a WAV file of ten seconds of one tone.
func sine(t *testing.T, file string, hz int) string {
	t.Helper()
	return tone(t, file, hz, 10)
}

func tone(t *testing.T, file string, hz, seconds int) string {
	t.Helper()
	return toneAt(t, file, hz, seconds, rate)
}

// toneAt writes one with so many samples a second.
func toneAt(t *testing.T, file string, hz, seconds, rate int) string {
	t.Helper()
	samples := seconds * rate
	le := bits.LittleEndian
	b := append([]byte("RIFF"), le.AppendUint32(nil, uint32(wavHeader-8+2*samples))...)
	b = le.AppendUint32(append(b, "WAVEfmt "...), 16)
	b = le.AppendUint16(le.AppendUint16(b, 1), 1) // PCM, one channel
	b = le.AppendUint32(le.AppendUint32(b, uint32(rate)), uint32(2*rate))
	b = le.AppendUint16(le.AppendUint16(b, 2), 16)
	b = le.AppendUint32(append(b, "data"...), uint32(2*samples))
	for i := range samples {
		b = le.AppendUint16(b, uint16(int16(8000*math.Sin(2*math.Pi*float64(hz)*float64(i)/float64(rate)))))
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// awaitSound waits until a second of sound is in the file.
func awaitSound(t *testing.T, dir string) {
	t.Helper()
	peer.Poll(t, 20*time.Second, func() error {
		info, err := os.Stat(peer.Heard(dir))
		if err == nil && info.Size() < wavHeader+2*rate {
			err = fmt.Errorf("%d bytes of sound so far", info.Size())
		}
		return err
	})
}

// loudest is which of the tones a recording is full of.
func loudest(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(peer.Heard(dir))
	if err != nil {
		t.Fatal(err)
	}
	samples := float64(bits.LittleEndian.Uint32(b[24:])) // a second
	b = b[wavHeader:]
	best, power := 0, 0.0
	for _, hz := range []int{300, 400, 500, 700, 900, 1100} {
		var re, im float64
		for i := 0; i+1 < len(b); i += 2 {
			v := float64(int16(uint16(b[i]) | uint16(b[i+1])<<8))
			at := 2 * math.Pi * float64(hz) * float64(i/2) / samples
			re, im = re+v*math.Cos(at), im+v*math.Sin(at)
		}
		if p := re*re + im*im; p > power {
			best, power = hz, p
		}
	}
	return best
}

// Calls that nobody answers end on both sides, and each attempt has exactly one record that says how.
func TestCallsThatNobodyAnswers(t *testing.T) {
	t.Parallel()
	p := start(t, "unanswered", "")
	phones := map[string]*peer.Process{}
	for _, number := range []string{"1001", "1002"} {
		phones[number] = peer.Baresip(t, peer.Account{User: number, Password: p.printedPassword(number), Domain: "demo.local",
			Transport: "udp", Server: p.sip("udp")})
		peer.BaresipRegistered(phones[number])
	}
	a, b := phones["1001"], phones["1002"]

	a.Type("/dial sip:1002@demo.local")
	b.Await(`Incoming call from`, 15*time.Second)
	b.Type("/hangup")
	a.Await(`session closed|terminated|486|603`, 15*time.Second)
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeBusy: 1})

	b.Skip()
	a.Type("/dial sip:1002@demo.local")
	b.Await(`Incoming call from`, 15*time.Second)
	a.Type("/hangup")
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeBusy: 1, voice.OutcomeAbandoned: 1})

	a.Type("/dial sip:4711@demo.local")
	a.Await(`404`, 15*time.Second)
	a.Type("/dial sip:1003@demo.local") // a number without a phone
	a.Await(`480`, 15*time.Second)
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeBusy: 1, voice.OutcomeAbandoned: 1, voice.OutcomeRejected: 1, voice.OutcomeNoAnswer: 1})
}

// awaitRecords waits until the records of the tenant are those, one an attempt.
func awaitRecords(t *testing.T, p *platform, want map[voice.Outcome]int) {
	t.Helper()
	// A record that was on its way to a reader which stopped comes again after ten seconds.
	peer.Poll(t, 30*time.Second, func() error {
		var page struct {
			Records []voice.CDR `json:"records"`
		}
		if err := json.Unmarshal([]byte(rest(t, p, "cdr", http.MethodGet, "/api/v1/tenants/demo/cdrs?limit=100", http.StatusOK)), &page); err != nil {
			return err
		}
		got := map[voice.Outcome]int{}
		for _, r := range page.Records {
			got[r.Outcome]++
		}
		if !maps.Equal(got, want) {
			return fmt.Errorf("records %v, want %v", got, want)
		}
		return nil
	})
}

// Softphones of different makers call each other in both directions, over different transports.
func TestLinphoneAndBaresipTalk(t *testing.T) {
	t.Parallel()
	p := start(t, "makers", "")
	ca := filepath.Join(p.dir, "data", "tls", "cert.pem")
	account := func(number, transport string) peer.Account {
		return peer.Account{User: number, Password: p.printedPassword(number), Domain: "demo.local", Transport: transport, Server: p.sip(transport), CA: ca, Answer: true}
	}
	bare := peer.Baresip(t, account("1001", "tcp"))
	peer.BaresipRegistered(bare)
	lin := peer.Linphone(t, account("1002", "tls"))
	peer.LinphoneRegistered(lin)

	lin.Type("call sip:1001@demo.local")
	bare.Await(`Call established`, 15*time.Second)
	lin.Await(`connected|Connected`, 15*time.Second)
	lin.Type("terminate")
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeAnswered: 1})

	bare.Skip()
	lin.Skip()
	bare.Type("/dial sip:1002@demo.local")
	lin.Await(`Receiving new incoming call`, 15*time.Second)
	lin.Type("answer")
	bare.Await(`Call established`, 15*time.Second)
	bare.Type("/hangup")
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeAnswered: 2})
}

// An operator sees the calls in progress and ends one; both phones hang up, and the record says who did it.
func TestOperatorEndsACall(t *testing.T) {
	t.Parallel()
	p := start(t, "operator", "")
	account := func(number string) peer.Account {
		return peer.Account{User: number, Password: p.printedPassword(number), Domain: "demo.local", Transport: "udp", Server: p.sip("udp"), Answer: true}
	}
	a, b := peer.Baresip(t, account("1001")), peer.Baresip(t, account("1002"))
	peer.BaresipRegistered(a)
	peer.BaresipRegistered(b)
	a.Type("/dial sip:1002@demo.local")
	a.Await(`Call established`, 15*time.Second)

	var live contract.CallsResponse
	peer.Poll(t, 10*time.Second, func() error {
		if err := json.Unmarshal([]byte(rest(t, p, "sip", http.MethodGet, "/api/v1/tenants/demo/calls", http.StatusOK)), &live); err != nil {
			return err
		}
		if len(live.Calls) != 1 || live.Calls[0].State != "talking" || live.Calls[0].Caller != "1001" || live.Calls[0].Callee != "1002" {
			return fmt.Errorf("calls in progress: %+v", live.Calls)
		}
		return nil
	})
	if out, code := p.cli("status"); code != 0 || !strings.Contains(out, "calls 1 ") {
		t.Errorf("status does not count the call:\n%s", out)
	}
	rest(t, p, "sip", http.MethodDelete, "/api/v1/tenants/demo/calls/"+live.Calls[0].CallUUID, http.StatusNoContent)
	for _, phone := range []*peer.Process{a, b} {
		phone.Await(`session closed|terminated`, 15*time.Second)
	}
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeAnswered: 1})
	if record := rest(t, p, "cdr", http.MethodGet, "/api/v1/tenants/demo/cdrs", http.StatusOK); !strings.Contains(record, "ended by admin") {
		t.Errorf("the record does not say who ended the call: %s", record)
	}
	rest(t, p, "sip", http.MethodDelete, "/api/v1/tenants/demo/calls/"+live.Calls[0].CallUUID, http.StatusNotFound)
}

// A node that is told to stop hangs its calls up, and their records are there when it is back.
func TestStopEndsCallsAndKeepsRecords(t *testing.T) {
	t.Parallel()
	p := start(t, "stops", "")
	account := func(number string) peer.Account {
		return peer.Account{User: number, Password: p.printedPassword(number), Domain: "demo.local", Transport: "udp", Server: p.sip("udp"), Answer: true}
	}
	a, b := peer.Baresip(t, account("1001")), peer.Baresip(t, account("1002"))
	peer.BaresipRegistered(a)
	peer.BaresipRegistered(b)
	a.Type("/dial sip:1002@demo.local")
	a.Await(`Call established`, 15*time.Second)
	p.proc.Stop()
	for _, phone := range []*peer.Process{a, b} {
		phone.Await(`session closed|terminated`, 15*time.Second)
		phone.Kill() // it would try to unregister where nobody listens any more
	}
	p.launch()
	p.awaitReady()
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeAnswered: 1})
}
