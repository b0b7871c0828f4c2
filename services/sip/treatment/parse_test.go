package treatment

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"parley/internal/voice"
)

func list(t *testing.T, text string) voice.KVList {
	t.Helper()
	var l voice.KVList
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, params string
		typ          voice.TreatmentType
		want         Plan
		continuous   bool
	}{
		{"music until the next", `{}`, voice.TreatmentMusic, Plan{}, true},
		{"music for a while", `{"MUSIC_DN":"music/on_hold","DURATION":"30"}`, voice.TreatmentMusic, Plan{Music: "music/on_hold", Duration: 30 * time.Second}, false},
		{"ring-back", `{}`, voice.TreatmentRingBack, Plan{}, true},
		{"silence for a while", `{"DURATION":2}`, voice.TreatmentSilence, Plan{Duration: 2 * time.Second}, false},
		{"announcement", `{"LANGUAGE":"en","PROMPT":{"2":{"DIGITS":"0411"},"10":{"USER_ID":"u","USER_ANN_ID":7},"1":{"INTERRUPTABLE":1,"ID":"welcome"}}}`,
			voice.TreatmentPlayAnnouncement,
			Plan{Language: "en", Say: []Piece{{Interruptable: true, Prompt: "welcome"}, {Digits: "0411"}, {User: "u", Announcement: "7"}}}, false},
		{"digits", `{"MAX_DIGITS":4,"START_TIMEOUT":3,"DIGIT_TIMEOUT":"2","TOTAL_TIMEOUT":9,"RESET_DIGITS":"*","BACKSPACE_DIGITS":"a","ABORT_DIGITS":9,"TERM_DIGITS":"#","IGNORE_DIGITS":"0","CLEAR_FLAG":1}`,
			voice.TreatmentCollectDigits,
			Plan{Clear: true, Collect: &Rules{Max: 4, Start: 3 * time.Second, Digit: 2 * time.Second, Total: 9 * time.Second, Reset: "*", Backspace: "A", Abort: "9", Term: "#", Ignore: "0"}}, false},
		{"digits up to a key", `{"TERM_DIGITS":"#"}`, voice.TreatmentCollectDigits,
			Plan{Collect: &Rules{Max: 31, Start: 10 * time.Second, Digit: 5 * time.Second, Total: 2 * time.Minute, Term: "#"}}, false},
		{"recording", `{"USER_ID":"anna","TERM_DIGITS":"#"}`, voice.TreatmentRecordUserAnnouncement, Plan{Record: &Recording{User: "anna", Term: "#", Total: time.Minute}}, false},
		{"cancel", `{"X":"whatever"}`, voice.TreatmentCancelCall, Plan{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(c.typ, list(t, c.params))
			if err != nil {
				t.Fatal(err)
			}
			c.want.Type = c.typ
			if !reflect.DeepEqual(*got, c.want) {
				t.Errorf("got\n%+v, want\n%+v", *got, c.want)
			}
			if got.Continuous() != c.continuous {
				t.Errorf("continuous: %v", got.Continuous())
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		typ    voice.TreatmentType
		params string
		code   voice.TErrorCode
		says   string
	}{
		{voice.TreatmentPlayApplication, `{}`, voice.TErrUnsupported, "PlayApplication"},
		{voice.TreatmentType(99), `{}`, voice.TErrUnsupported, "99"},
		{voice.TreatmentMusic, `{"DURATION":"soon"}`, voice.TErrInvalidValue, `DURATION: "soon"`},
		{voice.TreatmentMusic, `{"DURATION":-1}`, voice.TErrInvalidValue, "DURATION"},
		{voice.TreatmentPlayAnnouncement, `{}`, voice.TErrBadParameter, "PROMPT"},
		{voice.TreatmentPlayAnnouncement, `{"PROMPT":"hello"}`, voice.TErrBadParameter, "PROMPT"},
		{voice.TreatmentPlayAnnouncement, `{"PROMPT":{"1":"hello"}}`, voice.TErrInvalidValue, "PROMPT 1"},
		{voice.TreatmentPlayAnnouncement, `{"PROMPT":{"1":{"ID":"a","TEXT":"b"}}}`, voice.TErrBadParameter, "exactly one"},
		{voice.TreatmentPlayAnnouncement, `{"PROMPT":{"1":{"INTERRUPTABLE":1}}}`, voice.TErrBadParameter, "exactly one"},
		{voice.TreatmentPlayAnnouncement, `{"PROMPT":{"1":{"USER_ID":"a"}}}`, voice.TErrBadParameter, "go together"},
		{voice.TreatmentPlayAnnouncement, `{"PROMPT":{"1":{"ID":"a","INTERRUPTABLE":2}}}`, voice.TErrInvalidValue, "INTERRUPTABLE"},
		{voice.TreatmentCollectDigits, `{}`, voice.TErrBadParameter, "MAX_DIGITS or TERM_DIGITS"},
		{voice.TreatmentCollectDigits, `{"MAX_DIGITS":32}`, voice.TErrInvalidValue, "0 to 31"},
		{voice.TreatmentCollectDigits, `{"MAX_DIGITS":1,"TERM_DIGITS":"x"}`, voice.TErrInvalidValue, "TERM_DIGITS"},
		{voice.TreatmentRecordUserAnnouncement, `{}`, voice.TErrBadParameter, "USER_ID"},
		{voice.TreatmentRecordUserAnnouncement, `{"USER_ID":"a","TOTAL_TIMEOUT":601}`, voice.TErrInvalidValue, "TOTAL_TIMEOUT"},
	} {
		if p, err := Parse(c.typ, list(t, c.params)); err == nil || err.Code != c.code || !strings.Contains(err.Message, c.says) {
			t.Errorf("%s %s: got %+v, %+v, want %d with %q", c.typ, c.params, p, err, c.code, c.says)
		}
	}
}

func TestKeysSkipToWhatMustBeHeard(t *testing.T) {
	p := Plan{Say: []Piece{{Interruptable: true}, {Interruptable: true}, {}, {Interruptable: true}}}
	for i, want := range []int{2, 2, 2, 4, 4} {
		next, ok := p.Interruptable(i)
		if next != want && ok || ok != (i < 4 && i != 2) {
			t.Errorf("a key at piece %d goes on with %d, %v", i, next, ok)
		}
	}
}

// Whatever comes, there is a plan within the limits or an error, and never both.
func FuzzParse(f *testing.F) {
	f.Add(8, `{"PROMPT":{"1":{"ID":"x","INTERRUPTABLE":1}},"MAX_DIGITS":3}`)
	f.Add(10, `{"USER_ID":"../x"}`)
	f.Fuzz(func(t *testing.T, typ int, text string) {
		var l voice.KVList
		if json.Unmarshal([]byte(text), &l) != nil {
			return
		}
		p, err := Parse(voice.TreatmentType(typ), l)
		if (p == nil) == (err == nil) {
			t.Fatalf("%v and %v", p, err)
		}
		if p == nil {
			if err.Code == 0 || err.Message == "" {
				t.Fatalf("an error that says nothing: %+v", err)
			}
			return
		}
		if len(p.Say) > maxPrompts || p.Collect != nil && p.Collect.Max > maxDigits || p.Record != nil && p.Record.Total > maxRecord*time.Second {
			t.Fatalf("beyond the limits: %+v", p)
		}
	})
}
