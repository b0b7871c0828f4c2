package script

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the traces anew")

func play(t *testing.T, states, scenario string) *Result {
	t.Helper()
	sc, err := ReadScenario("events.yaml", []byte(scenario))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run("f.scxml", document(states), *sc, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// everything is all that happened, as one text.
func everything(r *Result) string { return fmt.Sprint(r.Steps) }

// The trace of a run as people read it.
func TestTraceOfARun(t *testing.T) {
	src, err := os.ReadFile(samples + "/welcome.scxml")
	if err != nil {
		t.Fatal(err)
	}
	sc, err := ReadScenario("e", []byte("answers: [{request: dialog.playandcollect, after: 2s, done: {digits: '1'}}]\nevents: [{at: 10s, hangup: true}]"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run("welcome.scxml", src, *sc, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := r.Print(&got); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/welcome.trace"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the trace is not that of %s:\n%s", golden, &got)
	}
}

func TestTimePassesWithoutWaiting(t *testing.T) {
	r := play(t, `<state id="a"><onentry><send event="tick" delay="50m"/></onentry><transition event="tick" target="b"><log label="at" expr="_parley.session.timeInZone('Europe/Berlin')"/></transition></state><final id="b"/>`,
		"no_interaction: true\nat: 2026-07-01T10:00:00Z")
	if !r.Ended || r.Lasted != 50*time.Minute {
		t.Errorf("ended %v after %v, want after 50m", r.Ended, r.Lasted)
	}
	if steps := everything(r); !strings.Contains(steps, "12:50") {
		t.Errorf("the clock of the script: %s", steps)
	}
}

func TestAnswersAreUsedInOrder(t *testing.T) {
	const ask = `<state id="w"><transition event="interaction.present" target="a"/></state><state id="a"><onentry><dialog:collect max_digits="1"/></onentry>
<transition event="dialog.collect.done" cond="_event.data.digits == '9'" target="end"/><transition event="dialog.collect.done error.dialog.collect" target="a"/></state><final id="end"/>`
	r := play(t, ask, `
answers:
  - {request: dialog.collect, after: 1s, done: {digits: "1"}}
  - {request: dialog.collect, after: 1s, error: unavailable}
  - {request: dialog.collect, if: {max_digits: 2}, done: {digits: "9"}}
  - {request: dialog.collect, after: 1s, done: {digits: "9"}}`)
	if len(r.Requests) != 3 || !r.Ended || r.Lasted != 3*time.Second {
		t.Errorf("%d requests in %v, want 3 in 3s: %s", len(r.Requests), r.Lasted, text(r.Steps))
	}
}

func TestWhatIsSentOnLeaves(t *testing.T) {
	r := play(t, `<state id="a"><transition event="interaction.present" target="b"/></state>
<state id="b"><onentry><ixn:setuserdata key="'level'" value="'gold'"/></onentry><transition event="interaction.udata.changed" target="c"><log expr="_genesys.ixn.interactions[0].udata.level + _genesys.ixn.interactions[0].udata.a"/></transition></state>
<state id="c"><onentry><ixn:redirect destination="'1001'"/></onentry><transition event="interaction.deleted" target="d"/></state><final id="d"/>`, "interaction: {ani: '1', udata: {a: b}}")
	if !r.Ended || !strings.Contains(everything(r), "goldb") {
		t.Errorf("states %v: %s", r.States, text(r.Steps))
	}
}

func TestBadScenariosSayWhere(t *testing.T) {
	for yaml, want := range map[string]string{
		"answers: [{reqest: x}]":                      "e:1:",
		"events: [{at: 1s}]":                          "events[0]",
		"answers: [{request: x, error: y, done: {}}]": "answers[0]",
		"lists: [{name: 5}]":                          "lists",
		"at: tomorrow":                                "at:",
		"{":                                           "e:",
	} {
		if s, err := ReadScenario("e", []byte(yaml)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %q", yaml, s, err, want)
		}
	}
}

// Each test of the file fails, for the reason that its name says.
func TestFailingTestsSayWhy(t *testing.T) {
	const tests = `tests:
  - name: "want dialog.play"
    expect: {requests: [{request: dialog.play}]}
  - name: "max_digits is 1, want 2"
    expect: {requests: [{request: dialog.collect, args: {max_digits: 2}}]}
  - name: "request 1, dialog.collect {\"max_digits\":1}, is not expected"
    expect: {requests: []}
  - name: "request 1, queue.submit, is not made"
    expect: {includes: [{request: queue.submit}]}
  - name: "at the end it is in [b], want [a]"
    expect: {states: [a]}
  - name: "state \"c\" is not entered"
    expect: {visited: [a, c]}
  - name: "data.n is 1, want 2"
    expect: {data: {n: 2}}
  - name: "it lasts 10s, want 1m0s"
    expect: {lasts: 1m}
  - name: "ended is true, want false"
    expect: {ended: false}
  - name: "no error with"
    expect: {error: boom}
  - name: "\"hello\" is not logged"
    expect: {logs: [hello]}
`
	src := document(`<datamodel><data id="n" expr="1"/></datamodel><state id="w"><transition event="interaction.present" target="a"/></state><state id="a"><onentry><dialog:collect max_digits="1"/></onentry><transition event="dialog.collect.done" target="b"/></state><final id="b"/>`)
	outcomes, problems := RunTests("f.scxml", src, "f.test.yaml", []byte(strings.Replace(tests, "tests:", "no_interaction: false\ntests:", 1)), nil)
	if len(problems) > 0 || len(outcomes) != 11 {
		t.Fatalf("%d outcomes, %v", len(outcomes), problems)
	}
	for i, o := range outcomes {
		if len(o.Problems) == 0 || !strings.Contains(o.Problems[0].Text, o.Name) {
			t.Errorf("%s: %v", o.Name, o.Problems)
		} else if p := o.Problems[0]; p.Line != 3+2*i || p.File != "f.test.yaml" {
			t.Errorf("%s is said to stand at %s:%d, want line %d", o.Name, p.File, p.Line, 3+2*i)
		}
	}
}
