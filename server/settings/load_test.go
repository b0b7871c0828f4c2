package settings_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"parley/server/settings"
)

// load writes text to parley.yaml and loads it with env and flags over it.
func load(t *testing.T, text string, env []string, flags ...settings.Flag) (settings.Config, []string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "parley.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, warnings, err := settings.Load(settings.Sources{File: file, Env: env, Flags: flags})
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), filepath.Dir(file)+"/", ""))
	}
	return cfg, warnings, err
}

func TestDefaultsAreValid(t *testing.T) {
	cfg, warnings, err := settings.Load(settings.Sources{})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load of nothing: %v, warnings %q", err, warnings)
	}
	if host, _ := os.Hostname(); cfg.Node.ID != host {
		t.Errorf("node.id = %q, want the host name %q", cfg.Node.ID, host)
	}
	if got := cfg.Node.Running(); !reflect.DeepEqual(got, settings.Services()) {
		t.Errorf("services = %v, want all", got)
	}
}

func TestFlagsOverEnvironmentOverFile(t *testing.T) {
	cfg, _, err := load(t, "node: {id: file, data_dir: /file}\nweb: {listen: 127.0.0.1:1}\nhttp: {ports: {config: 1234}}\n",
		[]string{"PARLEY_NODE_DATA_DIR=/env", "PARLEY_WEB_LISTEN=127.0.0.1:2", "PARLEY_HTTP_PORTS_REGISTRAR=-1",
			"PARLEY_SIP_LISTEN=udp://127.0.0.1:0, tcp://127.0.0.1:0", "PARLEY_MEDIA_PORTS=3000-3999", "PARLEY_CONFIG=elsewhere"},
		settings.Flag{Name: "--data-dir", Key: "node.data_dir", Value: "/flag"})
	if err != nil {
		t.Fatal(err)
	}
	got := []any{cfg.Node.ID, cfg.Node.DataDir, cfg.Web.Listen, cfg.HTTP.Ports["config"], cfg.HTTP.Ports["registrar"],
		cfg.HTTP.Ports["rq"], cfg.SIP.Listen, cfg.Media.Ports}
	want := []any{"file", "/flag", "127.0.0.1:2", 1234, -1, 12000, []string{"udp://127.0.0.1:0", "tcp://127.0.0.1:0"}, settings.PortRange{First: 3000, Last: 3999}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestEveryProblemIsReportedWithItsPlace(t *testing.T) {
	_, _, err := load(t, `node:
  id: "two words"
  datadir: ./x
  services: [sip, rq]
sip:
  listen:
    - udp://0.0.0.0:5060
    - sip.example.com
  tls: {cert: a.pem}
http:
  ports:
    config: nine
    registrar: 70000
    frontier: 1
log: loud
fabric: {replicas: 3, url: "nats://user:hunter2@:bad port"}
log: {level: loud}
`, []string{"PARLEY_HTTP_BIND=everywhere"}, settings.Flag{Name: "--services", Key: "node.services", Value: "config,phone"})
	if err == nil {
		t.Fatal("Load found nothing wrong")
	}
	for _, want := range []string{
		`parley.yaml:2:7: node.id: "two words": want 1 to 63 letters`,
		`parley.yaml:3:3: node.datadir: unknown key; known here: id, data_dir, services`,
		`--services: node.services[1]: there is no service "phone"; want all, or some of rq, config`,
		`parley.yaml:8:7: sip.listen[1]: "sip.example.com" is no SIP listener`,
		`sip.tls: cert and key belong together`,
		`parley.yaml:12:13: http.ports.config: "nine" is no value for this key; want a whole number`,
		`parley.yaml:13:16: http.ports.registrar: 70000 is no port`,
		`parley.yaml:14:5: http.ports.frontier: unknown key`,
		`parley.yaml:15:6: log: the value "loud" stands here; want a mapping with the keys level, format`,
		`parley.yaml:17:1: log: stands here a second time`,
		`PARLEY_HTTP_BIND: http.bind: "everywhere" is no IP address`,
		`fabric.url: is no NATS address`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no problem %q in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a password shows in:\n%v", err)
	}
}

func TestLoadFailsWith(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"broken YAML":        {"node: {id: a\nsip: [", "parley.yaml:"},
		"a list for a text":  {"node: {id: [a]}", `node.id: a list stands here; want a text`},
		"a map for a list":   {"sip: {listen: {udp: 5060}}", `sip.listen: a mapping stands here; want a list such as ["a", "b"]`},
		"a text for a list":  {"node: {services: rq}", `node.services: the value "rq" stands here; want a list`},
		"an alias":           {"node: {id: &a x, data_dir: *a}", "write the value out"},
		"two documents":      {"node: {id: a}\n---\nnode: {id: b}\n", "more than one document"},
		"a list at the top":  {"- node", "a list stands here; want a mapping with the keys node, sip"},
		"no JetStream":       {"node: {services: [config]}", "add rq or set fabric.url"},
		"a port twice":       {"http: {ports: {config: 5000, rq: 5000}}", "5000 is also http.ports.config"},
		"a bad port range":   {"media: {ports: lots}", "want two port numbers such as 20000-29999"},
		"a listener twice":   {`sip: {listen: ["udp://:5060", "udp://:5060"]}`, "listed twice"},
		"a lonely replica":   {"fabric: {replicas: 3}", "3 copies need a cluster"},
		"half a cluster":     {"fabric: {cluster: {name: c}}", "fabric.cluster.listen: is missing"},
		"no size":            {"fabric: {max_store: huge}", `"huge": want a size such as 64MiB`},
		"too small a store":  {"fabric: {max_store: 1MiB}", "fabric.max_store: 1048576: want at least"},
		"a wrong duration":   {"tenant: {token_ttl: long}", `"long" is no value for this key; want a duration such as 30s`},
		"a service's word":   {"tenant:\n  lockout:\n    window: 1ms\n", "parley.yaml:3:13: tenant.lockout.window: 1ms is too short"},
		"a foreign database": {"store: {dsn: \"mysql://root:hunter2@db\"}", "store.dsn: is neither empty"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := load(t, c.text, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Load = %v\nwant %s", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a password shows in: %v", err)
			}
		})
	}
}

func TestEmptyFileIsDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing yet\n", "node:\nsip:\n  listen:\n"} {
		cfg, _, err := load(t, text, nil)
		if err != nil || !reflect.DeepEqual(cfg.SIP, settings.Default().SIP) {
			t.Errorf("%q: %v, %v", text, cfg.SIP, err)
		}
	}
}

func TestMissingFileNamesTheCure(t *testing.T) {
	_, _, err := settings.Load(settings.Sources{File: filepath.Join(t.TempDir(), "none.yaml")})
	if err == nil || !strings.Contains(err.Error(), "--config: there is no such file; check the path") {
		t.Errorf("Load = %v", err)
	}
}

func TestForeignVariablesAreWarnedAbout(t *testing.T) {
	_, warnings, err := settings.Load(settings.Sources{Env: []string{"PARLEY_SERVICE_HOST=10.0.0.1", "PATH=/bin"}})
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "PARLEY_SERVICE_HOST names no configuration key") {
		t.Errorf("warnings %q, error %v", warnings, err)
	}
}

// The sample in configs must name every key with its default, so that it can be read as the reference.
func TestSampleFileHoldsEveryKeyAndItsDefault(t *testing.T) {
	text, err := os.ReadFile("../../configs/parley.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := load(t, string(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := settings.Default()
	want.Node.ID = cfg.Node.ID // the host name
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("the sample sets\n%+v\nthe defaults are\n%+v", cfg, want)
	}
	for _, key := range settings.Keys() {
		name := key[strings.LastIndex(key, ".")+1:]
		if !strings.Contains(string(text), name+":") {
			t.Errorf("configs/parley.yaml does not mention %s", key)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("node: {id: a, services: [rq]}\nsip:\n  listen: [\"udp://:5060\"]\n")
	f.Add("http: {ports: {config: -1}}")
	f.Add("store: {dsn: |\n  postgres://x\n}")
	file := filepath.Join(f.TempDir(), "parley.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, _, err := settings.Load(settings.Sources{File: file})
		if err == nil && cfg.Validate() != nil {
			t.Errorf("Load accepted what Validate refuses: %v", cfg.Validate())
		}
		var p settings.Problems
		if err != nil && (!errors.As(err, &p) || len(p) == 0) {
			t.Errorf("Load = %v, want a list of problems", err)
		}
	})
}

func TestClusterSampleIsValid(t *testing.T) {
	cfg, _, err := settings.Load(settings.Sources{File: "../../configs/cluster.yaml", Env: []string{"PARLEY_FABRIC_PASSWORD=of the nodes"}})
	if err != nil {
		t.Fatal(err)
	}
	if !cfg.RQ().Clustered() || cfg.Fabric.Replicas != 3 {
		t.Errorf("the sample makes no cluster: %+v", cfg.Fabric)
	}
	if _, _, err := settings.Load(settings.Sources{File: "../../configs/cluster.yaml"}); err == nil || !strings.Contains(err.Error(), "fabric.user: user and password go together") {
		t.Errorf("a cluster without a password: %v", err)
	}
}
