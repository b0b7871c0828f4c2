package node_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"parley/server/node"
)

// catalogue is configs/catalogue/metrics.yaml: what each service of the family exposes.
type catalogue map[string]struct {
	Metrics []metric `yaml:"metrics"`
	Alerts  []metric `yaml:"alert_only"`
}

type metric struct {
	Name       string   `yaml:"name"`
	Type       string   `yaml:"type"`
	Labels     []string `yaml:"labels"`
	ResolvesTo string   `yaml:"resolves_to"`

	checkLabels bool // they are the catalogue's word, not a guess from an alert
}

// own are prefixes of names that are not the catalogue's: the project's, and those of the Go client library.
var own = []string{"parley_", "go_", "process_", "promhttp_"}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// catalogueName is what the catalogue calls a service.
func catalogueName(service string) string {
	switch service {
	case "frontend":
		return "sipfe"
	case "orchestration":
		return "ors"
	case "callstate":
		return "callthread"
	}
	return service
}

// names lists the catalogue's metrics of a service by name; names that only alerts use count under the name meant.
func (c catalogue) names(service string) map[string]metric {
	out := map[string]metric{}
	for _, m := range c[service].Alerts {
		if m.ResolvesTo != "" {
			m.Name = m.ResolvesTo
		}
		out[m.Name] = m
	}
	for _, m := range c[service].Metrics {
		m.checkLabels = true
		out[m.Name] = m
	}
	return out
}

// shared lists the names that any service may have: those of the Kafka and HTTP clients, the log and the version. The
// catalogue gives them to several services, with differing labels.
func (c catalogue) shared() map[string]bool {
	out := map[string]bool{}
	for _, service := range c {
		for _, m := range slices.Concat(service.Metrics, service.Alerts) {
			for _, prefix := range []string{"kafka_", "http_client_", "log_output_", "service_version_"} {
				if strings.HasPrefix(m.Name, prefix) {
					out[m.Name] = true
				}
			}
		}
	}
	return out
}

// client does not wait for a listener that nobody serves.
var client = http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func httpGet(t *testing.T, url string) []byte {
	t.Helper()
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if cerr := res.Body.Close(); err == nil {
		err = cerr
	}
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v: %s", url, res.Status, err, body)
	}
	return body
}

// TestCatalogue compares /metrics of every service with the catalogue. What the catalogue has and the service has
// not must stand in testdata/absent.yaml with the reason; what the service has and the catalogue has not carries a
// prefix of ours. So nothing disappears unseen, and nothing is added under a name that means something else elsewhere.
func TestCatalogue(t *testing.T) {
	var cat catalogue
	readYAML(t, "../../configs/catalogue/metrics.yaml", &cat)
	var absent map[string]map[string]string
	readYAML(t, "testdata/absent.yaml", &absent)
	p := start(t, config("catalogue", t.TempDir()), node.Options{})
	p.register("udp", "1001", 300) // some names have no series before there is something to count
	p.awaitContacts(1)
	shared := cat.shared()

	for _, s := range p.status.Services {
		t.Run(s.Name, func(t *testing.T) {
			if len(s.Address) == 0 {
				t.Fatal("the service has no HTTP listener")
			}
			page := httpGet(t, s.Address[0]+"/metrics")
			families := parse(t, page)
			known := cat.names(catalogueName(s.Name))
			for name, f := range families {
				m, listed := known[name]
				switch {
				case listed:
					checkShape(t, m, f)
				case shared[name]:
				case !slices.ContainsFunc(own, func(p string) bool { return strings.HasPrefix(name, p) }):
					t.Errorf("%s is not in the catalogue and lacks a prefix of ours (%s)", name, strings.Join(own, ", "))
				}
			}
			report(t, known, families, absent[s.Name])
			promtool(t, page, known, shared)
		})
	}
}

// parse reads a page of /metrics into the shape of what it shows.
func parse(t *testing.T, page []byte) map[string]metric {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(page))
	if err != nil {
		t.Fatalf("/metrics cannot be parsed: %v", err)
	}
	out := map[string]metric{}
	for name, f := range families {
		m := metric{Name: name, Type: strings.ToLower(f.GetType().String())}
		for _, l := range f.GetMetric()[0].GetLabel() {
			m.Labels = append(m.Labels, l.GetName())
		}
		out[name] = m
	}
	return out
}

// checkShape compares type and labels.
func checkShape(t *testing.T, want, got metric) {
	t.Helper()
	if got.Type != want.Type {
		t.Errorf("%s is a %s, the catalogue says %s", want.Name, got.Type, want.Type)
	}
	labels := slices.Clone(want.Labels)
	sort.Strings(labels)
	sort.Strings(got.Labels)
	if want.checkLabels && !slices.Equal(labels, got.Labels) {
		t.Errorf("%s has the labels %v, the catalogue says %v", want.Name, got.Labels, labels)
	}
}

// report logs what is exposed and what is missing, and checks the list of what may be missing in both directions.
func report(t *testing.T, known map[string]metric, families map[string]metric, absent map[string]string) {
	t.Helper()
	var there, missing []string
	for name := range known {
		if _, ok := families[name]; ok {
			there = append(there, name)
			if absent[name] != "" {
				t.Errorf("%s is exposed, but testdata/absent.yaml says it is not: %s", name, absent[name])
			}
			continue
		}
		if absent[name] == "" {
			t.Errorf("%s is not exposed, and testdata/absent.yaml does not say why", name)
		}
		missing = append(missing, fmt.Sprintf("%-50s %s", name, absent[name]))
	}
	for name := range absent {
		if _, ok := known[name]; !ok {
			t.Errorf("testdata/absent.yaml names %s, which the catalogue does not have for this service", name)
		}
	}
	sort.Strings(there)
	sort.Strings(missing)
	t.Logf("%d of %d catalogue names exposed:\n  %s", len(there), len(known), strings.Join(there, "\n  "))
	t.Logf("%d missing:\n  %s", len(missing), strings.Join(missing, "\n  "))
}

// promtool runs `promtool check metrics`; it may complain about the catalogue's own names only.
func promtool(t *testing.T, page []byte, known map[string]metric, shared map[string]bool) {
	t.Helper()
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = bytes.NewReader(page)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("promtool: %v (`go tool task install-peers` installs it)", err)
	}
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, listed := known[name]; name != "" && !listed && !shared[name] {
			t.Errorf("promtool: %s", strings.TrimSpace(line))
		}
	}
}
