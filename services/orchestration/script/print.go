package script

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// marks show at the beginning of a line what a step is.
var marks = map[string]string{
	"enter": "  + ", "exit": "  - ", "event": "> ", "request": "  ! ", "data": "  = ", "log": "  # ", "error": "  x ", "end": "end",
}

// Print writes the trace for people: what happens at which time, an event a paragraph.
func (r *Result) Print(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, s := range r.Steps {
		line := marks[s.What] + s.Name
		if s.Data != nil && s.What != "end" {
			sep := " "
			if s.What == "data" {
				sep = " = "
			}
			line += sep + text(s.Data)
		}
		fmt.Fprintf(out, "%10s  %s\n", clock(s.At), strings.TrimRight(line, " "))
	}
	state := "waits"
	if r.Ended {
		state = "ended"
	}
	fmt.Fprintf(out, "%10s  the session %s in %s\n", clock(r.Lasted), state, strings.Join(r.States, ", "))
	if r.Error != "" {
		fmt.Fprintf(out, "%10s  %s\n", "", r.Error)
	}
	return out.Flush()
}

// clock is a time since the start as minutes, seconds and thousandths.
func clock(d time.Duration) string {
	ms := d.Milliseconds()
	return fmt.Sprintf("%d:%02d.%03d", ms/60_000, ms/1000%60, ms%1000)
}

const maxShown = 400 // bytes of a value in a line

// text is a value in a line.
func text(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	raw := bytes.TrimSpace(b.Bytes())
	if len(raw) > maxShown {
		return strings.ToValidUTF8(string(raw[:maxShown]), "") + "…"
	}
	return string(raw)
}
