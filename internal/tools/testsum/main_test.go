package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	for name, c := range map[string]struct {
		events string
		exit   int
		want   []string
		hides  string
	}{
		"all pass": {
			`{"Action":"run","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"A","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"A/one"}
{"Action":"pass","Package":"p","Test":"A"}
{"Action":"pass","Package":"p","Elapsed":1.5}
{"Action":"skip","Package":"without/tests"}`,
			0, []string{"ok    p", "2 passed, 0 failed, 0 skipped\n"}, "chatter",
		},
		"a failed test": {
			`{"Action":"output","Package":"p","Test":"A","Output":"got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"fail","Package":"p"}`,
			1, []string{"got 1, want 2", "failed:  p A\n", "0 passed, 1 failed, 0 skipped\n"}, "",
		},
		"a package that does not build": {
			`{"Action":"build-output","ImportPath":"p","Output":"x.go:1: undefined: y\n"}
{"Action":"build-fail","ImportPath":"p"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p"}`,
			1, []string{"undefined: y", "failed:  p\n", "0 passed, 1 failed, 0 skipped\n"}, "",
		},
		"a skipped test": {
			`{"Action":"pass","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"B","Output":"no sipp here\n"}
{"Action":"skip","Package":"p","Test":"B"}
{"Action":"pass","Package":"p"}`,
			1, []string{"no sipp here", "skipped: p B", "1 passed, 0 failed, 1 skipped\n"}, "",
		},
		"nothing at all": {"go: no packages\n", 1, []string{"go: no packages", "0 passed, 0 failed, 0 skipped\n"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if got := run(strings.NewReader(c.events), &out); got != c.exit {
				t.Errorf("exit %d, want %d", got, c.exit)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output lacks %q:\n%s", want, out.String())
				}
			}
			if c.hides != "" && strings.Contains(out.String(), c.hides) {
				t.Errorf("output of a passed test shows:\n%s", out.String())
			}
			if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); !strings.HasSuffix(lines[len(lines)-1], "skipped") {
				t.Errorf("the counts are not the last line:\n%s", out.String())
			}
		})
	}
}
