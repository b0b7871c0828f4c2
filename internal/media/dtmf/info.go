package dtmf

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// What INFO requests call their bodies. Neither is an RFC; phones and gateways have used both for decades.
const (
	InfoRelay = "application/dtmf-relay" // "Signal=5\r\nDuration=160\r\n"
	InfoPlain = "application/dtmf"       // "5"
)

// ErrContentType says that a body is of another type, which SIP answers with 415.
var ErrContentType = errors.New("not a body of keys")

const (
	maxInfo     = 256 // bytes of a body; real ones have 30
	infoHeld    = 250 * time.Millisecond
	maxInfoHeld = 10000 // ms
	flash       = 16
)

// ParseInfo reads the body of an INFO request: one key, or "!" for a flash, with the time it was held. Codes of events
// from 10 to 16 are understood as well, since some gateways write 10 for the star.
func ParseInfo(contentType string, body []byte) (Digit, error) {
	if len(body) > maxInfo {
		return Digit{}, fmt.Errorf("body of %d bytes, want at most %d", len(body), maxInfo)
	}
	media, _, _ := strings.Cut(contentType, ";")
	switch media = strings.TrimSpace(media); {
	case strings.EqualFold(media, InfoRelay):
		return parseRelay(string(body))
	case strings.EqualFold(media, InfoPlain):
		code, err := parseSignal(strings.TrimSpace(string(body)))
		if err != nil {
			return Digit{}, err
		}
		return digit(code, infoHeld), nil
	}
	return Digit{}, fmt.Errorf("%w: %.64q, want %s or %s", ErrContentType, contentType, InfoRelay, InfoPlain)
}

func parseRelay(body string) (Digit, error) {
	var code uint8
	held, signals, durations := infoHeld, 0, 0
	for line := range strings.Lines(body) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if !found {
			return Digit{}, fmt.Errorf("line %.32q, want name=value", line)
		}
		var err error
		switch value = strings.TrimSpace(value); strings.ToLower(strings.TrimSpace(name)) {
		case "signal":
			signals++
			code, err = parseSignal(value)
		case "duration":
			durations++
			held, err = parseHeld(value)
		}
		if err != nil {
			return Digit{}, err
		}
	}
	if signals != 1 || durations > 1 {
		return Digit{}, fmt.Errorf("%d lines of Signal and %d of Duration, want one of each", signals, durations)
	}
	return digit(code, held), nil
}

func parseSignal(s string) (uint8, error) {
	if len(s) == 1 {
		if code, ok := event(s[0]); ok {
			return code, nil
		}
	}
	if s == "!" {
		return flash, nil
	}
	if n, err := strconv.ParseUint(s, 10, 8); err == nil && len(s) == 2 && n >= 10 && n <= flash {
		return uint8(n), nil
	}
	return 0, fmt.Errorf("signal %.16q, want one of %s", s, Keys)
}

func parseHeld(s string) (time.Duration, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || n > maxInfoHeld {
		return 0, fmt.Errorf("duration %.16q, want 1 to %d ms", s, maxInfoHeld)
	}
	return time.Duration(n) * time.Millisecond, nil
}
