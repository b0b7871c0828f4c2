package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/server/control"
)

const sample = "../../configs/scxml/welcome.scxml"

func scriptFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "menu.scxml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestScriptCheck(t *testing.T) {
	out, _, code := parley(t, "script", "check", "--strict", sample)
	if code != 0 || !strings.Contains(out, "0 errors, 0 warnings; 9 of 9 tests passed") {
		t.Errorf("check of the sample: exit %d: %s", code, out)
	}
	bad := scriptFile(t, "<scxml xmlns='http://www.w3.org/2005/07/scxml'>\n<state id='a'><transition event='x' target='b'/></state>\n<state id='c'/></scxml>")
	out, _, code = parley(t, "script", "check", bad, sample)
	for _, want := range []string{bad + ":2:15: <transition>: error: there is no state \"b\"", bad + ":3:1: <state>: warning: nothing leads to state \"c\"", "2 states, 1 error, 1 warning", "9 of 9"} {
		if !strings.Contains(out, want) {
			t.Errorf("not printed: %s\n%s", want, out)
		}
	}
	if code != 1 {
		t.Errorf("exit %d, want 1", code)
	}
	good := scriptFile(t, "<scxml xmlns='http://www.w3.org/2005/07/scxml'><state id='a'/></scxml>")
	if err := os.WriteFile(strings.TrimSuffix(good, ".scxml")+".test.yaml", []byte("tests: [{name: wrong, expect: {states: [b]}}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, code = parley(t, "script", "check", "--json", good)
	var all []struct {
		File  string
		Tests []struct{ Problems []struct{ Line int } }
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != 1 || len(all) != 1 || len(all[0].Tests[0].Problems) != 1 {
		t.Errorf("check with a failing test as JSON: exit %d, %v: %s", code, err, out)
	}
}

func TestScriptRun(t *testing.T) {
	events := file(t, "answers: [{request: dialog.playandcollect, after: 2s, done: {digits: '2'}}]")
	out, _, code := parley(t, "script", "run", sample, "--events", events)
	if code != 0 || !strings.Contains(out, "0:02.000    ! interaction.redirect {\"destination\":\"5555\"}") {
		t.Errorf("run: exit %d: %s", code, out)
	}
	out, _, code = parley(t, "script", "run", sample, "--json")
	var r struct{ States []string }
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || len(r.States) != 1 {
		t.Errorf("run as JSON: exit %d, %v: %s", code, err, out)
	}
	loop := scriptFile(t, "<scxml xmlns='http://www.w3.org/2005/07/scxml'><state id='a'><transition target='a'/></state></scxml>")
	if _, errs, code := parley(t, "script", "run", loop); code != 1 || !strings.Contains(errs, "microsteps") {
		t.Errorf("run of a loop: exit %d: %s", code, errs)
	}
}

func TestScriptDraw(t *testing.T) {
	out, _, code := parley(t, "script", "draw", sample)
	if code != 0 || !strings.HasPrefix(out, "<svg") || !strings.Contains(out, `data-state="queueing"`) {
		t.Errorf("draw: exit %d: %.200s", code, out)
	}
}

func TestScriptVersions(t *testing.T) {
	n := &node{}
	dir := running(t, n)
	out, errs, code := parley(t, "script", "publish", sample, "--tenant", "demo", "--comment", "new", "--data-dir", dir)
	if code != 0 || !strings.Contains(out, "published: welcome@7") {
		t.Errorf("publish: exit %d: %s%s", code, out, errs)
	}
	if n.script.Op != control.ScriptPublish || n.script.Comment != "new" || !strings.Contains(n.script.SCXML, "<scxml") {
		t.Errorf("the node was asked for %+v", n.script)
	}
	n.script = control.ScriptRequest{}
	bad := scriptFile(t, "<scxml/>")
	if _, errs, code := parley(t, "script", "publish", bad, "--tenant", "demo", "--data-dir", dir); code != 1 || !strings.Contains(errs, "not published") || n.script.Op != "" {
		t.Errorf("publish of a bad script: exit %d: %s; asked for %q", code, errs, n.script.Op)
	}
	if out, _, code := parley(t, "script", "versions", "welcome", "--tenant", "demo", "--data-dir", dir); code != 0 || !strings.Contains(out, "*    7  ") || !strings.Contains(out, "why") {
		t.Errorf("versions: exit %d: %s", code, out)
	}
	if out, _, code := parley(t, "script", "versions", "welcome@3", "--tenant", "demo", "--data-dir", dir); code != 0 || out != "<scxml/>" || n.script.Version != 3 {
		t.Errorf("text: exit %d: %s", code, out)
	}
	if out, _, code := parley(t, "script", "rollback", "welcome", "--tenant", "demo", "--data-dir", dir); code != 0 || !strings.Contains(out, "published: welcome@7") || n.script.Op != control.ScriptRollback {
		t.Errorf("rollback: exit %d: %s", code, out)
	}
}
