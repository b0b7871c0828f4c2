package all

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/scxml"
	"parley/internal/voice"
	"parley/services/orchestration/module"
	"parley/services/orchestration/module/dialog"
	"parley/services/orchestration/module/ixn"
	"parley/services/orchestration/module/queue"
)

// notes is a host that writes down what it is asked for, and answers what the test says.
type notes struct {
	asked  []*module.Request
	ixns   []*module.Interaction
	answer func(h *scxml.Handle, r *module.Request) error
}

func (n *notes) Ask(h *scxml.Handle, r *module.Request) error {
	n.asked = append(n.asked, r)
	if n.answer != nil {
		return n.answer(h, r)
	}
	return nil
}
func (n *notes) Interactions() []*module.Interaction { return n.ixns }
func (n *notes) About() module.About {
	return module.About{ID: "S", Tenant: "demo", Node: "n1", Script: "x", Params: map[string]any{"colour": "red"}}
}
func (n *notes) Function(name string, args []any) (any, error) {
	if name == "session.getConfigOption" && len(args) == 2 {
		return "value of " + scxml.Text(args[1]), nil
	}
	return nil, errors.New("no such function")
}

var oneCall = []*module.Interaction{{
	ID: "U1", Tenant: "demo", Media: "voice", State: "queued", UserData: map[string]any{"n": int64(3)},
	Voice: &module.Voice{ANI: "1001", DNIS: "9000", ConnID: "C1"},
}}

const head = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" xmlns:dialog="www.genesyslab.com/modules/dialog" xmlns:queue="http://www.genesyslab.com/modules/queue"
 xmlns:ixn="http://www.genesyslab.com/modules/interaction" xmlns:session="urn:parley:session"><datamodel><data id="req"/></datamodel>`

// play runs a document with n as host.
func play(t *testing.T, n *notes, body string) *scxml.Session {
	t.Helper()
	e, err := scxml.New(Options(nil))
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Compile("test.scxml", []byte(head+body+"</scxml>"))
	if err != nil {
		t.Fatal(err)
	}
	s := e.Start(p, scxml.StartOptions{ID: "S", Owner: n})
	s.Run(time.Unix(1e9, 0))
	return s
}

func in(t *testing.T, s *scxml.Session, state string) {
	t.Helper()
	if got := s.Atomic(); !reflect.DeepEqual(got, []string{state}) {
		t.Errorf("the session is in %v, want %s", got, state)
	}
}

// asTreatment is a request after it was kept as JSON, as the treatment it comes to.
func asTreatment(t *testing.T, r *module.Request) (voice.TreatmentType, string) {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var kept module.Request
	if err := json.Unmarshal(b, &kept); err != nil {
		t.Fatal(err)
	}
	kind, kv, err := dialog.Treatment(&kept)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(kv)
	if err != nil {
		t.Fatal(err)
	}
	return kind, string(text)
}

func TestActionsBecomeTreatments(t *testing.T) {
	for _, c := range []struct {
		xml  string
		kind voice.TreatmentType
		want string
	}{
		{`<dialog:playsound requestid="req" type="'music'" resource="'m'" duration="1.5"/>`, voice.TreatmentMusic, `{"DURATION":2,"MUSIC_DN":"m"}`},
		{`<dialog:play language="'en-US'"><dialog:prompts type="'ann'"><dialog:prompt intid="'welcome'" interrupt="true"/><dialog:prompt number="'512'"/></dialog:prompts></dialog:play>`,
			voice.TreatmentPlayAnnouncement, `{"LANGUAGE":"en-US","PROMPT":{"1":{"ID":"welcome","INTERRUPTABLE":1},"2":{"DIGITS":"512"}}}`},
		{`<dialog:playandcollect><dialog:prompts><dialog:prompt text="'hi'"/></dialog:prompts><dialog:input max_digits="1" start_timeout="5" term_digits="'#'"/></dialog:playandcollect>`,
			voice.TreatmentPlayAnnouncementAndDigits, `{"MAX_DIGITS":1,"PROMPT":{"1":{"TEXT":"hi"}},"START_TIMEOUT":5,"TERM_DIGITS":"#"}`},
		{`<dialog:collect max_digits="4"/>`, voice.TreatmentCollectDigits, `{"MAX_DIGITS":4}`},
		{`<dialog:createann userid="'u'"/>`, voice.TreatmentRecordUserAnnouncement, `{"USER_ID":"u"}`},
		{`<dialog:deleteann userid="'u'" userannid="7"/>`, voice.TreatmentDeleteUserAnnouncement, `{"USER_ANN_ID":"7","USER_ID":"u"}`},
	} {
		n := &notes{ixns: oneCall}
		play(t, n, `<state id="a"><onentry>`+c.xml+`</onentry></state>`)
		if len(n.asked) != 1 {
			t.Errorf("%s asked %d times", c.xml, len(n.asked))
			continue
		}
		if kind, kv := asTreatment(t, n.asked[0]); kind != c.kind || kv != c.want {
			t.Errorf("%s is %v %s, want %v %s", c.xml, kind, kv, c.kind, c.want)
		}
		if n.asked[0].Interaction != "U1" {
			t.Errorf("%s is about %q", c.xml, n.asked[0].Interaction)
		}
	}
}

func TestWhatCannotBeAskedFor(t *testing.T) {
	for xml, event := range map[string]string{
		`<dialog:playsound type="'bagpipe'"/>`: "error.dialog.playsound",
		`<dialog:play interactionid="'other'"><dialog:prompts><dialog:prompt text="'x'"/></dialog:prompts></dialog:play>`: "error.dialog.play",
		`<queue:submit><queue:targets><queue:target type="'moon'" name="'1'"/></queue:targets></queue:submit>`:            "error.queue.submit",
		`<ixn:redirect/>`:                                        "error.interaction.redirect",
		`<dialog:collect max_digits="'a few'"/>`:                 "error.dialog.collect",
		`<session:fetch srcexpr="'http://x/'" method="'SING'"/>`: "error.session.fetch",
	} {
		n := &notes{ixns: oneCall}
		at := strings.IndexAny(xml, " />")
		xml = xml[:at] + ` requestid="req"` + xml[at:]
		s := play(t, n, `<state id="a"><onentry>`+xml+`</onentry><transition event="`+event+`" cond="_event.data.requestid === req &amp;&amp; _event.data.description.length &gt; 0" target="b"/></state><state id="b"/>`)
		in(t, s, "b")
		if len(n.asked) != 0 {
			t.Errorf("%s was asked for: %+v", xml, n.asked[0])
		}
	}
	e, err := scxml.New(Options(nil))
	if err != nil {
		t.Fatal(err)
	}
	for xml, want := range map[string]string{
		`<dialog:playsound/>`:                        "attribute type is missing",
		`<dialog:sing/>`:                             "no such action",
		`<dialog:playsound type="1" x="2"/>`:         "unknown attribute x",
		`<dialog:play><dialog:songs/></dialog:play>`: "no place in",
	} {
		if _, err := e.Compile("t.scxml", []byte(head+`<state><onentry>`+xml+`</onentry></state></scxml>`)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", xml, err, want)
		}
	}
}

func TestAnswersAndRoots(t *testing.T) {
	n := &notes{ixns: oneCall, answer: func(h *scxml.Handle, r *module.Request) error {
		if r.Name() != "interaction.hold" {
			return module.Refuse(module.Remote, "no")
		}
		return h.Post(r.Done(map[string]any{"x": "y"}))
	}}
	s := play(t, n, `<state id="a"><onentry><ixn:hold requestid="req"/></onentry><transition event="voice.hold.done" cond="_event.data.x == 'y' &amp;&amp; _event.data.interactionid == 'U1'" target="b"/></state>
	<state id="b"><onentry><ixn:retrieve/></onentry><transition event="error.voice.retrieve" cond="_event.data.error == 'remote'" target="c"/></state>
	<state id="c"><onentry><if cond="_genesys.ixn.interactions[0].udata.n === 3 &amp;&amp; _parley.ixn.interactions['U1'].voice.ani === '1001' &amp;&amp; _genesys.session.getConfigOption('s','o') === 'value of o' &amp;&amp; _parley.session.params.colour === 'red'"><raise event="good"/></if></onentry>
	<transition event="good" target="d"/></state>
	<state id="d"><onentry><log expr="_genesys.ixn.interactions[1].udata"/></onentry><transition event="error.execution" target="e"/></state><state id="e"/>`)
	in(t, s, "e")
}

func TestTargets(t *testing.T) {
	for text, want := range map[string]contract.QueueTarget{
		"1001.DN":                         {Type: "dn", Name: "1001"},
		"{StatCallsInQueue<10}[25]8001.Q": {Type: "queue", Name: "8001", Weight: 25, Threshold: "StatCallsInQueue<10"},
		"?:english>5 & billing=3@stat.GA": {Type: "skill", Skills: "english>5 & billing=3", StatServer: "stat"},
		"?Sales:english>5@stat.GA":        {Type: "agentgroup", Name: "Sales", Skills: "english>5", StatServer: "stat"},
		"7001@stat.A":                     {Type: "agent", Name: "7001", StatServer: "stat"},
	} {
		if got, err := queue.ParseTarget(text); err != nil || got != want {
			t.Errorf("%s is %+v (%v), want %+v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "1001", "1001.XX", ".DN"} {
		if got, err := queue.ParseTarget(bad); err == nil {
			t.Errorf("%q is %+v", bad, got)
		}
	}
}

func TestRequestsOfInteractions(t *testing.T) {
	n := &notes{ixns: oneCall}
	play(t, n, `<state id="a"><onentry><ixn:setuserdata><param name="age" expr="7"/><param name="vip" expr="true"/></ixn:setuserdata>
	<ixn:redirect destination="{dn: 1002}"/><ixn:createcall from="'1001'" to="'1002'"/></onentry></state>`)
	if len(n.asked) != 3 {
		t.Fatalf("asked for %d", len(n.asked))
	}
	if q := ixn.Ask(n.asked[0]); q.Name != voice.RequestUpdateUserData || q.UserData["age"] != int64(7) || q.UserData["vip"] != int64(1) {
		t.Errorf("setuserdata is %+v", q)
	}
	if to := ixn.Destination(n.asked[1]); to != "1002" {
		t.Errorf("redirect goes to %q", to)
	}
	if q := ixn.Ask(n.asked[2]); q.Name != voice.RequestMakeCall || q.ThisDN != "1001" || q.OtherDN != "1002" {
		t.Errorf("createcall is %+v", q)
	}
}
