package web

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"parley/internal/contract"
	"parley/internal/obs"
	"parley/internal/voice"
	"parley/services/dialplan"
)

// resolveNumbers starts services/dialplan.
func (h *house) resolveNumbers() {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	dir := contract.NewDirectory(h.f, nil)
	health := obs.NewHealth()
	svc, err := dialplan.New(dialplan.Options{Fabric: h.f, Directory: dir, Health: health})
	if err != nil {
		h.t.Fatal(err)
	}
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{dir.Run, svc.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				h.t.Errorf("dial plan: %v", err)
			}
		})
	}
	h.t.Cleanup(func() { cancel(); running.Wait() })
	until(h.t, "numbers are resolved", health.Ready)
}

// somePlan is two partitions and three profiles.
func (h *house) somePlan() {
	h.someTrunks()
	h.config.put("demo", voice.KindPartition, "emergency", voice.Partition{Name: "emergency", Rules: []voice.DialRule{
		{Pattern: "112", Target: "gw1", Comment: "fire brigade"}, {Pattern: "9112", Strip: 1, Target: "gw1"}}})
	h.config.put("demo", voice.KindPartition, "night", voice.Partition{Name: "night", Timezone: "Europe/Berlin",
		Times: []voice.TimeSpan{{Days: []string{"mon-fri"}, From: "18:00", To: "08:00"}, {Days: []string{"sat", "sun"}}},
		Rules: []voice.DialRule{{Pattern: "000.", Action: voice.RuleBlock}, {Pattern: "00N!", Strip: 2, Prepend: "+"}, {Pattern: "[13-5]XX"}, {Pattern: "7."}, {Pattern: "8."}, {Pattern: "*72!"}}})
	h.config.put("demo", voice.KindCallingProfile, "standard", voice.CallingProfile{Name: "standard", Partitions: []string{"emergency"}, DefaultFor: []voice.ProfileUse{voice.ProfileInternal}})
	h.config.put("demo", voice.KindCallingProfile, "lobby", voice.CallingProfile{Name: "lobby", Partitions: []string{"emergency", "night"}, OutsideCalls: voice.OutsideRules})
	h.config.put("demo", voice.KindCallingProfile, "carrier", voice.CallingProfile{Name: "carrier", Partitions: []string{}, DefaultFor: []voice.ProfileUse{voice.ProfileInbound}})
}

func TestDialPlanPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	sven := h.signIn("sven")
	if a := sven.get("/t/demo/dialplan?number=112"); a.status != 200 || !strings.Contains(a.body, "No partitions") || !strings.Contains(a.body, "does not answer at the moment") {
		t.Errorf("an empty plan without its service: %d\n%s", a.status, a.body)
	}
	h.somePlan()
	h.resolveNumbers()
	a := sven.get("/t/demo/dialplan")
	for _, want := range []string{"fire brigade", "mon-fri 18:00–08:00; sat, sun (Europe/Berlin)", "and 2 more", "Part of emergency, night"[:7], "for extensions", "Only what a rule allows"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %q:\n%s", want, a.body)
		}
	}
	if strings.Contains(a.body, "partitions/new") {
		t.Error("a supervisor is offered to edit")
	}
	try := func(query string) string {
		t.Helper()
		a := sven.get("/t/demo/dialplan/try?" + query)
		if a.status != 200 || strings.Contains(a.body, "<html") {
			t.Errorf("try %s: %d\n%s", query, a.status, a.body)
		}
		return a.body
	}
	for query, want := range map[string][]string{
		"number=1002&from=1001":                  {"Rings", "1002", "extension 1002", "calling profile standard"},
		"number=112&from=1001":                   {"Leaves by trunk", "gw1 as 112", "rule 112 of partition emergency"},
		"number=0301234&from=1001":               {"gw1 as 301234"},
		"number=4711&from=1001":                  {"Refused", "404"},
		"number=0301234&trunk=gw1":               {"Refused", "carrier"},
		"number=1002&at=2026-01-05T22:00":        {"Rings"},
		"number=1002&at=yesterday":               {"The time is not one."},
		"number=" + url.QueryEscape("<b>x") + "": {"Refused"},
		"":                                       {"step by step"},
	} {
		body := try(query)
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("try %s lacks %q:\n%s", query, w, body)
			}
		}
		if strings.Contains(body, "<b>") {
			t.Errorf("try %s lets markup through", query)
		}
	}
	for _, path := range []string{"/t/acme/dialplan", "/t/acme/dialplan/try?number=1", "/t/demo/dialplan/partitions/night", "/t/demo/dialplan/profiles/new"} {
		if a := sven.get(path); a.status != 403 {
			t.Errorf("a supervisor gets %s: %d", path, a.status)
		}
	}
}

func TestPartitionForm(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	h.somePlan()
	anna := h.signIn("anna.admin")
	const list, form = "/t/demo/dialplan/partitions", "/t/demo/dialplan/partitions/new"
	a := anna.post(form, list, "name", "day", "timezone", "Nowhere/Else",
		"days", "mon-fri", "from", "8", "to", "18:00", "days", "", "from", "", "to", "",
		"pattern", "", "action", "allow", "strip", "", "prepend", "", "target", "", "comment", "",
		"pattern", "12Q", "action", "allow", "strip", "x", "prepend", "", "target", "", "comment", "")
	if a.status != 422 || !strings.Contains(a.body, "Is not a number of digits.") || strings.Count(a.body, `aria-invalid="true"`) != 1 {
		t.Errorf("a strip that is no number: %d\n%s", a.status, a.body)
	}
	a = anna.post(form, list, "name", "day", "timezone", "Nowhere/Else",
		"days", "mon-fri", "from", "8", "to", "18:00",
		"pattern", "12Q", "action", "allow", "strip", "", "prepend", "", "target", "", "comment", "",
		"pattern", "4X", "action", "block", "strip", "1", "prepend", "", "target", "", "comment", "",
		"pattern", "5X", "action", "allow", "strip", "", "prepend", "", "target", "nobody", "comment", "")
	if a.status != 422 || strings.Count(a.body, `aria-invalid="true"`) != 5 || !strings.Contains(a.body, `name="pattern" value="12Q" aria-label="Pattern" maxlength="128" spellcheck="false" aria-invalid="true"`) {
		t.Errorf("a time zone, a time, a pattern, an action and a target that are wrong: %d, %d marks\n%s", a.status, strings.Count(a.body, `aria-invalid="true"`), a.body)
	}
	a = anna.post(form, list, "name", "day", "timezone", "Europe/Berlin", "days", "mon-fri,sat", "from", "08:00", "to", "18:00",
		"pattern", "9.", "action", "allow", "strip", "1", "prepend", "+49", "target", "gw1", "comment", "out")
	if a.location != "/t/demo/dialplan?done=created" {
		t.Fatalf("create: %d %s\n%s", a.status, a.location, a.body)
	}
	p, _ := get[voice.Partition](h.config, "demo", voice.KindPartition, "day")
	if len(p.Rules) != 1 || p.Rules[0] != (voice.DialRule{Pattern: "9.", Action: "allow", Strip: 1, Prepend: "+49", Target: "gw1", Comment: "out"}) || len(p.Times) != 1 || len(p.Times[0].Days) != 2 {
		t.Errorf("partition %+v", p)
	}
	const day = "/t/demo/dialplan/partitions/day"
	if a := anna.post(day, day, "version", "1", "pattern", "8.", "action", "block", "strip", "", "prepend", "", "target", "", "comment", ""); a.location != "/t/demo/dialplan?done=saved" {
		t.Errorf("save: %d\n%s", a.status, a.body)
	}
	if a := anna.post(day, day, "version", "1", "pattern", "7.", "action", "block"); a.status != 422 || !strings.Contains(a.body, "Somebody else changed this") {
		t.Errorf("an old version: %d\n%s", a.status, a.body)
	}
	if a := anna.post("/t/demo/dialplan/partitions/night/delete", "/t/demo/dialplan/partitions/night/delete", "version", "1"); a.status != 409 || !strings.Contains(a.body, "lobby") {
		t.Errorf("deleting what a profile names: %d\n%s", a.status, a.body)
	}
	if a := anna.post(day+"/delete", day+"/delete", "version", "2"); a.location != "/t/demo/dialplan?done=deleted" {
		t.Errorf("delete: %d\n%s", a.status, a.body)
	}
}

func TestProfileForm(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	h.somePlan()
	anna := h.signIn("anna.admin")
	const list, form = "/t/demo/dialplan/profiles", "/t/demo/dialplan/profiles/new"
	if a := anna.post(form, list, "name", "second", "internal", "yes"); a.status != 422 || !strings.Contains(a.body, "standard") {
		t.Errorf("a second default: %d\n%s", a.status, a.body)
	}
	if a := anna.post(form, list, "name", "guest", "partitions", "night", "partitions", "", "partitions", "emergency", "outside_calls", "block"); a.location != "/t/demo/dialplan?done=created" {
		t.Fatalf("create: %d\n%s", a.status, a.body)
	}
	p, _ := get[voice.CallingProfile](h.config, "demo", voice.KindCallingProfile, "guest")
	if strings.Join(p.Partitions, " ") != "night emergency" || p.OutsideCalls != voice.OutsideBlock || len(p.DefaultFor) != 0 {
		t.Errorf("profile %+v", p)
	}
	const guest = "/t/demo/dialplan/profiles/guest"
	if a := anna.post(guest, guest, "version", "1", "partitions", "emergency", "outside_calls", ""); a.location != "/t/demo/dialplan?done=saved" {
		t.Errorf("save: %d\n%s", a.status, a.body)
	}
	if a := anna.post(guest, guest, "version", "1"); a.status != 422 || !strings.Contains(a.body, "Somebody else changed this") {
		t.Errorf("an old version: %d\n%s", a.status, a.body)
	}
	if a := anna.post(guest+"/delete", guest+"/delete", "version", "2"); a.location != "/t/demo/dialplan?done=deleted" {
		t.Errorf("delete: %d\n%s", a.status, a.body)
	}
}

func TestForwardingForm(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	h.somePlan()
	anna := h.signIn("anna.admin")
	const page = "/t/demo/extensions/1001/forwarding"
	if a := anna.post(page, page, "version", "1", "forward-on-busy", "nobody at all"); a.status != 422 || strings.Count(a.body, `aria-invalid="true"`) != 1 {
		t.Errorf("a target that is none: %d\n%s", a.status, a.body)
	}
	if a := anna.post(page, page, "version", "1", "forward-on-busy", "1002", "forward-on-no-answer", "1003", "no-answer-timeout", "15", "calling-profile", "lobby"); a.location != "/t/demo/extensions/1001?done=saved" {
		t.Fatalf("save: %d\n%s", a.status, a.body)
	}
	dn, _ := get[voice.DN](h.config, "demo", voice.KindDN, "1001")
	if o := dn.Options["TServer"]; o["contact"] != "*" || o["forward-on-busy"] != "1002" || o["calling-profile"] != "lobby" || len(o) != 5 || dn.Auth == nil {
		t.Errorf("options %v", o)
	}
	if a := anna.get("/t/demo/extensions/1001"); !strings.Contains(a.body, "When it is busy") || !strings.Contains(a.body, "lobby") {
		t.Errorf("the page of the extension:\n%s", a.body)
	}
	if a := anna.post(page, page, "version", "1", "forward-always", "1003"); a.status != 422 || !strings.Contains(a.body, "Somebody else changed this") {
		t.Errorf("an old version: %d\n%s", a.status, a.body)
	}
	if a := anna.post(page, page, "version", "2"); a.location == "" {
		t.Errorf("taking all away: %d\n%s", a.status, a.body)
	}
	dn, _ = get[voice.DN](h.config, "demo", voice.KindDN, "1001")
	if o := dn.Options["TServer"]; len(o) != 1 {
		t.Errorf("options left %v", o)
	}
}

// browseDialPlan adds a rule and tries it, while the page stays.
func browseDialPlan(t *testing.T, chromium context.Context) {
	h := newHouse(t, setUp{})
	h.somePlan()
	h.resolveNumbers()
	b := newBrowser(t, chromium, h)
	b.do(prefer("light"), desktop())
	b.signIn("anna.admin")
	b.do(chromedp.Click(`nav a[href$="/dialplan"]`))
	b.at("/t/demo/dialplan")
	b.do(chromedp.SendKeys("#from", "1001"), chromedp.SendKeys("#number", "5550"))
	b.see(".try-answer", "Refused")
	b.shoot("dialplan-refused")
	b.do(chromedp.Click(`a.key[href$="/emergency"]`))
	b.at("/t/demo/dialplan/partitions/emergency")
	b.wait("one empty rule waits", `document.querySelectorAll("[data-row].rules-row").length === 3`)
	b.do(chromedp.Click(`.rows:has(.rules-row) [data-row-add]`))
	b.wait("a row more", `document.querySelectorAll("[data-row].rules-row").length === 4`)
	last := `document.querySelectorAll("[data-row].rules-row")[2].querySelector`
	eval[bool](b, last+`('[name=pattern]').value = '555Q', true`)
	b.do(chromedp.Click("button.primary"))
	b.see(".row .field-error", "555Q")
	b.shoot("partition-refused")
	eval[bool](b, last+`('[name=pattern]').value = '555X', `+last+`('[name=target]').value = '1002', true`)
	b.do(chromedp.Click("button.primary"))
	b.see("[role=status]", "saved")
	b.do(chromedp.SendKeys("#from", "1001"), chromedp.SendKeys("#number", "5550"))
	until(t, "the rule is in force", func() bool {
		b.do(chromedp.Click(".try button"))
		return strings.Contains(eval[string](b, `document.querySelector("[data-try-result]").innerText`), "Rings")
	})
	b.see(".steps", "rule 555X of partition emergency")
	b.shoot("dialplan-tried")
	b.do(b.open("/t/demo/dialplan/profiles/lobby"))
	b.visible(".one-row")
	b.do(chromedp.Click(".one-row:nth-of-type(2) [data-row-up]"), chromedp.Click("button.primary"))
	b.see("[role=status]", "saved")
	if p, _ := get[voice.CallingProfile](h.config, "demo", voice.KindCallingProfile, "lobby"); strings.Join(p.Partitions, " ") != "night emergency" {
		t.Errorf("the order is %v", p.Partitions)
	}
}
