package provision_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"parley/server/provision"
)

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "p.yaml")
}

func TestReadTakesTheFilesAlong(t *testing.T) {
	path := write(t, map[string]string{
		"p.yaml":     "tenants: [{name: a, scripts: [{name: x, scxml_file: s/x.scxml}]}]",
		"s/x.scxml":  "<scxml/>",
		"other.file": "not asked for",
	})
	req, err := provision.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(req.Files) != 1 || string(req.Files["s/x.scxml"]) != "<scxml/>" || req.File != path || !provision.DefinesTenants(req) {
		t.Errorf("Read = %+v", req)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"a way out":          {"tenants: [{name: a, scripts: [{name: x, scxml_file: ../secret}]}]", "leaves the folder"},
		"an absolute path":   {"tenants: [{name: a, scripts: [{name: x, scxml_file: /etc/passwd}]}]", "leaves the folder"},
		"a file not there":   {"tenants: [{name: a, scripts: [{name: x, scxml_file: none}]}]", "tenant a: scxml_file: none does not exist"},
		"no provisioning at": {"", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "none.yaml")
			if c.yaml != "" {
				path = write(t, map[string]string{"p.yaml": c.yaml})
			}
			if _, err := provision.Read(path); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Read = %v, want %q", err, c.want)
			}
		})
	}
}

// What is wrong with the YAML is said by whoever knows the fields.
func TestReadLeavesBrokenYAMLToConfig(t *testing.T) {
	path := write(t, map[string]string{"p.yaml": "tenants: [{name: a, dns: 7"})
	req, err := provision.Read(path)
	if err != nil || !strings.Contains(string(req.YAML), "dns: 7") || provision.DefinesTenants(req) {
		t.Errorf("Read = %+v, %v", req, err)
	}
}

func TestFromTemplate(t *testing.T) {
	files := fstest.MapFS{
		"t.yaml":  {Data: []byte(`tenants: [{name: {{ .Name }}, scripts: [{name: w, scxml_file: w.scxml}]}]`)},
		"w.scxml": {Data: []byte("<scxml/>")},
	}
	req, err := provision.FromTemplate(files, "t.yaml", struct{ Name string }{"demo"})
	if err != nil || !strings.Contains(string(req.YAML), "name: demo") || len(req.Files) != 1 {
		t.Errorf("FromTemplate = %+v, %v", req, err)
	}
}
