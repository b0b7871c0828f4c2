package dialplan

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

// book is a finder made of numbers as they are provisioned.
type book map[string]voice.DN

func (b book) find(_, number string) (voice.DNType, *device, bool) {
	dn, ok := b[number]
	if !ok {
		return "", nil, false
	}
	return dn.Type, newDevice(dn.Number, dn.Options[section]), true
}

func (b book) tenantOptions(string) map[string]string {
	return map[string]string{"feature-dnd-on": "off", "feature-dnd-off": "#79"}
}

// house is a tenant without services.
type house struct {
	book       book
	partitions []voice.Partition
	profiles   []voice.CallingProfile
}

// dn adds a number; options are "name=value" words.
func (h *house) dn(typ voice.DNType, number string, options ...string) {
	o := map[string]string{}
	for _, text := range options {
		name, value, _ := strings.Cut(text, "=")
		o[name] = value
	}
	if h.book == nil {
		h.book = book{}
	}
	h.book[number] = voice.DN{Number: number, Type: typ, Application: o["application"], Options: map[string]map[string]string{section: o}}
}

func resource(t testing.TB, key string, body any) voice.Resource {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return voice.Resource{Tenant: "demo", Key: key, Body: text}
}

func (h *house) plan(t testing.TB) *plan {
	t.Helper()
	m := &material{}
	for _, dn := range h.book {
		m.dns = append(m.dns, resource(t, dn.Number, dn))
	}
	for _, p := range h.partitions {
		m.partitions = append(m.partitions, resource(t, p.Name, p))
	}
	for _, p := range h.profiles {
		m.profiles = append(m.profiles, resource(t, p.Name, p))
	}
	p, problems := newPlan(m)
	for _, err := range problems {
		t.Error(err)
	}
	return p
}

// demo is a tenant with something of everything. 1001 calls unless a test says otherwise.
func demo() *house {
	h := &house{}
	for _, n := range []string{"1001", "1002", "1003"} {
		h.dn(voice.DNExtension, n, "contact=*")
	}
	h.dn(voice.DNExtension, "alice.b", "contact=*")
	h.dn(voice.DNExtension, "10-11", "contact=*")
	h.dn(voice.DNExtension, "1011", "contact=*")
	h.dn(voice.DNExtension, "1100", "contact=sip:10.0.0.5:5070", "no-answer-timeout=25", "forward-on-busy=1002", "forward-on-no-answer=voicemail", "forward-on-not-registered=0170 55")
	h.dn(voice.DNExtension, "1200", "forward-always=1100")
	h.dn(voice.DNExtension, "1201", "forward-always=0 170-55")
	h.dn(voice.DNExtension, "1202", "forward-always=voicemail")
	h.dn(voice.DNExtension, "1203", "forward-always=voicemail:2000")
	h.dn(voice.DNExtension, "1204", "forward-always=1205")
	h.dn(voice.DNExtension, "1205", "forward-always=1204")
	h.dn(voice.DNExtension, "1206", "forward-always=017055", "calling-profile=locked")
	for i := range 8 {
		h.dn(voice.DNExtension, strconv.Itoa(1300+i), "forward-always="+strconv.Itoa(1301+i))
	}
	h.dn(voice.DNExtension, "1308", "contact=*")
	h.dn(voice.DNExtension, "1400", "calling-profile=locked")
	h.dn(voice.DNExtension, "1401", "calling-profile=some")
	h.dn(voice.DNExtension, "1402", "calling-profile=office")
	h.dn(voice.DNExtension, "1403", "calling-profile=to come")
	h.dn(voice.DNExtension, "2001", "softswitch=gw3", "forward-on-busy=1002")
	h.dn(voice.DNExtension, "2002", "softswitch=gone")
	h.dn(voice.DNExtension, "2003", "softswitch=gw3", "forward-always=1003")
	h.dn(voice.DNRoutingPoint, "9000", "application=welcome")
	h.dn(voice.DNRoutingPoint, "9001")
	h.dn(voice.DNVoicemailAccess, "5555")
	h.dn(voice.DNTrunk, "gw1", "contact=sip:10.0.0.9", "prefix=0", "replace-prefix=")
	h.dn(voice.DNTrunk, "gw2", "contact=sip:10.0.0.10", "prefix=00", "replace-prefix=+", "priority=2")
	h.dn(voice.DNSoftswitch, "gw3", "contact=sip:10.0.0.11", "prefix=00", "priority=1", "contact-backup=sip:10.0.0.12, sip:10.0.0.13")
	h.dn(voice.DNTrunk, "gw4", "contact=sip:10.0.0.14")
	h.dn(voice.DNTrunk, "gw5", "contact=sip:10.0.0.15", "calling-profile=transit")
	h.partitions = []voice.Partition{
		{Name: "services", Rules: []voice.DialRule{
			{Pattern: "911", Target: "gw4"},
			{Pattern: "9XX", Action: voice.RuleBlock},
			{Pattern: "*1XXX", Strip: 1},
			{Pattern: "77!", Strip: 2, Prepend: "00"},
			{Pattern: "88", Strip: 2},
			{Pattern: "89", Target: "9000"},
			{Pattern: "90", Target: "gone"},
			{Pattern: "0170.", Action: voice.RuleAllow},
		}},
		{Name: "night", Timezone: "Europe/Berlin", Times: []voice.TimeSpan{{Days: []string{"mon-fri"}, From: "18:00", To: "08:00"}, {Days: []string{"sat-sun"}}}, Rules: []voice.DialRule{
			{Pattern: "9000", Action: voice.RuleBlock},
			{Pattern: "7", Target: "5555"},
		}},
		{Name: "day", Rules: []voice.DialRule{{Pattern: "7", Target: "1002"}}},
	}
	h.profiles = []voice.CallingProfile{
		{Name: "standard", Partitions: []string{"services"}, DefaultFor: []voice.ProfileUse{voice.ProfileInternal}},
		{Name: "office", Partitions: []string{"night", "day"}},
		{Name: "locked", OutsideCalls: voice.OutsideBlock},
		{Name: "some", Partitions: []string{"services"}, OutsideCalls: voice.OutsideRules},
		{Name: "transit", OutsideCalls: voice.OutsideAllow},
	}
	return h
}

var noon = time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC) // a Monday

// brief writes an answer in one line.
func brief(r *contract.ResolveResponse) string {
	words := []string{string(r.Kind)}
	switch r.Kind {
	case contract.RouteReject:
		words = append(words, strconv.Itoa(r.Status))
	case contract.RouteTrunk:
		for _, t := range r.Trunks {
			words = append(words, t.Number+"@"+t.DN+"/"+strings.TrimPrefix(t.Contact, "sip:10.0.0."))
		}
	default:
		words = append(words, r.Number)
		for _, t := range r.Trunks {
			words = append(words, "through "+t.Number+"@"+t.DN+"/"+strings.TrimPrefix(t.Contact, "sip:10.0.0."))
		}
	}
	if r.Application != "" {
		words = append(words, "runs", r.Application)
	}
	if r.Mailbox != "" {
		words = append(words, "box", r.Mailbox)
	}
	if len(r.Diverted) > 0 {
		words = append(words, "from", strings.Join(r.Diverted, ","))
	}
	return strings.Join(words, " ")
}

func TestResolve(t *testing.T) {
	h := demo()
	p := h.plan(t)
	sunday, evening := noon.AddDate(0, 0, -1), noon.Add(8*time.Hour)
	for _, c := range []struct {
		name string
		req  contract.ResolveRequest
		want string
	}{
		{"extension", contract.ResolveRequest{Dialled: "1002"}, "device 1002"},
		{"written to be read", contract.ResolveRequest{Dialled: "10 02"}, "device 1002"},
		{"name", contract.ResolveRequest{Dialled: "alice.b"}, "device alice.b"},
		{"number with a separator of its own", contract.ResolveRequest{Dialled: "10-11"}, "device 10-11"},
		{"the other one", contract.ResolveRequest{Dialled: "10.11"}, "device 1011"},
		{"route point", contract.ResolveRequest{Dialled: "9000"}, "routing-point 9000 runs welcome"},
		{"route point without application", contract.ResolveRequest{Dialled: "9001"}, "routing-point 9001"},
		{"voicemail access", contract.ResolveRequest{Dialled: "5555"}, "voicemail 5555"},

		{"behind a softswitch", contract.ResolveRequest{Dialled: "2001"}, "device 2001 through 2001@gw3/11 through 2001@gw3/12 through 2001@gw3/13"},
		{"behind a softswitch, from outside: that is inside", contract.ResolveRequest{Trunk: "gw1", Dialled: "2001"}, "device 2001 through 2001@gw3/11 through 2001@gw3/12 through 2001@gw3/13"},
		{"behind one that is gone", contract.ResolveRequest{Dialled: "2002"}, "reject 404"},
		{"behind one, and forwarded", contract.ResolveRequest{Dialled: "2003"}, "device 1003 from 2003"},

		{"nothing dialled", contract.ResolveRequest{Dialled: ""}, "reject 484"},
		{"only separators", contract.ResolveRequest{Dialled: "--"}, "reject 484"},
		{"unknown number", contract.ResolveRequest{Dialled: "3000"}, "reject 404"},
		{"unknown name", contract.ResolveRequest{Dialled: "bob"}, "reject 404"},
		{"too long", contract.ResolveRequest{Dialled: strings.Repeat("0", 65)}, "reject 404"},
		{"trunk by its name", contract.ResolveRequest{Dialled: "gw1"}, "reject 404"},

		{"trunk", contract.ResolveRequest{Dialled: "0301234"}, "trunk 301234@gw1/9"},
		{"longest prefix, priority, backups", contract.ResolveRequest{Dialled: "0049301234"}, "trunk 0049301234@gw3/11 0049301234@gw3/12 0049301234@gw3/13 +49301234@gw2/10"},
		{"prefix alone", contract.ResolveRequest{Dialled: "0"}, "reject 404"},
		{"prefix alone, replaced by something", contract.ResolveRequest{Dialled: "00"}, "trunk 00@gw3/11 00@gw3/12 00@gw3/13 +@gw2/10"},

		{"rule to a trunk", contract.ResolveRequest{Dialled: "911"}, "trunk 911@gw4/14"},
		{"rule that blocks", contract.ResolveRequest{Dialled: "912"}, "reject 403"},
		{"rule that strips", contract.ResolveRequest{Dialled: "*1002"}, "device 1002"},
		{"rule that swaps", contract.ResolveRequest{Dialled: "7749"}, "trunk 0049@gw3/11 0049@gw3/12 0049@gw3/13 +49@gw2/10"},
		{"rule that leaves nothing", contract.ResolveRequest{Dialled: "88"}, "reject 484"},
		{"rule to a route point", contract.ResolveRequest{Dialled: "89"}, "routing-point 9000 runs welcome"},
		{"rule to what is not there", contract.ResolveRequest{Dialled: "90"}, "reject 404"},
		{"a letter does not get past a rule", contract.ResolveRequest{Dialled: "0301234a"}, "reject 404"},
		{"rules are not for names", contract.ResolveRequest{Dialled: "77a"}, "reject 404"},

		{"night rule by day", contract.ResolveRequest{From: "1402", Dialled: "9000"}, "routing-point 9000 runs welcome"},
		{"night rule by night", contract.ResolveRequest{From: "1402", Dialled: "9000", At: evening}, "reject 403"},
		{"night rule at night before dawn", contract.ResolveRequest{From: "1402", Dialled: "9000", At: noon.Add(19 * time.Hour)}, "reject 403"},
		{"night rule after dawn, there", contract.ResolveRequest{From: "1402", Dialled: "9000", At: noon.Add(20 * time.Hour)}, "routing-point 9000 runs welcome"},
		{"night rule on Sunday", contract.ResolveRequest{From: "1402", Dialled: "9000", At: sunday}, "reject 403"},
		{"night rule on Monday before dawn", contract.ResolveRequest{From: "1402", Dialled: "9000", At: sunday.Add(15 * time.Hour)}, "routing-point 9000 runs welcome"},
		{"equal patterns: the partition named first", contract.ResolveRequest{From: "1402", Dialled: "7", At: evening}, "voicemail 5555"},
		{"equal patterns: that in force", contract.ResolveRequest{From: "1402", Dialled: "7"}, "device 1002"},
		{"rules of another profile", contract.ResolveRequest{From: "1402", Dialled: "911"}, "reject 404"},

		{"no outside calls", contract.ResolveRequest{From: "1400", Dialled: "0301234"}, "reject 403"},
		{"a profile that is not known yet", contract.ResolveRequest{From: "1403", Dialled: "0301234"}, "reject 403"},
		{"no outside calls, internal", contract.ResolveRequest{From: "1400", Dialled: "1002"}, "device 1002"},
		{"outside calls by rules, no rule", contract.ResolveRequest{From: "1401", Dialled: "0301234"}, "reject 403"},
		{"outside calls by rules", contract.ResolveRequest{From: "1401", Dialled: "01705"}, "trunk 1705@gw1/9"},
		{"outside calls by rules, to a trunk", contract.ResolveRequest{From: "1401", Dialled: "911"}, "trunk 911@gw4/14"},
		{"no trunk is told before permission", contract.ResolveRequest{From: "1400", Dialled: "3"}, "reject 404"},

		{"from outside to an extension", contract.ResolveRequest{Trunk: "gw1", Dialled: "1002"}, "device 1002"},
		{"from outside to the outside", contract.ResolveRequest{Trunk: "gw1", Dialled: "0301234"}, "reject 403"},
		{"from outside, says to be inside", contract.ResolveRequest{Trunk: "gw1", From: "1001", Dialled: "0301234"}, "reject 403"},
		{"from nowhere", contract.ResolveRequest{From: "-", Dialled: "0301234"}, "reject 403"},
		{"from a number that is not there", contract.ResolveRequest{From: "4711", Dialled: "0301234"}, "reject 403"},
		{"from a trunk that says to be an extension", contract.ResolveRequest{From: "gw5", Dialled: "0301234"}, "reject 403"},
		{"from a trunk with transit", contract.ResolveRequest{Trunk: "gw5", Dialled: "0301234"}, "trunk 301234@gw1/9"},

		{"forwarded", contract.ResolveRequest{Dialled: "1200"}, "device 1100 from 1200"},
		{"forwarded to the outside", contract.ResolveRequest{Dialled: "1201"}, "trunk 17055@gw1/9 from 1201"},
		{"forwarded to the outside from outside, as the extension may", contract.ResolveRequest{Trunk: "gw1", Dialled: "1201"}, "trunk 17055@gw1/9 from 1201"},
		{"forwarded to the outside by one who may not", contract.ResolveRequest{Dialled: "1206"}, "reject 403 from 1206"},
		{"forwarded to voicemail", contract.ResolveRequest{Dialled: "1202"}, "voicemail 1202 box 1202 from 1202"},
		{"forwarded to another's voicemail", contract.ResolveRequest{Dialled: "1203"}, "voicemail 2000 box 2000 from 1203"},
		{"forwarded in a ring", contract.ResolveRequest{Dialled: "1204"}, "reject 482 from 1204,1205"},
		{"forwarded too far", contract.ResolveRequest{Dialled: "1300"}, "reject 483 from 1300,1301,1302,1303,1304"},
		{"forwarded as far as may be", contract.ResolveRequest{Dialled: "1303"}, "device 1308 from 1303,1304,1305,1306,1307"},

		{"on no answer", contract.ResolveRequest{Dialled: "voicemail:1100", Diverted: []string{"1100"}}, "voicemail 1100 box 1100"},
		{"mailbox without name", contract.ResolveRequest{Dialled: "voicemail:"}, "reject 484"},
		{"on busy, in a ring", contract.ResolveRequest{Dialled: "1002", Diverted: []string{"1002", "1100"}}, "reject 482"},
		{"on busy, as who forwarded may", contract.ResolveRequest{Trunk: "gw1", Dialled: "0301234", Diverted: []string{"1001"}}, "trunk 301234@gw1/9"},
		{"on busy, as who forwarded may not", contract.ResolveRequest{Dialled: "0301234", Diverted: []string{"1400"}}, "reject 403"},
		{"on busy, forwarded by nobody known", contract.ResolveRequest{Trunk: "gw1", Dialled: "0301234", Diverted: []string{"4711"}}, "reject 403"},
		{"on busy, then forwarded", contract.ResolveRequest{Dialled: "1200", Diverted: []string{"1002"}}, "device 1100 from 1200"},
		{"on busy, too far", contract.ResolveRequest{Dialled: "1002", Diverted: []string{"1", "2", "3", "4", "5", "6"}}, "reject 483"},
	} {
		req := c.req
		switch {
		case req.From == "-":
			req.From = ""
		case req.From == "" && req.Trunk == "":
			req.From = "1001"
		}
		if req.At.IsZero() {
			req.At = noon
		}
		for _, explain := range []bool{false, true} {
			req.Explain = explain
			resp, word := resolve(p, h.book, "demo", &req, req.At)
			if got := brief(resp); got != c.want {
				t.Errorf("%s: %q is %s, want %s\n%+v", c.name, req.Dialled, got, c.want, resp.Steps)
			}
			if (resp.Kind == contract.RouteReject) != (resp.Reason != "") || (word != "") != (resp.Reason != "") {
				t.Errorf("%s: %s with the reason %q (%s)", c.name, resp.Kind, resp.Reason, word)
			}
			if explain == (len(resp.Steps) == 0) {
				t.Errorf("%s: explain %v has %d steps", c.name, explain, len(resp.Steps))
			}
		}
		if !slices.Equal(req.Diverted, c.req.Diverted) {
			t.Errorf("%s: the request's own Diverted has become %v", c.name, req.Diverted)
		}
	}
}

func TestDeviceHasWhatItsOptionsSay(t *testing.T) {
	h := demo()
	resp, _ := resolve(h.plan(t), h.book, "demo", &contract.ResolveRequest{From: "1001", Dialled: "1100"}, noon)
	if resp.Contact != "sip:10.0.0.5:5070" || resp.RingSeconds != 25 || resp.OnBusy != "1002" || resp.OnNoAnswer != "voicemail:1100" ||
		resp.OnOffline != "0170 55" || resp.Options["no-answer-timeout"] != "25" {
		t.Errorf("1100 = %+v", resp)
	}
	resp, _ = resolve(h.plan(t), h.book, "demo", &contract.ResolveRequest{From: "1001", Dialled: "1002"}, noon)
	if resp.Contact != "" || resp.RingSeconds != 0 || resp.OnBusy+resp.OnNoAnswer+resp.OnOffline != "" {
		t.Errorf("1002 = %+v", resp)
	}
}

func TestStepsTellTheWay(t *testing.T) {
	h := demo()
	p := h.plan(t)
	for _, c := range []struct {
		req  contract.ResolveRequest
		want []string
	}{
		{contract.ResolveRequest{From: "1001", Dialled: "12 00"}, []string{
			`number "12 00": read as 1200`,
			"caller 1001: is inside; calling profile standard; outside calls: allow",
			"profile standard: no rule in force for 1200",
			"extension 1200: always forwards to 1100, which is dialled with its permissions",
			"profile standard: no rule in force for 1100",
			"extension 1100: rings sip:10.0.0.5:5070 for 25 s; on busy to 1002; on no answer to voicemail:1100; on not registered to 0170 55",
		}},
		{contract.ResolveRequest{From: "1402", Dialled: "7"}, []string{
			`number "7": read as 7`,
			"caller 1402: is inside; calling profile office; outside calls: allow",
			"rule 7 of partition night: matches, but the partition is not in force on Mon 12:00 CET",
			"rule 7 of partition day: allows; the number is 7 and goes to 1002",
			"extension 1002: rings its registered contacts",
		}},
		{contract.ResolveRequest{Trunk: "gw1", Dialled: "00493"}, []string{
			`number "00493": read as 00493`,
			"caller outside: came by trunk gw1; no calling profile; outside calls: block",
			"caller outside: a call from outside may not leave by a trunk",
		}},
		{contract.ResolveRequest{From: "1001", Dialled: "7749"}, []string{
			`number "7749": read as 7749`,
			"caller 1001: is inside; calling profile standard; outside calls: allow",
			"rule 77! of partition services: allows; the number is 0049",
			"trunk gw3 prefix 00: dials 0049 at sip:10.0.0.11, then sip:10.0.0.12, then sip:10.0.0.13",
			"trunk gw2 prefix 00: dials +49 at sip:10.0.0.10",
		}},
	} {
		c.req.Explain = true
		resp, _ := resolve(p, h.book, "demo", &c.req, noon)
		var got []string
		for _, s := range resp.Steps {
			got = append(got, s.Rule+": "+s.Result)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q:\n  %s\nwant:\n  %s", c.req.Dialled, strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
		}
	}
}

// What another version wrote and this one does not understand must not take the rest with it.
func TestPlanLeavesOutWhatItCannotRead(t *testing.T) {
	bad := voice.Resource{Key: "bad", Body: json.RawMessage(`{"type":7,"rules":7,"partitions":7}`)}
	m := &material{
		dns: []voice.Resource{bad, resource(t, "gw", voice.DN{Type: voice.DNTrunk, Options: map[string]map[string]string{section: {"contact": "sip:a", "prefix": "0"}}})},
		partitions: []voice.Resource{
			bad, resource(t, "zone", voice.Partition{Timezone: "Mars/Olympus", Rules: []voice.DialRule{{Pattern: "0."}}}),
			resource(t, "span", voice.Partition{Times: []voice.TimeSpan{{From: "x"}}, Rules: []voice.DialRule{{Pattern: "0."}}}),
			resource(t, "good", voice.Partition{Rules: []voice.DialRule{{Pattern: "00.", Action: voice.RuleBlock}}}),
		},
		profiles: []voice.Resource{
			bad, resource(t, "p", voice.CallingProfile{Partitions: []string{"zone", "missing", "span", "good"}, DefaultFor: []voice.ProfileUse{voice.ProfileInternal}}),
		},
	}
	p, problems := newPlan(m)
	if len(problems) != 5 {
		t.Errorf("problems = %v, want 5", problems)
	}
	h := &house{}
	h.dn(voice.DNExtension, "1001")
	for number, want := range map[string]string{"01": "trunk 01@gw/sip:a", "001": "reject 403"} {
		resp, _ := resolve(p, h.book, "demo", &contract.ResolveRequest{From: "1001", Dialled: number}, noon)
		if got := brief(resp); got != want {
			t.Errorf("%s is %s, want %s", number, got, want)
		}
	}
}

// Whatever is dialled by whomever, the answer is one of the kinds with what belongs to it, and nobody outside leaves.
func FuzzResolve(f *testing.F) {
	f.Add("1200", "1001", "", "9XX", "1100", int64(0))
	f.Add("0049", "", "gw1", ".", "0.", int64(86400))
	f.Add("voicemail:", "1204", "gw5", "[1-5]!", "1204", int64(-1))
	f.Fuzz(func(t *testing.T, dialled, from, trunk, pattern, forward string, at int64) {
		h := demo()
		h.dn(voice.DNExtension, "1500", "forward-always="+forward, "forward-on-busy="+forward)
		if _, err := voice.ParseDialPattern(pattern); err == nil {
			h.partitions[0].Rules = append(h.partitions[0].Rules, voice.DialRule{Pattern: pattern, Strip: 1, Prepend: "1"})
		}
		req := &contract.ResolveRequest{Dialled: dialled, From: from, Trunk: trunk, Explain: true}
		resp, word := resolve(h.plan(t), h.book, "demo", req, time.Unix(at%1e11, 0))
		checkAnswer(t, resp, word)
		outside := trunk != "" || h.book[from].Number == "" || !isInside(h.book[from].Type)
		if resp.Kind == contract.RouteTrunk && outside && trunk != "gw5" && len(resp.Diverted) == 0 {
			t.Errorf("a stranger (%q by %q) leaves by dialling %q: %s", from, trunk, dialled, brief(resp))
		}
	})
}

func checkAnswer(t *testing.T, resp *contract.ResolveResponse, word string) {
	t.Helper()
	ok := len(resp.Diverted) <= maxDiverted && len(resp.Steps) > 0 && (word != "") == (resp.Kind == contract.RouteReject)
	switch resp.Kind {
	case contract.RouteReject:
		ok = ok && resp.Status >= 400 && resp.Status < 500 && resp.Reason != ""
	case contract.RouteTrunk:
		ok = ok && len(resp.Trunks) > 0
		for _, target := range resp.Trunks {
			ok = ok && target.DN != "" && target.Contact != "" && target.Number != "" && voice.DialSymbols(target.Number)
		}
	case contract.RouteDevice, contract.RoutePoint, contract.RouteVoicemail:
		ok = ok && resp.Number != ""
	default:
		ok = false
	}
	if !ok {
		t.Errorf("answer %s: %+v", brief(resp), resp)
	}
}
