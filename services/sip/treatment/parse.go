package treatment

import (
	"cmp"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"parley/internal/voice"
)

// Limits of parameters.
const (
	maxPrompts = 20
	maxName    = 128
	maxText    = 1000
	maxDigits  = 31 // that T-Library can return
	maxSeconds = 24 * 3600
	maxRecord  = 10 * 60 // seconds of a recording
	maxKeys    = 16
)

// What is waited for when the treatment does not say.
const (
	defaultStart  = 10 // seconds until the first key
	defaultDigit  = 5  // from key to key
	defaultTotal  = 120
	defaultRecord = 60
)

// Parse reads the parameters of a treatment. Those that the type does not have are ignored, as T-Library does. The
// error says which one is wrong and what is wanted.
func Parse(t voice.TreatmentType, params voice.KVList) (*Plan, *voice.TError) {
	r := reader{params: params}
	p := &Plan{Type: t}
	switch t {
	case voice.TreatmentMusic:
		p.Music = r.name("MUSIC_DN")
		p.Duration = r.seconds("DURATION", 0, maxSeconds)
	case voice.TreatmentRingBack, voice.TreatmentSilence, voice.TreatmentBusy, voice.TreatmentFastBusy:
		p.Duration = r.seconds("DURATION", 0, maxSeconds)
	case voice.TreatmentCollectDigits:
		p.Collect, p.Clear = r.rules(), r.flag("CLEAR_FLAG")
	case voice.TreatmentPlayAnnouncement:
		p.Say = r.prompts()
	case voice.TreatmentPlayAnnouncementAndDigits:
		p.Say, p.Collect, p.Clear = r.prompts(), r.rules(), r.flag("CLEAR_FLAG")
	case voice.TreatmentRecordUserAnnouncement:
		p.Record = r.recording()
		if params.Has("PROMPT") {
			p.Say = r.prompts()
		}
	case voice.TreatmentCancelCall:
	default:
		return nil, voice.TErrorf(voice.TErrUnsupported, "treatment %s is not supported", t)
	}
	p.Language = r.name("LANGUAGE")
	if r.err != nil {
		return nil, r.err
	}
	return p, nil
}

// reader reads parameters and keeps the first error.
type reader struct {
	params voice.KVList
	err    *voice.TError
}

func (r *reader) bad(code voice.TErrorCode, format string, args ...any) {
	if r.err == nil {
		r.err = voice.TErrorf(code, format, args...)
	}
}

// number reads a whole number; def when it is not there.
func (r *reader) number(key string, def, least, most int64) int64 {
	if !r.params.Has(key) {
		return def
	}
	n, ok := r.params.Int(key)
	if !ok || n < least || n > most {
		r.bad(voice.TErrInvalidValue, "%s: %.32q is not a whole number from %d to %d", key, r.params.Text(key), least, most)
		return def
	}
	return n
}

func (r *reader) seconds(key string, def, most int64) time.Duration {
	return time.Duration(r.number(key, def, 0, most)) * time.Second
}

// flag is set by any number but 0: in T-Library CLEAR_FLAG is a set of bits, and each asks for buffered keys to be dropped.
func (r *reader) flag(key string) bool { return r.number(key, 0, 0, math.MaxInt32) != 0 }

// keys reads a set of keys of a telephone.
func (r *reader) keys(key string) string {
	s := strings.ToUpper(r.params.Text(key))
	bad := len(s) > maxKeys || r.params.List(key) != nil
	for i := range len(s) {
		bad = bad || !IsKey(s[i])
	}
	if bad {
		r.bad(voice.TErrInvalidValue, "%s: %.32q is not a set of at most %d keys (0-9, *, #, A-D)", key, s, maxKeys)
		return ""
	}
	return s
}

// name reads a short text.
func (r *reader) name(key string) string {
	s := r.params.Text(key)
	if len(s) > maxName || !utf8.ValidString(s) || r.params.List(key) != nil {
		r.bad(voice.TErrInvalidValue, "%s: want text of at most %d bytes", key, maxName)
		return ""
	}
	return s
}

func (r *reader) rules() *Rules {
	c := &Rules{
		Start:  r.seconds("START_TIMEOUT", defaultStart, maxSeconds),
		Digit:  r.seconds("DIGIT_TIMEOUT", defaultDigit, maxSeconds),
		Total:  r.seconds("TOTAL_TIMEOUT", defaultTotal, maxSeconds),
		Ignore: r.keys("IGNORE_DIGITS"), Abort: r.keys("ABORT_DIGITS"), Reset: r.keys("RESET_DIGITS"),
		Backspace: r.keys("BACKSPACE_DIGITS"), Term: r.keys("TERM_DIGITS"),
	}
	c.Max = int(r.number("MAX_DIGITS", maxDigits, 0, maxDigits))
	if !r.params.Has("MAX_DIGITS") && c.Term == "" {
		r.bad(voice.TErrBadParameter, "MAX_DIGITS or TERM_DIGITS must say when there are enough digits")
	}
	return c
}

func (r *reader) recording() *Recording {
	rec := &Recording{
		User: r.name("USER_ID"), Abort: r.keys("ABORT_DIGITS"), Term: r.keys("TERM_DIGITS"),
		Start: r.seconds("START_TIMEOUT", 0, maxSeconds), Total: r.seconds("TOTAL_TIMEOUT", defaultRecord, maxRecord),
	}
	if rec.User == "" {
		r.bad(voice.TErrBadParameter, "USER_ID must say whose announcement this is")
	}
	if rec.Total == 0 {
		rec.Total = maxRecord * time.Second
	}
	return rec
}

// prompts reads PROMPT, a list of lists that are numbered from 1.
func (r *reader) prompts() []Piece {
	list := r.params.List("PROMPT")
	switch {
	case len(list) == 0:
		r.bad(voice.TErrBadParameter, "PROMPT must be a list with an entry 1, 2 … for each prompt")
		return nil
	case len(list) > maxPrompts:
		r.bad(voice.TErrInvalidValue, "PROMPT has %d entries; want at most %d", len(list), maxPrompts)
		return nil
	}
	pieces := make([]Piece, 0, len(list))
	for _, key := range list.Keys() {
		entry := list.List(key)
		if entry == nil {
			r.bad(voice.TErrInvalidValue, "PROMPT %.16s: want a list with ID, DIGITS, TEXT, or USER_ID and USER_ANN_ID", key)
			return nil
		}
		pieces = append(pieces, r.piece(key, entry))
	}
	return pieces
}

func (r *reader) piece(key string, entry voice.KVList) Piece {
	in := reader{params: entry}
	p := Piece{
		Interruptable: in.number("INTERRUPTABLE", 0, 0, 1) == 1,
		Prompt:        in.name("ID"), Digits: in.name("DIGITS"), User: in.name("USER_ID"), Announcement: in.name("USER_ANN_ID"),
		Text: entry.Text("TEXT"),
	}
	if len(p.Text) > maxText || !utf8.ValidString(p.Text) {
		in.bad(voice.TErrInvalidValue, "TEXT: want at most %d bytes of text", maxText)
	}
	sources := 0
	for _, s := range []string{p.Prompt, p.Digits, p.Text, cmp.Or(p.User, p.Announcement)} {
		if s != "" {
			sources++
		}
	}
	switch {
	case in.err != nil:
	case sources != 1:
		in.bad(voice.TErrBadParameter, "want exactly one of ID, DIGITS, TEXT, or USER_ID with USER_ANN_ID")
	case (p.User == "") != (p.Announcement == ""):
		in.bad(voice.TErrBadParameter, "USER_ID and USER_ANN_ID go together")
	}
	if in.err != nil {
		r.bad(in.err.Code, "PROMPT %.16s: %s", key, in.err.Message)
	}
	return p
}
