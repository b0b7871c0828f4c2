package config

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

const planFile = `tenants:
  - name: demo
    domains: [demo.local]
    default: true
    dns:
      - {number: "1001", type: extension, options: {TServer: {forward-on-busy: voicemail, forward-always: "voicemail:2000", calling-profile: lobby, no-answer-timeout: "25"}}}
      - {number: "1002", type: extension, options: {TServer: {forward-on-no-answer: "1001", forward-on-not-registered: "0170555"}}}
      - {number: "gw1", type: trunk, options: {TServer: {contact: "sip:10.0.0.9", prefix: "0", replace-prefix: "", priority: "1", contact-backup: "sip:10.0.0.10, sip:10.0.0.11:5070"}}}
    mailboxes: [{number: "1001"}, {number: "2000"}]
    partitions:
      - name: emergency
        rules: [{pattern: "112", target: gw1, comment: fire brigade}, {pattern: "9112", strip: 1, target: gw1}]
      - name: night
        timezone: Europe/Berlin
        times: [{days: [mon-fri], from: "18:00", to: "08:00"}, {days: [sat, sun]}]
        rules: [{pattern: "0900.", action: block}, {pattern: "00X!", strip: 2, prepend: "+"}]
    calling_profiles:
      - {name: standard, partitions: [emergency], default_for: [internal]}
      - {name: lobby, partitions: [emergency, night], outside_calls: rules}
      - {name: carrier, partitions: [], default_for: [inbound]}
`

func TestDialPlanIsProvisioned(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		r.mustApply(planFile)
		if again := r.mustApply(planFile); len(again.Changes) != 0 {
			t.Errorf("a second apply changes %+v", again.Changes)
		}
		out, err := fabric.Call(t.Context(), r.f, contract.ConfigExport, contract.ConfigExportRequest{Secrets: true})
		if err != nil {
			t.Fatal(err)
		}
		if again := r.mustApply(string(out.YAML)); len(again.Changes) != 0 {
			t.Errorf("what was exported changes %+v\n%s", again.Changes, out.YAML)
		}
		p, _ := get[voice.Partition](r, "demo", voice.KindPartition, "emergency", false)
		if want := (voice.DialRule{Pattern: "9112", Action: voice.RuleAllow, Strip: 1, Target: "gw1"}); len(p.Rules) != 2 || p.Rules[1] != want {
			t.Errorf("emergency = %+v", p)
		}
		res := r.mustApply(strings.Replace(planFile, `prepend: "+"`, `prepend: "++"`, 1))
		if len(res.Changes) != 1 || !slices.Equal(res.Changes[0].Diff, []contract.FieldDiff{{Field: "rules[1].prepend", Before: "+", After: "++"}}) {
			t.Errorf("one changed rule shows as %+v", res.Changes)
		}
	})
}

func TestDialPlanReferencesHold(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	r.mustApply(planFile)
	for _, c := range []struct {
		kind voice.Kind
		key  string
		by   string
	}{
		{voice.KindDN, "gw1", "partitions/emergency"},
		{voice.KindPartition, "night", "calling_profiles/lobby"},
		{voice.KindCallingProfile, "lobby", "dns/1001"},
		{voice.KindMailbox, "2000", "dns/1001"},
		{voice.KindMailbox, "1001", "dns/1001"},
	} {
		wantProblem(t, r.remove("demo", c.kind, c.key, anyVersion), voice.ErrReferenced, c.by, "refers to")
	}
	_, err := r.putBody("demo", voice.KindCallingProfile, "other", 0, `{"name":"other","default_for":["inbound","internal"]}`)
	wantProblem(t, err, voice.ErrInvalid, "default_for[0]", `belongs to calling profile "carrier" already`)
	wantProblem(t, err, voice.ErrInvalid, "default_for[1]", `belongs to calling profile "standard" already`)
	_, err = r.putBody("demo", voice.KindDN, "1003", 0, `{"type":"extension","options":{"TServer":{"forward-on-busy":"voicemail","calling-profile":"no such"}}}`)
	wantProblem(t, err, voice.ErrInvalid, "options.TServer.forward-on-busy", `no mailbox "1003"`)
	wantProblem(t, err, voice.ErrInvalid, "options.TServer.calling-profile", "no calling profile")
}

func TestDialPlanProblemsNameTheirPlace(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	_, err := r.applyText(`tenants:
  - name: demo
    domains: [demo.local]
    default: true
    dns:
      - {number: "1001", type: extension, options: {TServer: {forward-always: "1001", forward-on-busy: "a b", no-answer-timeout: soon}}}
      - {number: "9000", type: routing-point, options: {TServer: {forward-always: "1001"}}}
      - {number: "gw1", type: trunk, options: {TServer: {contact: "sip:10.0.0.9", replace-prefix: x, priority: "-1", contact-backup: "sip:10.0.0.9,nowhere"}}}
    partitions:
      - name: p
        timezone: Mars/Olympus
        times: [{days: [funday]}, {from: "8"}, {to: "25:00"}]
        rules:
          - {pattern: "9[5-2]"}
          - {pattern: "9XX", action: maybe, strip: 4}
          - {pattern: "9[0-9]x", action: block, strip: 1}
          - {pattern: "0.", prepend: abc, target: gw9}
          - {pattern: "1!", strip: -1}
    calling_profiles:
      - {name: c, partitions: [p, p, q], default_for: [nobody, internal, internal], outside_calls: sometimes}
`)
	for field, words := range map[string]string{
		"tenants[0].dns[0].options.TServer.forward-always":    "the number itself",
		"tenants[0].dns[0].options.TServer.forward-on-busy":   "neither a number nor",
		"tenants[0].dns[0].options.TServer.no-answer-timeout": "seconds",
		"tenants[0].dns[1].options.TServer.forward-always":    "only an extension",
		"tenants[0].dns[2].options.TServer.replace-prefix":    "cannot begin a number",
		"tenants[0].dns[2].options.TServer.priority":          "order",
		"tenants[0].dns[2].options.TServer.contact-backup":    "not a SIP URI",
		"tenants[0].partitions[0].timezone":                   "time zone",
		"tenants[0].partitions[0].times[0].days[0]":           "not a day",
		"tenants[0].partitions[0].times[1].from":              "time of day",
		"tenants[0].partitions[0].times[2].to":                "time of day",
		"tenants[0].partitions[0].rules[0].pattern":           "rising digits",
		"tenants[0].partitions[0].rules[1].action":            "not an action",
		"tenants[0].partitions[0].rules[1].strip":             "matches numbers of 3 digits",
		"tenants[0].partitions[0].rules[2].pattern":           "the same numbers",
		"tenants[0].partitions[0].rules[2].action":            "leave those out",
		"tenants[0].partitions[0].rules[3].prepend":           "cannot begin a number",
		"tenants[0].partitions[0].rules[3].target":            "there is no",
		"tenants[0].partitions[0].rules[4].strip":             "not a number of digits",
		"tenants[0].calling_profiles[0].partitions[1]":        "twice",
		"tenants[0].calling_profiles[0].partitions[2]":        "there is no",
		"tenants[0].calling_profiles[0].default_for[0]":       "not a group of callers",
		"tenants[0].calling_profiles[0].default_for[2]":       "twice",
		"tenants[0].calling_profiles[0].outside_calls":        "not known",
	} {
		wantProblem(t, err, voice.ErrInvalid, field, words)
	}
	if e, ok := errors.AsType[*voice.Error](err); ok {
		for _, f := range e.Fields {
			if f.File != "demo.yaml" || f.Line == 0 {
				t.Errorf("%v does not name its line", f)
			}
		}
	}
}
