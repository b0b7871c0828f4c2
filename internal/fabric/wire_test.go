package fabric

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"parley/internal/voice"
)

func TestErrorsTravel(t *testing.T) {
	fields := voice.Invalid(voice.FieldError{File: "a.yaml", Line: 3, Column: 7, Field: "dns[0].number", Reason: "is empty"})
	for name, c := range map[string]struct {
		err  error
		want *voice.Error
	}{
		"an error of the vocabulary": {voice.Errorf(voice.ErrNotFound, "no DN 1001"), &voice.Error{Code: "not_found", Message: "no DN 1001"}},
		"with fields":                {fields, fields},
		"wrapped, with fields":       {fmt.Errorf("apply: %w", fields), &voice.Error{Code: "invalid", Message: "apply: " + fields.Message, Fields: fields.Fields}},
		"a wrapped sentinel":         {fmt.Errorf("bans: %w", voice.ErrConflict), &voice.Error{Code: "conflict", Message: "bans: conflict"}},
		"a deadline":                 {context.DeadlineExceeded, &voice.Error{Code: "timeout", Message: "context deadline exceeded"}},
		"a defect":                   {errors.New("password is s3cret"), &voice.Error{Code: "internal", Message: "internal error"}},
		"line breaks":                {voice.Errorf(voice.ErrInvalid, "a\r\nX: b"), &voice.Error{Code: "invalid", Message: "a  X: b"}},
		"no words":                   {voice.Errorf(voice.ErrInvalid, " "), &voice.Error{Code: "invalid", Message: "error without a message"}},
	} {
		got := decodeError(encodeError(c.err))
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if !errors.Is(got, c.want.Code.Sentinel()) {
			t.Errorf("%s: %v is not %v", name, got, c.want.Code.Sentinel())
		}
	}
}

func TestErrorsAreBounded(t *testing.T) {
	long := &voice.Error{Code: "invalid", Message: strings.Repeat("ü", 5000), Fields: make([]voice.FieldError, 1000)}
	got := decodeError(encodeError(long))
	if len(got.Message) > maxErrorText || len(got.Fields) != maxErrorFields {
		t.Errorf("%d bytes and %d fields", len(got.Message), len(got.Fields))
	}
}

// FuzzDecodeError: whatever another node says, the result is an error of the vocabulary that can be passed on.
func FuzzDecodeError(f *testing.F) {
	f.Add("not_found", "no DN", []byte(nil))
	f.Add("invalid", "a\nb", []byte(`[{"field":"a","reason":"b"}]`))
	f.Add("", "", []byte(`{"field":1}`))
	f.Fuzz(func(t *testing.T, code, message string, body []byte) {
		e := decodeError(code, message, body)
		if voice.CodeOf(e) != e.Code || e.Message == "" || strings.ContainsAny(e.Message, "\r\n") || len(e.Fields) > maxErrorFields {
			t.Errorf("decodeError(%q, %q, %q) = %+v", code, message, body, e)
		}
		if again := decodeError(encodeError(e)); again.Code != e.Code || again.Message != e.Message {
			t.Errorf("passed on, %+v is %+v", e, again)
		}
	})
}

func TestParseAck(t *testing.T) {
	for in, want := range map[string]uint64{
		`{"stream":"KV_a","seq":7}`:                             7,
		`{"stream":"KV_a", "seq": 18446744073709551615}`:        1<<64 - 1,
		`{"stream":"C","seq":12,"duplicate":true,"domain":"x"}`: 12,
	} {
		if got, err := parseAck([]byte(in)); got != want || err != nil {
			t.Errorf("parseAck(%s) = %d, %v", in, got, err)
		}
	}
	for in, want := range map[string]error{
		`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 5"},"stream":"S","seq":0}`: voice.ErrConflict,
		`{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}`:                      voice.ErrUnavailable,
		`{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}`:        voice.ErrInvalid,
		`{"stream":"S","seq":0}`: voice.ErrInternal,
		`{`:                      voice.ErrInternal,
		``:                       voice.ErrInternal,
	} {
		if _, err := parseAck([]byte(in)); !errors.Is(err, want) {
			t.Errorf("parseAck(%s) = %v, want %v", in, err, want)
		}
	}
}

// FuzzParseAck: a sequence or an error, never both and never neither.
func FuzzParseAck(f *testing.F) {
	f.Add([]byte(`{"stream":"KV_a","seq":7}`))
	f.Add([]byte(`{"error":{"code":400,"err_code":10071}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if seq, err := parseAck(data); (seq == 0) == (err == nil) {
			t.Errorf("parseAck(%q) = %d, %v", data, seq, err)
		}
	})
}

func TestParseMeta(t *testing.T) {
	want := msgMeta{stream: 5, consumer: 3, pending: 9, time: time.Unix(0, 1700000000000000001)}
	for _, in := range []string{
		"$JS.ACK.CALLS.parley-x.1.5.3.1700000000000000001.9",
		"$JS.ACK._.hash.CALLS.parley-x.1.5.3.1700000000000000001.9",
		"$JS.ACK._.hash.CALLS.parley-x.1.5.3.1700000000000000001.9.random",
	} {
		if got, err := parseMeta(in); got != want || err != nil {
			t.Errorf("parseMeta(%s) = %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "$JS.ACK.", "_INBOX.x", "$JS.ACK.S.c.1.5.3.x.9", "$JS.ACK.S.c.1.5.3", "$JS.ACK.S.c.1.5.-3.1.9"} {
		if got, err := parseMeta(in); err == nil {
			t.Errorf("parseMeta(%s) = %+v", in, got)
		}
	}
}

// FuzzParseMeta: no reply subject makes it fail otherwise than with an error.
func FuzzParseMeta(f *testing.F) {
	f.Add("$JS.ACK.CALLS.parley-x.1.5.3.1700000000000000001.9")
	f.Add("$JS.ACK._.hash.CALLS.parley-x.1.5.3.1700000000000000001.9.random")
	f.Fuzz(func(t *testing.T, reply string) {
		if meta, err := parseMeta(reply); err != nil && meta != (msgMeta{}) {
			t.Errorf("parseMeta(%q) = %+v, %v", reply, meta, err)
		}
	})
}

func TestWireTimeout(t *testing.T) {
	for in, want := range map[string]time.Duration{"250": 250 * time.Millisecond, "": defaultCallTimeout, "-1": defaultCallTimeout,
		"99999999999999999999": defaultCallTimeout, "3600001": defaultCallTimeout} {
		if got := wireTimeout(in); got != want {
			t.Errorf("wireTimeout(%q) = %v, want %v", in, got, want)
		}
	}
}

func TestRoute(t *testing.T) {
	for subject, want := range map[string][3]string{
		"call.demo.c1.EventX":         {"CALLS", "demo", "call.demo.c1"},
		"call.de=2Emo.c1.EventX.more": {"CALLS", "de.mo", "call.de=2Emo.c1"},
		"cdr.demo.c1":                 {"CDR", "demo", "cdr.demo.c1"},
		"quality.demo":                {"QUALITY", "demo", "quality.demo"},
	} {
		topic, tenant, lane, err := route(subject)
		if got := [3]string{topic, tenant, lane}; got != want || err != nil {
			t.Errorf("route(%s) = %q, %v", subject, got, err)
		}
	}
	for _, s := range []string{"", "call", "call.", "calls.demo.x", "call.demo.*", "call.>", "call. x", "call..x", "call.x.", "$JS.API.x", "call." + strings.Repeat("x", 2000)} {
		if _, _, _, err := route(s); !errors.Is(err, voice.ErrInvalid) {
			t.Errorf("route(%q) = %v", s, err)
		}
	}
}
