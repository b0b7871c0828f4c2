package archtest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// strangers are words that belong to one machine and not to the project. They are written in pieces so that this
// file does not hold them.
var strangers = []struct {
	word *regexp.Regexp
	why  string
}{
	{regexp.MustCompile(`(^|[^A-Za-z0-9_.$}*])/` + `(root|home/[a-z]+|Users)/[A-Za-z0-9_.]`), "a path of somebody's machine"},
	{regexp.MustCompile(`(?i)\b(gopr` + `oxy|artifact` + `ory|nexus\.|pypi` + `mirror)`), "the address of somebody's registry"},
	{regexp.MustCompile(`"res` + `olved": "http`), "a download address"},
}

func TestNoFileSpeaksOfAMachine(t *testing.T) {
	files := strings.Split(strings.TrimRight(string(root(t, "git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")), "\x00"), "\x00")
	if len(files) < 20 {
		t.Fatalf("git ls-files found %d files only", len(files))
	}
	here, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if os.IsNotExist(err) {
			continue // deleted, not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		if name == "go.sum" || bytes.IndexByte(text[:min(len(text), 8000)], 0) >= 0 {
			continue // checksums, and what is no text
		}
		for i, line := range strings.Split(string(text), "\n") {
			if strings.Contains(line, here+"/") {
				t.Errorf("%s:%d: the path of this checkout", name, i+1)
			}
			for _, s := range strangers {
				if m := s.word.FindString(line); m != "" {
					t.Errorf("%s:%d: %q is %s", name, i+1, m, s.why)
				}
			}
		}
	}
}

func TestStrangersAreRecognised(t *testing.T) {
	for line, want := range map[string]bool{
		"see /Us" + "ers/ann/x":               true,
		`dir = "/ro` + `ot/go"`:               true,
		"https://artifact" + "ory.example/go": true,
		"the /rest/of it, /readyz, /roots":    false,
		"https://example.com/root/main":       false,
		"`./root/x` is relative":              false,
	} {
		found := false
		for _, s := range strangers {
			found = found || s.word.MatchString(line)
		}
		if found != want {
			t.Errorf("%q: found %v, want %v", line, found, want)
		}
	}
}
