package obs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parley/internal/obs"
)

// counted returns log_output_bytes_total of one level on reg.
func counted(t *testing.T, reg *prometheus.Registry, level string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "log_output_bytes_total" && l.GetName() == "level" && l.GetValue() == level {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	t.Fatalf("no log_output_bytes_total{level=%q}", level)
	return 0
}

func TestLogsCountTheBytesOfEachLevelAndService(t *testing.T) {
	var out bytes.Buffer
	logs := obs.NewLogs(&out, slog.LevelInfo, obs.FormatText)
	regA, regB := prometheus.NewRegistry(), prometheus.NewRegistry()
	a, b := logs.For("a", regA), logs.For("b", regB)

	a.Debug("not written")
	a.Info("one")
	infoA := out.Len()
	a.With(slog.String("k", "v")).WithGroup("g").Error("two", slog.Int("n", 1))
	errorA := out.Len() - infoA
	b.Info("three")
	infoB := out.Len() - infoA - errorA

	for _, c := range []struct {
		reg   *prometheus.Registry
		level string
		want  int
	}{
		{regA, "debug", 0}, {regA, "info", infoA}, {regA, "warn", 0}, {regA, "error", errorA},
		{regB, "info", infoB}, {regB, "error", 0},
	} {
		if got := counted(t, c.reg, c.level); got != float64(c.want) {
			t.Errorf("%s: %v bytes counted, want %d", c.level, got, c.want)
		}
	}
	for _, want := range []string{"msg=one service=a", "msg=two service=a k=v g.n=1", "msg=three service=b"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, out.String())
		}
	}
}

func TestLogsLevelCanChangeWhileRunning(t *testing.T) {
	var out bytes.Buffer
	var level slog.LevelVar
	log := obs.NewLogs(&out, &level, obs.FormatText).For("a", nil)
	log.Debug("before")
	level.Set(slog.LevelDebug)
	log.Debug("after")
	if got := out.String(); strings.Contains(got, "before") || !strings.Contains(got, "after") {
		t.Errorf("log = %q, want only what came after the change", got)
	}
}

func TestLogsKeepLinesOfManyServicesApart(t *testing.T) {
	var out bytes.Buffer
	logs := obs.NewLogs(&out, slog.LevelInfo, obs.FormatJSON)
	var wg sync.WaitGroup
	for i := range 8 {
		log := logs.For(fmt.Sprintf("s%d", i), nil)
		wg.Go(func() {
			for range 50 {
				log.Info("line", slog.String("text", strings.Repeat("x", 200)))
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 400 {
		t.Fatalf("%d lines, want 400", len(lines))
	}
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Fatalf("not a line of JSON: %s", line)
		}
	}
}

func TestParseLevel(t *testing.T) {
	for _, name := range []string{"debug", "info", "warn", "error"} {
		l, err := obs.ParseLevel(name)
		if err != nil || strings.ToLower(l.String()) != name {
			t.Errorf("ParseLevel(%q) = %v, %v", name, l, err)
		}
	}
	if _, err := obs.ParseLevel("loud"); err == nil || !strings.Contains(err.Error(), "debug, info, warn or error") {
		t.Errorf(`ParseLevel("loud") = %v, want an error that names the levels`, err)
	}
}

func TestSecretIsNeverSeen(t *testing.T) {
	const plain = "hunter2"
	s := obs.Secret(plain)
	holder := struct {
		DSN obs.Secret `json:"dsn"`
	}{s}
	marshalled, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, f := range []obs.LogFormat{obs.FormatText, obs.FormatJSON} {
		log := obs.NewLogs(&out, slog.LevelInfo, f).For("a", nil)
		log.Info("configuration", slog.Any("dsn", s), slog.Any("all", holder), slog.String("text", s.String()))
	}
	seen := fmt.Sprintf("%v %s %q %x %#v %+v %d %v", s, s, s, s, s, holder, s, &holder) + string(marshalled) + out.String()
	if strings.Contains(seen, plain) || strings.Contains(seen, fmt.Sprintf("%x", plain)) {
		t.Errorf("the secret shows in %s", seen)
	}
	if s.Reveal() != plain {
		t.Errorf("Reveal() = %q, want %q", s.Reveal(), plain)
	}
	if got := obs.Secret("").String(); got != "" {
		t.Errorf("an empty secret shows as %q, want nothing", got)
	}
	var back struct {
		DSN obs.Secret `json:"dsn"`
	}
	if err := json.Unmarshal([]byte(`{"dsn":"hunter2"}`), &back); err != nil || back.DSN.Reveal() != plain {
		t.Errorf("Unmarshal = %q, %v", back.DSN.Reveal(), err)
	}
}

func TestHealthGaugeScales(t *testing.T) {
	for _, c := range []struct {
		level          obs.Level
		plain, byError float64
	}{
		{obs.LevelFail, -1, 0}, {obs.LevelStarting, 0, 0}, {obs.LevelDegraded, 1, 1}, {obs.LevelPass, 2, 2},
	} {
		reg := prometheus.NewRegistry()
		h := obs.NewHealth("store")
		h.Set("store", c.level, "because")
		obs.HealthGauge(reg, "registrar_health_level", obs.ScaleLevel, h)
		obs.HealthGauge(reg, "config_health_level", obs.ScaleError, h)
		want := fmt.Sprintf(`# HELP config_health_level Overall health of the service on this node.
# TYPE config_health_level gauge
config_health_level %v
# HELP registrar_health_level Overall health of the service on this node.
# TYPE registrar_health_level gauge
registrar_health_level %v
`, c.byError, c.plain)
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
			t.Errorf("%v: %v", c.level, err)
		}
	}
}

func TestStateGaugesFollowTheLink(t *testing.T) {
	reg := prometheus.NewRegistry()
	up := true
	link := func() (bool, string) { return up, "cut" }
	obs.RedisState(reg, "x_redis_state", "n1", link)
	obs.LinkState(reg, "x_config_node_status", "State of the link to the config service.", nil, link)
	text := func(redis, config int) string {
		return fmt.Sprintf(`# HELP x_config_node_status State of the link to the config service.
# TYPE x_config_node_status gauge
x_config_node_status %d
# HELP x_redis_state State of the link to the JetStream: -1 error, 0 disconnected, 1 connected, 2 ready.
# TYPE x_redis_state gauge
x_redis_state{location="n1",redis_cluster_name="jetstream"} %d
`, config, redis)
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(text(2, 1))); err != nil {
		t.Errorf("link up: %v", err)
	}
	up = false
	if err := testutil.GatherAndCompare(reg, strings.NewReader(text(0, 0))); err != nil {
		t.Errorf("link down: %v", err)
	}
}

func TestNewRegistryTwiceInOneProcess(t *testing.T) {
	for range 2 {
		reg := obs.NewRegistry("1.2.3")
		want := `# HELP service_version_info Always 1; the version label names the running release.
# TYPE service_version_info gauge
service_version_info{version="1.2.3"} 1
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "service_version_info"); err != nil {
			t.Error(err)
		}
	}
}

func TestHealthIsItsWorstCheck(t *testing.T) {
	h := obs.NewHealth("a", "b")
	if l, _ := h.Report(); l != obs.LevelStarting || h.Ready() {
		t.Errorf("a new health is %v, ready %v; want starting, not ready", l, h.Ready())
	}
	h.Set("a", obs.LevelPass, "")
	h.Set("b", obs.LevelDegraded, "slow")
	l, checks := h.Report()
	if l != obs.LevelDegraded || !h.Ready() || len(checks) != 2 || checks[1].Reason != "slow" {
		t.Errorf("Report = %v, %+v; want degraded, because b is slow", l, checks)
	}
	since := checks[1].Since
	h.Set("b", obs.LevelDegraded, "still slow")
	if _, checks = h.Report(); checks[1].Since != since || checks[1].Reason != "still slow" {
		t.Errorf("an unchanged level moved its time, or kept an old reason: %+v", checks[1])
	}
	h.Set("b", obs.LevelFail, "gone")
	if l, _ = h.Report(); l != obs.LevelFail || h.Ready() {
		t.Errorf("Report = %v, want fail", l)
	}
}

func TestLevelTravelsAsAWord(t *testing.T) {
	for _, l := range []obs.Level{obs.LevelFail, obs.LevelStarting, obs.LevelDegraded, obs.LevelPass} {
		b, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		var back obs.Level
		if err := json.Unmarshal(b, &back); err != nil || back != l {
			t.Errorf("%s became %v, %v", b, back, err)
		}
	}
}
