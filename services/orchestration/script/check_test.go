package script

import (
	"fmt"
	"strings"
	"testing"
)

// document puts states into a script with the namespaces of the modules. Its first line is the first of states.
func document(states string) []byte {
	return []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:dialog="http://www.genesyslab.com/modules/dialog" xmlns:queue="www.genesyslab.com/modules/queue" xmlns:ixn="http://www.genesyslab.com/modules/interaction" xmlns:session="urn:parley:session">` +
		states + `</scxml>`)
}

func lines(r *Report) string {
	var out []string
	for _, p := range r.Problems {
		out = append(out, fmt.Sprintf("%d:%d <%s> %s: %s", p.Line, p.Column, p.Element, p.Severity, p.Text))
	}
	return strings.Join(out, "\n")
}

// Each document has the problems that are listed, each of them a part of a line, and no others.
func TestCheckFinds(t *testing.T) {
	for _, c := range []struct {
		name, states string
		want         []string
	}{
		{"all errors at once", `<state id="a"><onentry>
<dialog:sing/><dialog:playsound type="'music'" volume="1"/>
<assign location="x" expr="1 +"/></onentry><transition event="e" target="nowhere"/><transition event="f" target="a"/></state>`, []string{
			`2:1 <sing> error: namespace "http://www.genesyslab.com/modules/dialog" has no such action`,
			`2:15 <playsound> error: unknown attribute volume`,
			`<transition> error: there is no state "nowhere"`,
			`2:15 <playsound> warning: nobody handles error.dialog.playsound`,
		}},
		{"a bad expression", `<state id="a"><onentry><log expr="1 +"/></onentry></state>`, []string{"<log> error:"}},
		{"no XML", `<state id="a">`, []string{"error:"}},
		{"unreachable", `<state id="a"><transition event="x" target="c2"/></state>
<state id="b"><state id="b1"/></state><state id="c"><state id="c1"/><state id="c2"/></state>`, []string{
			`2:1 <state> warning: nothing leads to state "b"`, `nothing leads to state "c1"`,
		}},
		{"a region is reached by its neighbour", `<state id="a"><transition event="x" target="r1"/></state>
<parallel id="p"><state id="r1"/><state id="r2"><state id="r21"/></state></parallel>`, nil},
		{"history leads to its default only", `<state id="a"><transition event="x" target="h"/></state>
<state id="b"><initial><transition target="b1"/></initial><history id="h"><transition target="b2"/></history><state id="b1"/><state id="b2"/></state>`, []string{
			`nothing leads to state "b1"`,
		}},
		{"dead transitions", `<state id="a">
<transition event="x" target="a"/>
<transition event="x.y" cond="1 > 0" target="a"/>
<transition event="x.* y" target="a"/>
<transition event="z" cond="false" target="a"/>
</state>`, []string{
			`3:1 <transition> warning: it never fires: the transition in line 2`, `5:1 <transition> warning: it never fires: its condition is false`,
		}},
		{"left at once", `<state id="a"><transition target="b"/><transition event="x" target="a"/></state><final id="b"/>`, []string{"line 1 is taken first"}},
		{"answers to nothing", `<state id="a"><onentry><dialog:play><dialog:prompts><dialog:prompt text="'x'"/></dialog:prompts></dialog:play></onentry>
<transition event="dialog.play.done"/><transition event="error.dialog.play"/><transition event="dialog.playsond.done"/><transition event="error.queue.submit"/></state>`, []string{
			"there is no action dialog.playsond", "the script has no <queue.submit>",
		}},
		{"an unhandled failure", `<state id="a"><onentry><queue:submit><queue:targets><queue:target type="'dn'" name="'1'"/></queue:targets></queue:submit></onentry><transition event="queue.submit.done"/></state>`, []string{
			"nobody handles error.queue.submit",
		}},
		{"a failure that all handle", `<state id="all"><transition event="error" target="e"/><state id="a"><onentry><session:fetch srcexpr="'http://x/'"/></onentry></state></state><state id="e"/>`, nil},
		{"silence after a prompt", calls(`<state id="b"><onentry><dialog:play><dialog:prompts><dialog:prompt text="'x'"/></dialog:prompts></dialog:play></onentry>
<transition event="dialog.play.done" target="c"/><transition event="error.dialog" target="c"/></state><state id="c"><transition event="interaction.deleted" target="end"/></state>`), []string{
			`<state> warning: a caller may hear nothing in state "c"`,
		}},
		{"silence because nobody waits for the end", calls(`<state id="b"><onentry><dialog:playsound type="'music'" duration="5"/></onentry><transition event="error"/><transition event="interaction.deleted" target="end"/></state>`), []string{
			"hears nothing in state \"b\" once what is played has ended",
		}},
		{"music that lasts from state to state", calls(`<state id="b"><onentry><dialog:playsound type="'music'"/></onentry><transition event="error"/><transition event="dialog.playsound.done" target="c"/></state>
<state id="c"><transition event="interaction.deleted" target="end"/></state>`), nil},
		{"music in the other region", calls(`<parallel id="b"><transition event="interaction.deleted" target="end"/><transition event="error"/><state id="music"><onentry><dialog:playsound type="'music'"/></onentry></state><state id="work"/></parallel>`), nil},
		{"the end with a caller", calls(`<state id="b"><onentry><dialog:playsound type="'music'"/></onentry><transition event="error"/><transition event="enough" target="end"/></state>`), []string{
			`<final> warning: the script may end in final "end" while the caller still waits`,
		}},
		{"a choice without silence", calls(`<state id="b"><transition cond="x" target="c"/><transition cond="!x" target="c"/></state>
<state id="c"><onentry><ixn:redirect destination="'1'"/></onentry><transition event="interaction.redirect.done" target="end"/><transition event="error.interaction.redirect" target="d"/></state>
<state id="d"><onentry><ixn:terminate/></onentry><transition event="interaction.terminate.done" target="end"/><transition event="error.interaction.terminate" target="end"/></state>`), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := lines(Check("f.scxml", document(c.states), nil))
			for _, w := range c.want {
				if !strings.Contains(got, w) {
					t.Errorf("not found: %s", w)
				}
			}
			if n := len(strings.Split(got, "\n")); got == "" && len(c.want) > 0 || got != "" && n != len(c.want) {
				t.Errorf("%d problems, want %d:\n%s", n, len(c.want), got)
			}
		})
	}
}

// calls is a script whose state "b" gets a caller.
func calls(states string) string {
	return `<state id="a"><transition event="interaction.present" target="b"/></state>` + states + `<final id="end"/>`
}

// Whatever the text, a check ends with a report whose problems have places, and a script without errors has a program.
func FuzzCheck(f *testing.F) {
	f.Add(string(document(calls(`<state id="b"/>`))))
	f.Add(string(document(`<state id="a" initial="h"><history id="h"><transition target="h"/></history><state id="c"/></state>`)))
	f.Add(string(document(`<parallel id="a"><state id="b" initial="a"/><state id="c" initial="b c"/></parallel>`)))
	f.Add("<scxml/>")
	f.Fuzz(func(t *testing.T, src string) {
		r := Check("f", []byte(src), nil)
		if (r.Program() == nil) != (r.Errors() > 0) {
			t.Fatalf("program %v with %d errors", r.Program() != nil, r.Errors())
		}
		for _, p := range r.Problems {
			if p.Line < 1 || p.Column < 1 || p.Text == "" || p.File != "f" || strings.Contains(p.Text, "\n") {
				t.Fatalf("problem %+v", p)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	var states strings.Builder
	states.WriteString(`<state id="a"><transition event="interaction.present" target="s0"/></state>`)
	for i := range 200 {
		fmt.Fprintf(&states, `<state id="s%d"><onentry><dialog:playsound type="'music'"/></onentry><transition event="error"/><transition event="next" target="s%d"/></state>`, i, (i+1)%200)
	}
	src := document(states.String())
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		if r := Check("f", src, nil); r.Errors() > 0 {
			b.Fatal(lines(r))
		}
	}
}
