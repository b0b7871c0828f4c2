package cdrs

import (
	"encoding/json"
	"fmt"
	"math"

	"parley/internal/voice"
)

// media is what the column of that name holds.
type media struct {
	Caller *voice.MediaQuality `json:"caller,omitempty"`
	Callee *voice.MediaQuality `json:"callee,omitempty"`
}

// maxMedia is far more than two sides need; a longer text is not from a node.
const maxMedia = 8192

// mediaText is "" when nothing is known. Numbers that JSON has no word for are left out with the rest.
func mediaText(r *voice.CDR) string {
	if r.CallerMedia == nil && r.CalleeMedia == nil {
		return ""
	}
	b, err := json.Marshal(media{r.CallerMedia, r.CalleeMedia})
	if err != nil || len(b) > maxMedia {
		return ""
	}
	return string(b)
}

func readMedia(r *voice.CDR, text string) error {
	if text == "" {
		return nil
	}
	var m media
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return fmt.Errorf("column media of call %s: %w", r.CallUUID, err)
	}
	r.CallerMedia, r.CalleeMedia = m.Caller, m.Callee
	return nil
}

// hundredths is a score as the table has it.
func hundredths(mos float64) int64 {
	if !(mos > 0 && mos <= 5) {
		return 0
	}
	return int64(math.Round(mos * 100))
}
