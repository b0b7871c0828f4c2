package recording

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/media/audio"
	"parley/internal/media/wav"
	"parley/internal/obs"
)

// childVariable makes this test program the process that records, into the store that it names.
const childVariable = "PARLEY_RECORD_CALLS_INTO"

// recordForEver records a call at twice the usual pace, with a pause, and prints how many milliseconds it was told.
func recordForEver(dir string) {
	r, err := New(Options{Node: "n1", Dir: dir, Config: DefaultConfig(), Registry: prometheus.NewRegistry(), Health: obs.NewHealth()})
	if err != nil {
		panic(err)
	}
	tape, err := r.Begin(Call{Tenant: "demo", CallUUID: uuid, Reason: ByDN}, func(Ledger) {})
	if err != nil {
		panic(err)
	}
	a, b := &party{}, &party{}
	tape.Hear(Left, Party{"1001", a})
	tape.Hear(Right, Party{"1002", b})
	for a.listeners() == 0 || b.listeners() == 0 {
		time.Sleep(time.Millisecond)
	}
	for at := time.Duration(0); ; at += audio.FrameTime {
		<-time.After(audio.FrameTime / 2)
		switch at {
		case time.Second:
			err = tape.Pause()
		case 2 * time.Second:
			err = tape.Resume()
		}
		if err != nil {
			panic(err)
		}
		a.says(tone(400, audio.FrameTime))
		b.says(tone(1000, audio.FrameTime))
		fmt.Println((at + audio.FrameTime).Milliseconds())
	}
}

// A node that is killed leaves a file that opens; the next one completes the ledger.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	given := 0
	for lines := bufio.NewScanner(out); given < 4300 && lines.Scan(); {
		if _, err := fmt.Sscan(lines.Text(), &given); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Kill(); err != nil { // SIGKILL
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed

	open, err := filepath.Glob(filepath.Join(dir, "demo", "*", "*"+openEnding))
	if err != nil || len(open) != 1 {
		t.Fatalf("open ledgers %v, %v, want one", open, err)
	}
	path := strings.TrimSuffix(open[0], openEnding)
	if _, err := wav.Load(path+soundEnding, wav.DefaultLimits()); err != nil {
		t.Errorf("the file as it was left: %v", err)
	}

	s := start(t, dir, nil)
	s.recover(t.Context())
	if _, err := os.Stat(open[0]); !os.IsNotExist(err) {
		t.Errorf("the ledger is still open: %v", err)
	}
	e, err := readEntry(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := wav.Load(path+soundEnding, wav.DefaultLimits())
	if err != nil || f.Cut {
		t.Fatalf("the file: cut %v, %v", f.Cut, err)
	}
	size, sum, err := digest(path + soundEnding)
	if err != nil || e.State != StateStopped || e.Bytes != size || e.SHA256 != sum || e.Duration != f.Duration() || !strings.Contains(e.Error, "the node ended") {
		t.Errorf("ledger %+v of a file of %d bytes, %v, hash %s, %v", e.RecordingLedger, size, f.Duration(), sum, err)
	}
	if missing := time.Duration(given)*time.Millisecond - e.Duration; missing > time.Second || missing < -time.Second {
		t.Errorf("%v of %d ms are there", e.Duration, given)
	}
	if len(e.Pauses) != 1 || e.Pauses[0].To.IsZero() || len(e.Gaps) != 1 || !e.Gaps[0].To.IsZero() || !e.Gaps[0].From.Equal(e.Start.Add(e.Duration)) {
		t.Errorf("pauses %v and gaps %v, want one pause, and a gap from where the sound ends", e.Pauses, e.Gaps)
	}
	sides := f.Split()
	expect(t, "left", sides[0], 400, 0, sec, 1)
	expect(t, "left", sides[0], 400, sec, 2*sec, 0)
	expect(t, "right", sides[1], 1000, 2*sec, 3*sec, 1)
	if got := s.m.failed.Load(); got != 1 {
		t.Errorf("%d recordings failed, want one", got)
	}
}
