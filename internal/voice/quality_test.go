package voice

import (
	"encoding/json"
	"testing"
)

func TestUnknownQualityIsAbsent(t *testing.T) {
	b, err := json.Marshal(MediaQuality{})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"received":{"packets":0},"sent":{"packets":0}}`; string(b) != want {
		t.Errorf("%s, want %s", b, want)
	}
	none := 0.
	if b, _ = json.Marshal(VoiceQuality{Packets: 9, Loss: &none}); string(b) != `{"packets":9,"loss_percent":0}` {
		t.Errorf("%s, want a loss that is known to be none", b)
	}
}

func TestWorstMOS(t *testing.T) {
	side := func(received, sent float64) *MediaQuality {
		return &MediaQuality{Received: VoiceQuality{MOSLQ: received}, Sent: VoiceQuality{MOSLQ: sent}}
	}
	for name, c := range map[string]struct {
		caller, callee *MediaQuality
		want           float64
	}{
		"none":         {nil, nil, 0},
		"not known":    {side(0, 0), side(0, 0), 0},
		"one of four":  {side(0, 0), side(0, 3), 3},
		"lowest":       {side(4, 3.5), side(2, 4.4), 2},
		"one side":     {side(4, 0), nil, 4},
		"conversation": {&MediaQuality{Sent: VoiceQuality{MOSLQ: 4.4, MOSCQ: 3.2}}, side(4, 4), 3.2},
	} {
		if got := (&CDR{CallerMedia: c.caller, CalleeMedia: c.callee}).WorstMOS(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
