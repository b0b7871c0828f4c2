package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/internal/contract"
	"parley/internal/media/wav"
	"parley/internal/voice"
)

// taped is a recording as the REST interface shows it.
type taped struct {
	voice.RecordingLedger
	Left  []string `json:"left"`
	Right []string `json:"right"`
}

// tapeOf waits until the latest of n recordings is as wanted.
func tapeOf(t *testing.T, p *platform, n int, what string, ok func(taped) bool) (last taped) {
	t.Helper()
	peer.Poll(t, 60*time.Second, func() error {
		var list struct {
			Recordings []taped `json:"recordings"`
		}
		send(t, p, http.MethodGet, "recordings", nil, &list)
		if len(list.Recordings) != n {
			return fmt.Errorf("%d recordings, want %d: %+v", len(list.Recordings), n, list.Recordings)
		}
		if last = list.Recordings[0]; !ok(last) {
			return fmt.Errorf("%s: not so in %+v", what, last)
		}
		return nil
	})
	return last
}

// lasts waits until a recording has so much more sound.
func lasts(t *testing.T, p *platform, n int, more time.Duration) taped {
	t.Helper()
	before := tapeOf(t, p, n, "it has begun", func(taped) bool { return true }).Duration
	return tapeOf(t, p, n, "it goes on", func(r taped) bool { return r.Duration >= before+more })
}

// sides checks whose tone is in which channel between two moments of a file: 1 where it is, 0 where it is not.
func sides(t *testing.T, what string, f wav.File, from, to time.Duration, left, right [2]float64) {
	t.Helper()
	at, until := int(from.Seconds()*rate), int(to.Seconds()*rate)
	for ch, pcm := range f.Split() {
		if until > len(pcm) || at >= until {
			t.Fatalf("%s: from %v to %v of %v", what, from, to, f.Duration())
		}
		want := [][2]float64{left, right}[ch]
		for i, hz := range []float64{450, 750} {
			got := levelOf(pcm[at:until], hz)
			if want[i] > 0 && got < 0.5 || want[i] == 0 && got > 0.1 { // a busy machine makes gaps in what phones play
				t.Errorf("%s: %v Hz in channel %d is at %.2f, want %v", what, hz, ch, got, want[i])
			}
			t.Logf("%s: %v Hz in channel %d is at %.2f", what, hz, ch, got)
		}
	}
}

// Two softphones are recorded, since one has the option: each in its channel, nothing in a pause. A node that is killed
// leaves a recording that its next start completes.
func TestCallsAreRecorded(t *testing.T) {
	t.Parallel()
	p := start(t, "tapes", "", "--provision", provision(t, `tenants:
  - name: demo
    domains: [demo.local]
    default: true
    dns:
      - {number: "1001", type: extension, password: `+nodeSecret+`}
      - {number: "1002", type: extension, password: `+nodeSecret+`, options: {TServer: {record: "true"}}}
    persons: [{username: admin, password: the-admin-secret, roles: [system]}]
`))
	a, b := newMember(t, p, "1001", 450, false), newMember(t, p, "1002", 750, true)
	ask := func(id int) {
		t.Helper()
		var calls contract.FindCallsResponse
		peer.Poll(t, 20*time.Second, func() error {
			sendTo(t, p, "frontend", http.MethodGet, "calls", nil, &calls)
			if len(calls.Calls) != 1 {
				return fmt.Errorf("%d calls", len(calls.Calls))
			}
			return nil
		})
		sendTo(t, p, "frontend", http.MethodPost, "requests",
			map[string]any{"request": "RequestPrivateService", "ThisDN": "1002", "ConnID": calls.Calls[0].ConnID, "PrivateMsgID": id}, nil)
	}
	a.proc.Type("/dial sip:1002@demo.local")
	b.proc.Await(`Call established`, 30*time.Second)
	lasts(t, p, 1, 4*time.Second)
	ask(voice.PrivateRecordPause)
	tapeOf(t, p, 1, "paused", func(r taped) bool { return r.State == "Paused" })
	lasts(t, p, 1, 2*time.Second)
	ask(voice.PrivateRecordResume)
	tapeOf(t, p, 1, "going on", func(r taped) bool { return r.State == "Recording" })
	lasts(t, p, 1, 4*time.Second)
	a.proc.Type("/hangup")
	r := tapeOf(t, p, 1, "complete", func(r taped) bool { return r.State == "Stopped" })

	b1, err := os.ReadFile(filepath.Join(p.dir, "data", "recordings", r.File))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b1)
	f, err := wav.Parse(b1)
	if err != nil || f.Cut || r.SHA256 != hex.EncodeToString(sum[:]) || r.Bytes != int64(len(b1)) || r.Duration != f.Duration() {
		t.Fatalf("ledger %+v of a file of %d bytes, %v, hash %x, %v", r, len(b1), f.Duration(), sum, err)
	}
	if len(r.Pauses) != 1 || r.Reason != "dn" || r.Error != "" || len(r.Gaps) > 0 || fmt.Sprint(r.Left, r.Right) != "[1001] [1002]" {
		t.Errorf("ledger %+v", r)
	}
	began, went := r.Pauses[0].From.Sub(r.Start), r.Pauses[0].To.Sub(r.Start)
	const around = 500 * time.Millisecond // the clocks of wall and sound, and buffers
	sides(t, "before the pause", f, time.Second, began-around, [2]float64{1, 0}, [2]float64{0, 1})
	sides(t, "in the pause", f, began+around, went-around, [2]float64{}, [2]float64{})
	sides(t, "after the pause", f, went+around, f.Duration()-around, [2]float64{1, 0}, [2]float64{0, 1})

	a.proc.Type("/dial sip:1002@demo.local")
	lasts(t, p, 2, 4*time.Second)
	p.proc.Kill()
	a.proc.Kill()
	b.proc.Kill()
	p.launch()
	p.awaitReady()
	r = tapeOf(t, p, 2, "complete after kill -9", func(r taped) bool { return r.State == "Stopped" })
	f, err = wav.Load(filepath.Join(p.dir, "data", "recordings", r.File), wav.DefaultLimits())
	if err != nil || f.Cut || f.Duration() != r.Duration || r.Error == "" || len(r.SHA256) != 64 {
		t.Errorf("ledger %+v of a file of %v, cut %v, %v", r, f.Duration(), f.Cut, err)
	}
	sides(t, "of the node that was killed", f, time.Second, f.Duration()-around, [2]float64{1, 0}, [2]float64{0, 1})
}
