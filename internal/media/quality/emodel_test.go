package quality

import (
	"math"
	"testing"
	"time"
)

func TestMOS(t *testing.T) {
	for r, want := range map[float64]float64{
		93.2: 4.41, 80: 4.02, 70: 3.60, 60: 3.10, 50: 2.58, 0: 1, -5: 1, 100: 4.5, 120: 4.5, 3: 1,
	} {
		if got := MOS(r); math.Abs(got-want) > 0.005 {
			t.Errorf("MOS(%v) = %.3f, want %v", r, got, want)
		}
	}
}

// The wishes are computed by hand from ITU-T G.107 §7.2 to §7.5.
func TestRate(t *testing.T) {
	for _, c := range []struct {
		codec       string
		loss, burst float64
		delay       time.Duration
		want        float64
	}{
		{"PCMA", 0, 1, 0, 93.2},
		{"pcmu", 0.01, 1, 0, 93.2 - 95*1/26.1},                                        // 89.56
		{"PCMA", 0.05, 1, 0, 93.2 - 95*5/30.1},                                        // 77.42
		{"PCMA", 0.05, 2, 0, 93.2 - 95*5/27.6},                                        // 75.99: the same loss in runs of twice the length
		{"PCMA", 0.05, 0.5, 0, 93.2 - 95*5/30.1},                                      // shorter than random is random
		{"PCMA", 0, 1, 100 * time.Millisecond, 93.2 - 2.4},                            // 90.8
		{"PCMA", 0, 1, 300 * time.Millisecond, 93.2 - 7.2 - 0.11*122.7},               // 72.50
		{"PCMA", 0.02, 1, 200 * time.Millisecond, 93.2 - 95*2/27.1 - 4.8 - 0.11*22.7}, // 78.89
		{"G729", 0, 1, 0, 82.2},                                                       // 93.2 - 11
		{"G729", 0.03, 1, 0, 82.2 - 84*3/22.},                                         // 70.75
		{"G723", 0.01, 1, 50 * time.Millisecond, 93.2 - 15 - 80*1/17.1 - 1.2},         // 72.32
		{"GSM-EFR", 0.04, 1, 0, 93.2 - 5 - 90*4/14.},                                  // 62.49
		{"PCMA", 1, 1, 0, 93.2 - 95*100/125.1},                                        // 17.26
		{"PCMA", 1, 1, time.Second, 0},                                                // below 0
	} {
		got, ok := Rate(c.codec, c.loss, c.burst, c.delay)
		if !ok || math.Abs(got-c.want) > 1e-9 {
			t.Errorf("Rate(%s, %v, %v, %v) = %v, %v; want %v", c.codec, c.loss, c.burst, c.delay, got, ok, c.want)
		}
	}
	for _, codec := range []string{"", "opus", "G722", "L16", "CN"} {
		if r, ok := Rate(codec, 0, 1, 0); ok {
			t.Errorf("Rate(%q) = %v, though nothing is known of it", codec, r)
		}
	}
}
