package record

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"parley/internal/media/audio"
	"parley/internal/media/wav"
)

// childVariable makes this test program the process that records, into the file that it names.
const childVariable = "PARLEY_RECORD_INTO"

// value is the sample at a moment, so that a file tells what is missing.
func value(moment int) int16 { return int16(moment*7%20001 - 10000) }

// recordForEver records at twice the usual pace and prints how many samples it has given to the recorder.
func recordForEver(path string) {
	r, err := New(Config{Path: path})
	if err != nil {
		panic(err)
	}
	go r.Run(context.Background())
	pcm := make([]int16, frame)
	for at := 0; ; at += frame {
		<-time.After(audio.FrameTime / 2)
		for i := range pcm {
			pcm[i] = value(at + i)
		}
		if err := r.Left().Write(pcm); err != nil {
			panic(err)
		}
		fmt.Println(at + frame)
	}
}

// A process that is killed in the middle of a recording leaves a file that opens, without the last second at most.
func TestKilled(t *testing.T) {
	for _, until := range []int{4000, 17000, 29000} {
		t.Run(fmt.Sprint(until), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "a.wav")
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childVariable+"="+path)
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			given := 0
			for lines := bufio.NewScanner(out); given < until && lines.Scan(); {
				if _, err := fmt.Sscan(lines.Text(), &given); err != nil {
					t.Fatal(err)
				}
			}
			if err := cmd.Process.Kill(); err != nil { // SIGKILL
				t.Fatal(err)
			}
			_ = cmd.Wait() // says that it was killed
			if given < until {
				t.Fatalf("the process ended after %d samples", given)
			}
			f, err := wav.Load(path, wav.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			pcm := f.Mono(audio.Narrow)
			if given-len(pcm) > audio.Narrow || f.Cut {
				t.Errorf("%d samples of %d are in the file (cut: %v), want all but a second", len(pcm), given, f.Cut)
			}
			for i, s := range pcm {
				if s != value(i) {
					t.Fatalf("sample %d is %d, want %d", i, s, value(i))
				}
			}
			if size, err := os.Stat(path); err != nil || size.Size() < int64(44+2*len(pcm)) {
				t.Errorf("the header promises more than the file has: %v", err)
			}
		})
	}
}
