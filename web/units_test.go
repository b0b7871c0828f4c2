package web

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/fabric/fabrictest"
	"parley/internal/voice"
)

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestDiffNamesWhatDiffers(t *testing.T) {
	for name, c := range map[string]struct {
		before, after string
		want          []contract.FieldDiff
	}{
		"same":    {`{"a":1,"b":["x","y"]}`, `{"b":["x","y"],"a":1}`, nil},
		"changed": {`{"a":1,"deep":{"b":true}}`, `{"a":2,"deep":{"b":true}}`, []contract.FieldDiff{{Field: "a", Before: "1", After: "2"}}},
		"nested":  {`{"o":{"T":{"c":"*"}}}`, `{"o":{"T":{"c":"x"}}}`, []contract.FieldDiff{{Field: "o.T.c", Before: "*", After: "x"}}},
		"created": {``, `{"n":"1","l":["a","b"]}`, []contract.FieldDiff{{Field: "l", After: "a, b"}, {Field: "n", After: "1"}}},
		"deleted": {`{"n":"1"}`, ``, []contract.FieldDiff{{Field: "n", Before: "1"}}},
		"objects": {`{"l":[{"a":1}]}`, `{"l":[{"a":2},{"a":3}]}`, []contract.FieldDiff{{Field: "l[0].a", Before: "1", After: "2"}, {Field: "l[1].a", After: "3"}}},
		"number":  {`{"n":1}`, `{"n":12345678901234567890}`, []contract.FieldDiff{{Field: "n", Before: "1", After: "12345678901234567890"}}},
		"to null": {`{"n":1}`, `{"n":null}`, []contract.FieldDiff{{Field: "n", Before: "1"}}},
	} {
		if got := diffOf(json.RawMessage(c.before), json.RawMessage(c.after)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	long := strings.Repeat("ä", 1000)
	if got := diffOf(nil, json.RawMessage(`{"scxml":"`+long+`"}`)); len([]rune(got[0].After)) > maxValue+2 {
		t.Errorf("a long value is shown in %d characters", len([]rune(got[0].After)))
	}
}

func FuzzOptions(f *testing.F) {
	f.Add("TServer.contact = *\n# a comment\n\nTServer.oos-check=10")
	f.Add("a.b.c = d = e")
	f.Fuzz(func(t *testing.T, text string) {
		options, err := parseOptions("options", text)
		if err != nil {
			if options != nil {
				t.Fatalf("options and an error: %v, %v", options, err)
			}
			return
		}
		again, err := parseOptions("options", formatOptions(options))
		if err != nil || !reflect.DeepEqual(again, options) {
			t.Fatalf("%q reads as %v, written and read again as %v, %v", text, options, again, err)
		}
	})
}

func TestChart(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if c := chart([]sample{{now, 5}}, now); c.Line != "" {
		t.Errorf("one sample makes a line: %+v", c)
	}
	c := chart([]sample{{now.Add(-10 * time.Minute), 0}, {now.Add(-5 * time.Minute), 80}, {now, 40}}, now)
	want := chartView{
		Line: "0.0,150.0 300.0,16.7 600.0,83.3", Area: "0.0,150 0.0,150.0 300.0,16.7 600.0,83.3 600.0,150", Since: "10 min ago", Min: 0, Max: 90,
		Label: "Registered numbers since 10 min ago: now 40, lowest 0, highest 80",
	}
	if c != want {
		t.Errorf("chart = %+v\nwant    %+v", c, want)
	}
	flat := chart([]sample{{now.Add(-time.Minute), 7}, {now, 7}}, now)
	if flat.Min != 6 || flat.Max != 8 || flat.Line != "0.0,75.0 600.0,75.0" {
		t.Errorf("a flat line = %+v, want it in the middle", flat)
	}
}

func TestHandoutsEnd(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	h := newHandouts(func() time.Time { return now })
	key, ok := h.put([]byte("doc"))
	late, _ := h.put([]byte("late"))
	if doc, taken := h.take(key); !ok || !taken || string(doc) != "doc" {
		t.Errorf("take = %q, %v", doc, taken)
	}
	if _, again := h.take(key); again {
		t.Error("a document is given twice")
	}
	now = now.Add(handoutLife)
	if _, taken := h.take(late); taken {
		t.Error("a document is given after its time")
	}
	for range maxHandouts {
		if _, ok := h.put(nil); !ok {
			t.Fatal("no room for as many as promised")
		}
	}
	if _, ok := h.put(nil); ok || h.waiting() != maxHandouts {
		t.Errorf("%d documents wait, want %d at the most", h.waiting(), maxHandouts)
	}
	now = now.Add(handoutLife)
	if h.waiting() != 0 {
		t.Error("documents whose time is over are kept")
	}
}

func TestBoardMemoryIsBounded(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	b := newBoard(nil, nil, nil, func() time.Time { return now })
	b.scopeLocked(everywhere)
	for i := range 10 * maxScopes {
		now = now.Add(time.Second)
		b.scopeLocked(fmt.Sprint("tenant", i))
	}
	for i := range 10 * maxTenants {
		for range 3 {
			b.keepEventLocked(everywhere, voice.DeviceEvent{})
			b.keepEventLocked(fmt.Sprint("tenant", i), voice.DeviceEvent{})
		}
	}
	if b.scopes[everywhere] == nil || b.events[everywhere] == nil {
		t.Error("the whole platform made room for a tenant")
	}
	if len(b.scopes) != maxScopes || len(b.events) > maxTenants || len(b.events[everywhere]) != maxEvents {
		t.Errorf("%d scopes, %d lists, %d events; want %d, at most %d, %d", len(b.scopes), len(b.events), len(b.events[everywhere]), maxScopes, maxTenants, maxEvents)
	}
	if b.scopes[fmt.Sprint("tenant", 10*maxScopes-1)] == nil {
		t.Error("the newest tenant made room for an older one")
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{"127.0.0.1": true, "::1": true, "localhost": true, "x.localhost": true, "192.0.2.1": false, "voice.example.com": false, "": false} {
		if got := loopback(host); got != want {
			t.Errorf("loopback(%q) = %v", host, got)
		}
	}
}

func TestConfigNamesEveryKey(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	err := Config{Listen: "8080", PublicURL: "voice.example.com", TLS: TLS{Cert: "x.pem"}}.Validate()
	for _, key := range []string{"web.listen:", "web.public_url:", "web.tls:", "web.session_idle:", "web.streams_per_session:"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("Validate() does not name %s\n%v", key, err)
		}
	}
	if c := (Config{PublicURL: "https://voice.example.com"}); !c.secure() {
		t.Error("pages behind a TLS proxy do not get secure cookies")
	}
}

func TestNewChecksItsArguments(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New without anything = nil")
	}
	c := DefaultConfig()
	c.TLS = TLS{Cert: "/nowhere/cert.pem", Key: "/nowhere/key.pem"}
	_, err := New(Options{Fabric: fabrictest.New(t), Config: c, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "web.tls") || !strings.Contains(err.Error(), "/nowhere/cert.pem") {
		t.Errorf("New with a certificate that is not there = %v, want the key and the file named", err)
	}
}
