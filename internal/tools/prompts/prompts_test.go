package main

import (
	"bytes"
	"math"
	"os"
	"testing"

	"parley/internal/media/audio"
	"parley/internal/media/prompt"
)

// The music in the program is that of the piece, byte for byte.
func TestMusicIsThatOfThePiece(t *testing.T) {
	made, err := sound(prompt.Line{Name: prompt.OnHold, Text: prompt.Music}, speaker{})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile("../../media/prompt/en/" + prompt.OnHold + ".wav")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, kept) {
		t.Error("the file is not what the piece sounds like; run go tool task prompts")
	}
}

// Every bar has four beats, or what follows would be late.
func TestBars(t *testing.T) {
	for i, bar := range onHold.melody {
		if got := beatsOf(bar); got != beatsPerBar {
			t.Errorf("bar %d has %v beats", i+1, got)
		}
	}
	if len(onHold.chords) != onHold.bars || len(onHold.melody) != onHold.bars {
		t.Errorf("%d chords and %d bars of melody for %d bars", len(onHold.chords), len(onHold.melody), onHold.bars)
	}
	for note, hz := range map[string]float64{"A4": 440, "A3": 220, "C4": 261.626, "F#5": 739.989} {
		if got := frequency(note); math.Abs(got-hz) > 0.001 {
			t.Errorf("%s has %v Hz, want %v", note, got, hz)
		}
	}
}

// A tone between silences becomes a prompt: at its level, without the silence, without what is below the telephone band.
func TestShaped(t *testing.T) {
	in := make([]float64, 3*rate)
	for i := range in {
		in[i] = 0.005 * math.Sin(2*math.Pi*50*float64(i)/rate)
		if i >= rate && i < 2*rate {
			in[i] += 0.1 * math.Sin(2*math.Pi*1000*float64(i)/rate)
		}
	}
	out := shaped(in)
	if got := float64(len(out)) / rate; got < 1.02 || got > 1.08 {
		t.Errorf("a second of sound has become %v", got)
	}
	if got := audio.Level(out[rate/4 : rate*3/4]); math.Abs(got-speechLevel) > 0.3 {
		t.Errorf("it is at %.1f dBov, want %v", got, speechLevel)
	}
	if out[0] != 0 || out[len(out)-1] != 0 {
		t.Errorf("it begins with %d and ends with %d", out[0], out[len(out)-1])
	}
	quiet := levelled([]float64{0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 0)
	if got := quiet[1]; got > math.Pow(10, peakLevel/20)+1e-9 {
		t.Errorf("a peak becomes %v", got)
	}
}

func FuzzParseList(f *testing.F) {
	f.Add("a = b\n# c\n\nd/e = f g")
	f.Fuzz(func(t *testing.T, list string) {
		lines, err := prompt.ParseList(list)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, l := range lines {
			if l.Name == "" || l.Text == "" || seen[l.Name] {
				t.Fatalf("%+v of %q", l, list)
			}
			seen[l.Name] = true
		}
	})
}
