package dtmf

import (
	"testing"
	"time"
)

func TestParseInfo(t *testing.T) {
	for _, c := range []struct {
		contentType, body string
		want              Digit
	}{
		{InfoRelay, "Signal=5\r\nDuration=160\r\n", Digit{'5', 5, ms(160)}},
		{"Application/DTMF-Relay; charset=utf-8", "signal= *\nduration= 90", Digit{'*', 10, ms(90)}},
		{InfoRelay, "Signal=#", Digit{'#', 11, infoHeld}},
		{InfoRelay, "Signal=11\r\nDuration=100\r\n", Digit{'#', 11, ms(100)}},
		{InfoRelay, "\r\nSignal=d\r\nDuration=100\r\nVolume=3\r\n", Digit{'D', 15, ms(100)}},
		{InfoRelay, "Signal=!\r\n", Digit{0, 16, infoHeld}},
		{InfoPlain, "7", Digit{'7', 7, infoHeld}},
		{InfoPlain, "*\r\n", Digit{'*', 10, infoHeld}},
	} {
		if got, err := ParseInfo(c.contentType, []byte(c.body)); err != nil || got != c.want {
			t.Errorf("%s %q: %+v, %v, want %+v", c.contentType, c.body, got, err, c.want)
		}
	}
	for _, c := range [][2]string{
		{"text/plain", "5"}, {"", "5"}, {InfoPlain, ""}, {InfoPlain, "55"}, {InfoPlain, "E"}, {InfoPlain, "é"}, {InfoPlain, "17"},
		{InfoRelay, ""}, {InfoRelay, "Duration=100"}, {InfoRelay, "Signal=5\nSignal=6"}, {InfoRelay, "Signal=5\nDuration=0"},
		{InfoRelay, "Signal=5\nDuration=1e3"}, {InfoRelay, "Signal=5\nDuration=99999"}, {InfoRelay, "Signal"}, {InfoRelay, "Signal="},
		{InfoRelay, "Signal=5\nDuration=1\nDuration=2"}, {InfoRelay, "Signal=5\r\n" + string(make([]byte, maxInfo))},
	} {
		if got, err := ParseInfo(c[0], []byte(c[1])); err == nil || got != (Digit{}) {
			t.Errorf("%s %.40q: %+v, %v", c[0], c[1], got, err)
		}
	}
}

func FuzzParseInfo(f *testing.F) {
	f.Add(InfoRelay, []byte("Signal=5\r\nDuration=160\r\n"))
	f.Add(InfoPlain, []byte("5"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		d, err := ParseInfo(contentType, body)
		if (err == nil) != (d.Duration > 0) || d.Event > 16 || d.Duration > maxInfoHeld*time.Millisecond {
			t.Fatalf("%+v, %v", d, err)
		}
	})
}
