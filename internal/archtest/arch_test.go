package archtest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is the name of the project's module.
const module = "parley"

// pkg is what `go list` tells of a package.
type pkg struct {
	ImportPath   string
	Name         string
	Dir          string
	Doc          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// path is the import path without the module's name; "" for the root.
func (p pkg) path() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

// root runs a command at the root of the module and returns what it prints.
func root(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// packages lists the packages of the project.
func packages(t *testing.T) []pkg {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(root(t, "go", "list", "-e", "-json", "./...")))
	var out []pkg
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	if len(out) < 5 {
		t.Fatalf("go list found %d packages only", len(out))
	}
	return out
}

// under tells whether path is dir or below it.
func under(path string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return path == d || strings.HasPrefix(path, d+"/") })
}

// service is the folder of a service that path belongs to, "" if it belongs to none.
func service(path string) string {
	if !under(path, "services", "bridge") {
		return ""
	}
	parts := strings.SplitN(path, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// forbidden says why a package may not import another one of the project, or "".
func forbidden(from, to string) string {
	switch {
	case from == "internal/voice":
		return "internal/voice is the vocabulary and imports nothing of the project"
	case testHelper(to) && !testHelper(from):
		return "it is there for tests only"
	case under(to, "server") && !under(from, "server", "e2e"):
		return "only server knows server: imports point server -> services, bridge, web -> internal"
	case under(to, "services", "bridge") && service(from) != service(to) && !under(from, "server", "e2e"):
		return "a service is called through internal/contract, never imported"
	case under(to, "web") && !under(from, "web", "server", "e2e"):
		return "nothing but server knows the pages"
	case under(to, "e2e") && !under(from, "e2e"):
		return "e2e looks at the house from outside"
	case under(from, "configs") && under(to, "internal", "services", "web", "server"):
		return "configs holds files and knows no code"
	}
	return ""
}

// gates are foreign libraries that only some packages may import, so that they can be replaced in one place.
var gates = []struct {
	library string   // prefix of import paths
	allowed []string // folders
}{
	{"github.com/nats-io/nats.go", []string{"internal/fabric"}},
	{"github.com/nats-io/nats-server", []string{"services/rq"}},
	{"github.com/gofiber/fiber", []string{"internal/httpapi", "web"}},
	{"github.com/valyala/fasthttp", []string{"internal/httpapi", "web"}},
	{"github.com/emiago/sipgo", []string{"internal/sipua", "services/sipproxy", "services/sip", "e2e"}},
	{"github.com/miekg/dns", []string{"internal/sipua/locate"}},
	{"modernc.org/sqlite", []string{"internal/store"}},
	{"github.com/jackc/pgx", []string{"internal/store"}},
	{"database/sql", []string{"internal/store"}},
	{"github.com/alecthomas/kong", []string{"server"}},
	{"github.com/dop251/goja", []string{"internal/scxml"}},
	{"github.com/dlclark/regexp2", []string{"internal/scxml"}},
	{"github.com/chromedp", []string{"web", "e2e"}},
	{"testing", []string{}}, // never in code that is shipped
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range packages(t) {
		for _, i := range p.Imports {
			if to, ours := strings.CutPrefix(i, module+"/"); ours {
				if why := forbidden(p.path(), to); why != "" {
					t.Errorf("%s imports %s: %s", p.path(), to, why)
				}
			}
		}
	}
}

// Tests may start real neighbours, so only the vocabulary and the arrow itself hold for them.
func TestTestsDoNotTurnTheArrow(t *testing.T) {
	for _, p := range packages(t) {
		for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
			if to, ours := strings.CutPrefix(i, module+"/"); ours && under(to, "server") && !under(p.path(), "server", "e2e") {
				t.Errorf("a test of %s imports %s: only server and e2e know server", p.path(), to)
			}
		}
	}
}

func TestForeignLibrariesHaveOneDoor(t *testing.T) {
	for _, p := range packages(t) {
		if p.path() == "internal/deps" || testHelper(p.path()) {
			continue // the first pins versions and is built into nothing, and tests may look behind the doors
		}
		for _, i := range p.Imports {
			for _, g := range gates {
				if under(i, g.library) && !under(p.path(), g.allowed...) {
					t.Errorf("%s imports %s: only %v may", p.path(), i, g.allowed)
				}
			}
		}
	}
}

// testHelper tells whether a package exists for tests only: pgtest, fabrictest, e2e, but not internal/archtest itself.
func testHelper(path string) bool {
	return strings.HasSuffix(path, "test") || under(path, "e2e")
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		switch {
		case len(p.GoFiles) == 0: // only tests, or built with a tag
		case p.Name == "main" && len(p.Doc) < 20:
			t.Errorf("%s: a command says in its package comment what it does", p.path())
		case p.Name != "main" && !strings.HasPrefix(p.Doc, "Package "+p.Name+" "):
			t.Errorf("%s: the package comment is %q; it begins \"Package %s ...\"", p.path(), p.Doc, p.Name)
		}
	}
}

// The rules themselves: a rule that forbids nothing would pass every tree.
func TestForbidden(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"server/node", "services/registrar", false},
		{"server/node", "web", false},
		{"services/registrar", "internal/contract", false},
		{"services/registrar", "services/registrar/ban", false},
		{"e2e", "server/node", false},
		{"services/registrar", "services/config", true},
		{"web", "services/config", true},
		{"internal/fabric", "services/rq", true},
		{"internal/obs", "server/node", true},
		{"services/registrar", "server/node", true},
		{"internal/httpapi", "web", true},
		{"internal/voice", "internal/obs", true},
		{"services/config", "bridge/redis", true},
		{"services/config", "internal/store/pgtest", true},
		{"internal/fabric/fabrictest", "internal/fabric", false},
		{"server/node", "e2e/phone", true},
	} {
		if why := forbidden(c.from, c.to); (why != "") != c.want {
			t.Errorf("forbidden(%s, %s) = %q, want forbidden %v", c.from, c.to, why, c.want)
		}
	}
	for path, want := range map[string]string{
		"services/registrar/ban": "services/registrar", "services/registrar": "services/registrar", "bridge/redis": "bridge/redis", "internal/obs": "",
	} {
		if got := service(path); got != want {
			t.Errorf("service(%s) = %q, want %q", path, got, want)
		}
	}
}
