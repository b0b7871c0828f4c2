package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

func TestApplyTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		first := r.mustApply(demoFile)
		if len(first.Changes) != 13 || first.Unchanged != 0 {
			t.Errorf("first apply made %d changes, %d unchanged, want 13 and 0", len(first.Changes), first.Unchanged)
		}
		var order []string
		for _, c := range first.Changes {
			order = append(order, string(c.Kind)+"/"+c.Key)
		}
		want := []string{"tenants/demo", "dns/1001", "dns/1002", "dns/9000", "dns/5555", "dns/gw1", "skills/english", "skills/billing", "places/p1001",
			"persons/alice", "scripts/welcome", "voicemail_profiles/SystemProfile", "mailboxes/1001"}
		if !slices.Equal(order, want) {
			t.Errorf("order = %v, want that of the file", order)
		}
		second := r.mustApply(demoFile)
		if len(second.Changes) != 0 || second.Unchanged != len(first.Changes) {
			t.Errorf("second apply = %+v, want everything unchanged, passwords too", second)
		}
		if seq, err := r.store.Seq(t.Context()); err != nil || seq != int64(len(first.Changes)) {
			t.Errorf("the store counts %d changes, %v", seq, err)
		}
	})
}

func TestDryRunTellsAndWritesNothing(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		r.mustApply(demoFile)
		changed := strings.NewReplacer("name: Alice", "name: Alicia", `contact: "*"`, `contact: "sip:10.0.0.1"`, "english: 8", "english: 9", ", {name: billing}", ", {name: billing}, {name: latin}").Replace(demoFile)
		res, err := fabric.Call(t.Context(), r.f, contract.ConfigApply, contract.ConfigApplyRequest{YAML: []byte(changed), DryRun: true})
		if err != nil || !res.DryRun {
			t.Fatalf("dry run = %+v, %v", res, err)
		}
		var got []string
		for _, c := range res.Changes {
			for _, d := range c.Diff {
				got = append(got, fmt.Sprintf("%s %s %s: %s -> %s", c.Op, c.Key, d.Field, d.Before, d.After))
			}
		}
		want := []string{"update 1001 name: Alice -> Alicia", "update 1001 options.TServer.contact: * -> sip:10.0.0.1", "create latin name:  -> latin", "update alice skills.english: 8 -> 9"}
		if !slices.Equal(got, want) {
			t.Errorf("diff = %q\nwant   %q", got, want)
		}
		if again := r.mustApply(demoFile); len(again.Changes) != 0 {
			t.Errorf("after a dry run an apply of the old file changes %+v", again.Changes)
		}
	})
}

func TestOneBadEntryChangesNothing(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		bad := strings.Replace(demoFile, "application: welcome}", "application: wellcome}", 1)
		_, err := r.applyText(bad)
		wantProblem(t, err, voice.ErrInvalid, "tenants[0].dns[2].application", `no script "wellcome"`)
		if seq, err := r.store.Seq(t.Context()); err != nil || seq != 0 {
			t.Errorf("the store counts %d changes, %v, want none", seq, err)
		}
	})
}

func TestApplyNamesFileLineAndField(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	for _, c := range []struct {
		name, yaml   string
		line, column int
		field, words string
	}{
		{"unknown field", "tenants:\n  - name: a\n    domain: a.test\n", 3, 5, "tenants[0].domain", "known are name, domains"},
		{"unknown field of an entry", "tenants:\n  - name: a\n    default: true\n    dns:\n      - {number: '1', typ: extension}\n", 5, 23, "tenants[0].dns[0].typ", "not a field"},
		{"unknown key on top", "tenant:\n  - name: a\n", 1, 1, "tenant", "tenants only"},
		{"text for a list", "tenants:\n  - name: a\n    domains: a.test\n", 3, 14, "tenants[0].domains", "want a list"},
		{"text for a number", "tenants:\n  - name: a\n    default: true\n    skills: [{name: e}]\n    persons:\n      - username: u\n        skills: {e: high}\n", 7, 21, "tenants[0].persons[0].skills.e", "want a whole number"},
		{"text for a flag", "tenants:\n  - name: a\n    default: maybe\n", 3, 14, "tenants[0].default", "true or false"},
		{"list for a mapping", "tenants:\n  - [a]\n", 2, 5, "tenants[0]", "want a mapping"},
		{"nothing for a text", "tenants:\n  - name:\n", 2, 11, "tenants[0].name", "want text"},
		{"duplicate key", "tenants:\n  - name: a\n    default: true\n    name: b\n", 4, 5, "tenants[0].name", "twice; the first is in line 2"},
		{"duplicate resource", "tenants:\n  - name: a\n    default: true\n    skills:\n      - name: x\n      - name: y\n      - name: x\n", 7, 15, "tenants[0].skills[2].name", "twice; the first is in line 5"},
		{"bad reference", "tenants:\n  - name: a\n    default: true\n    places:\n      - name: p\n        dns: ['1',\n              '2']\n    dns: [{number: '1', type: extension}]\n", 7, 15, "tenants[0].places[0].dns[1]", `no dn "2"`},
		{"bad option", "tenants:\n  - name: a\n    default: true\n    dns:\n      - number: gw\n        type: trunk\n        options:\n          TServer:\n            contact: nowhere\n", 9, 22, "tenants[0].dns[0].options.TServer.contact", "SIP URI"},
		{"empty password", "tenants:\n  - name: a\n    default: true\n    dns:\n      - {number: '1', type: extension, password: ''}\n", 5, 50, "tenants[0].dns[0].password", "must not be empty"},
		{"missing field", "tenants:\n  - name: a\n    default: true\n    dns:\n      - type: extension\n", 5, 9, "tenants[0].dns[0].number", "not a number"},
		{"alias", "tenants:\n  - name: &x a\n", 2, 11, "tenants[0].name", "anchor"},
		{"not YAML", "tenants: [\n  {name: a", 0, 0, "(file)", "not valid YAML"},
		{"two documents", "tenants: []\n---\ntenants: []\n", 2, 1, "(file)", "more than one document"},
		{"too deep", "tenants: " + strings.Repeat("[", 200), 1, 42, "(file)", "nested more than"},
		{"too deep in a line", "tenants: \n  " + strings.Repeat("- ", 200) + "x", 2, 67, "(file)", "nested more than"},
		{"complex key", "? tenants\n: []\n", 1, 1, "(file)", "complex key"},
		{"directive", "%YAML 1.2\n---\ntenants: []\n", 1, 1, "(file)", "directive"},
		{"too many keys", "tenants:\n  - name: a\n    options:\n" + strings.Repeat("      a: b\n", 2000), 1028, 8, "(file)", "keys in one mapping"},
		{"too many empty entries", "tenants:\n  - dns:\n" + strings.Repeat("    -\n", 2000), 1027, 5, "(file)", "nothing behind"},
		{"too many empty values", "tenants:\n" + strings.Repeat("  - a:\n", 2000), 1026, 6, "(file)", "nothing behind"},
		{"empty", "# nothing\n", 0, 0, "tenants", "missing"},
		{"file that did not come", "tenants:\n  - name: a\n    default: true\n    scripts:\n      - {name: s, scxml_file: s.scxml}\n", 5, 31, "tenants[0].scripts[0].scxml_file", "did not come"},
		{"domain of two", "tenants:\n  - {name: a, default: true, domains: [x.test]}\n  - {name: b, domains: [x.test]}\n", 3, 25, "tenants[1].domains[0]", `tenant "a"`},
		{"two defaults", "tenants:\n  - {name: a, default: true}\n  - {name: b, default: true}\n", 3, 24, "tenants[1].default", "cannot both"},
		{"agent id of two", "tenants:\n  - name: a\n    default: true\n    persons:\n      - {username: u, agent_id: '1'}\n      - {username: v, agent_id: '1'}\n", 6, 33, "tenants[0].persons[1].agent_id", `person "u"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := r.applyText(c.yaml)
			wantProblem(t, err, voice.ErrInvalid, c.field, c.words)
			e, ok := errors.AsType[*voice.Error](err)
			if !ok {
				return
			}
			for _, f := range e.Fields {
				if f.Field == c.field && f.File != "demo.yaml" {
					t.Errorf("file = %q", f.File)
				}
				if f.Field == c.field && c.line > 0 && (f.Line != c.line || f.Column != c.column) {
					t.Errorf("%s is said to be at %d:%d, want %d:%d\n%s", c.field, f.Line, f.Column, c.line, c.column, c.yaml)
				}
			}
		})
	}
}

func TestApplyTellsAllProblemsUpToALimit(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	var b strings.Builder
	b.WriteString("tenants:\n  - name: a\n    default: true\n    dns:\n")
	for i := range 250 {
		fmt.Fprintf(&b, "      - {number: 'bad %d', type: extension}\n", i)
	}
	_, err := r.applyText(b.String())
	e, ok := errors.AsType[*voice.Error](err)
	if !ok || len(e.Fields) != maxProblems+1 || !strings.Contains(e.Fields[maxProblems].Reason, "150 problems more") || !strings.Contains(e.Message, "250 problems") {
		t.Errorf("apply of 250 bad entries = %v", err)
	}
}

func TestApplyLeavesWhatItDoesNotName(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		r.mustApply(demoFile)
		res := r.mustApply("tenants:\n  - name: demo\n    dns: [{number: '1003', type: extension, password: s3cret-1003}]\n")
		if len(res.Changes) != 1 || res.Changes[0].Key != "1003" || res.Unchanged != 1 {
			t.Errorf("apply of one more number = %+v", res)
		}
		if d, _ := get[voice.Tenant](r, voice.SystemTenant, voice.KindTenant, "demo", false); !d.Default || len(d.Domains) != 1 {
			t.Errorf("demo = %+v, want it as it was", d)
		}
		dn, _ := get[voice.DN](r, "demo", voice.KindDN, "1001", true)
		r.mustApply("tenants: [{name: demo, dns: [{number: '1001', type: extension}]}]")
		if now, _ := get[voice.DN](r, "demo", voice.KindDN, "1001", true); now.Auth == nil || *now.Auth != *dn.Auth || now.Name != "" {
			t.Errorf("1001 = %+v, want its name gone and its password kept", now)
		}
	})
}

func TestPruneStaysWithinTenantAndKind(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		r.mustApply(demoFile)
		r.mustApply("tenants: [{name: acme, domains: [acme.local], dns: [{number: '1', type: extension}]}]")
		prune := func(text string) (contract.ConfigApplyResponse, error) {
			return fabric.Call(t.Context(), r.f, contract.ConfigApply, contract.ConfigApplyRequest{YAML: []byte(text), Prune: true})
		}
		_, err := prune("tenants: [{name: demo, dns: [{number: '9000', type: routing-point, application: welcome}]}]")
		wantProblem(t, err, voice.ErrReferenced, "places/p1001", "refers to dn \"1001\"")
		_, err = prune("tenants: [{name: demo, dns: [], places: [{name: p1001, dns: ['1001']}]}]")
		wantProblem(t, err, voice.ErrInvalid, "tenants[0].places[0].dns[0]", "to be deleted")
		res, err := prune("tenants: [{name: demo, mailboxes: [], persons: [], places: [], dns: [{number: '1002', type: extension}]}]")
		if err != nil {
			t.Fatal(readable(err))
		}
		var gone []string
		for _, c := range res.Changes {
			if c.Op != voice.OpDelete {
				t.Errorf("prune %ss %s", c.Op, c.Key)
			}
			gone = append(gone, string(c.Kind)+"/"+c.Key)
		}
		slices.Sort(gone)
		want := []string{"dns/1001", "dns/5555", "dns/9000", "dns/gw1", "mailboxes/1001", "persons/alice", "places/p1001"}
		if !slices.Equal(gone, want) {
			t.Errorf("pruned %v, want %v", gone, want)
		}
		get[voice.DN](r, "acme", voice.KindDN, "1", false)
		get[voice.Script](r, "demo", voice.KindScript, "welcome", false)
	})
}

func TestApplyTakesFilesAlong(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	text := strings.Replace(demoFile, "scxml: |\n          <scxml xmlns=\"http://www.w3.org/2005/07/scxml\" version=\"1.0\">\n            <state id=\"s\"/>\n          </scxml>", "scxml_file: scxml/welcome.scxml", 1)
	req := contract.ConfigApplyRequest{File: "demo.yaml", YAML: []byte(text), Files: map[string][]byte{"scxml/welcome.scxml": []byte("<scxml/>")}}
	if _, err := r.Apply(t.Context(), req); err != nil {
		t.Fatal(readable(err))
	}
	if s, _ := get[voice.Script](r, "demo", voice.KindScript, "welcome", false); s.SCXML != "<scxml/>" || s.SCXMLFile != "" {
		t.Errorf("script = %+v", s)
	}
	req.Files["scxml/welcome.scxml"] = []byte("<scxml>")
	_, err := r.Apply(t.Context(), req)
	wantProblem(t, err, voice.ErrInvalid, "tenants[0].scripts[0].scxml", "well-formed")
}

func TestExportGivesBackWhatApplyTakes(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		r.mustApply(demoFile)
		r.mustApply(`tenants: [{name: acme, domains: [acme.local], options: {a: "x: y", b: "true", c: "", d: "0800", e: "line\nline\n", f: " x ", g: "#", h: "null", i: "é☎"}, skills: [{name: "yes"}, {name: "12"}]}]`)
		full, err := fabric.Call(t.Context(), r.f, contract.ConfigExport, contract.ConfigExportRequest{Secrets: true})
		if err != nil {
			t.Fatal(err)
		}
		if res := r.mustApply(string(full.YAML)); len(res.Changes) != 0 {
			t.Errorf("apply of the own export changes %+v", res.Changes)
		}
		empty := start(t, rigOptions{})
		empty.mustApply(string(full.YAML))
		again, err := empty.Export(t.Context(), contract.ConfigExportRequest{Secrets: true})
		if err != nil {
			t.Fatal(err)
		}
		if string(again.YAML) != string(full.YAML) {
			t.Errorf("export of what an export made:\n%s\nwant:\n%s", again.YAML, full.YAML)
		}
		if res := empty.mustApply(demoFile); len(res.Changes) != 0 {
			t.Errorf("the passwords did not come along: %+v", res.Changes)
		}
		plain, err := r.Export(t.Context(), contract.ConfigExportRequest{Tenant: "demo"})
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"argon2", "md5", "sha256", "acme"} {
			if strings.Contains(string(plain.YAML), secret) {
				t.Errorf("the export of demo without secrets has %q:\n%s", secret, plain.YAML)
			}
		}
		if res := r.mustApply(string(plain.YAML)); len(res.Changes) != 0 {
			t.Errorf("apply of an export without secrets changes %+v", res.Changes)
		}
		if _, err := r.Export(t.Context(), contract.ConfigExportRequest{Tenant: "nobody"}); !errors.Is(err, voice.ErrNotFound) {
			t.Errorf("export of nobody = %v", err)
		}
	})
}

func TestExportOfNothing(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	res, err := r.Export(t.Context(), contract.ConfigExportRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if applied := r.mustApply(string(res.YAML)); len(applied.Changes) != 0 {
		t.Errorf("apply of %q changes %+v", res.YAML, applied)
	}
}

func TestDigestsOfAnotherRealmAreRefused(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	r.mustApply(demoFile)
	full, err := r.Export(t.Context(), contract.ConfigExportRequest{Secrets: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = start(t, rigOptions{}).applyText(strings.Replace(string(full.YAML), "realm: demo.local", "realm: other.local", 1))
	wantProblem(t, err, voice.ErrInvalid, "tenants[0].dns[0].auth.realm", "other.local")
}

func TestCheckWithoutAStore(t *testing.T) {
	t.Parallel()
	if err := Check(contract.ConfigApplyRequest{File: "demo.yaml", YAML: []byte(demoFile)}); err != nil {
		t.Errorf("Check of a good file = %v", readable(err))
	}
	bad := strings.NewReplacer("type: trunk", "type: trunc", "username: alice,", "username: alice, usrname: x,").Replace(demoFile)
	err := Check(contract.ConfigApplyRequest{File: "demo.yaml", YAML: []byte(bad)})
	wantProblem(t, err, voice.ErrInvalid, "tenants[0].dns[4].type", "trunc")
	wantProblem(t, err, voice.ErrInvalid, "tenants[0].persons[0].usrname", "not a field")
}

func FuzzApplyFile(f *testing.F) {
	f.Add([]byte(demoFile))
	f.Add([]byte("tenants: [{name: a, default: true, dns: [{number: 1, type: extension, options: {a: {b: 0x1F}}}]}]"))
	f.Add([]byte("tenants:\n- name: &a b\n  domains: *a\n"))
	f.Add([]byte("? [a, b]\n: {c: !!str d}\n"))
	f.Add([]byte("--- # c\ntenants:\n- name: a\n  dns:\n  - number: 1\n    options: {}\n"))
	f.Add([]byte("tenants: [{<<: {name: x}}]"))
	f.Add([]byte("tenants:\n  - name: \"\\u0000\"\n    skills: [{name: 'a b'}, ~, 3]"))
	if seed, err := os.ReadFile("../../configs/parley.yaml"); err == nil {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var out problems
		file := parseFile("f.yaml", text, nil, newKinds(), &out)
		entries := file.read(&out)
		if len(out.list) > maxProblems {
			t.Errorf("%d problems are told", len(out.list))
		}
		for _, p := range out.list {
			if p.File != "f.yaml" || p.Field == "" || p.Reason == "" || p.Line < 0 {
				t.Errorf("problem %+v", p)
			}
		}
		if err := Check(contract.ConfigApplyRequest{File: "f.yaml", YAML: text}); err == nil && out.any() {
			t.Error("Check takes what read does not")
		}
		for _, e := range entries {
			for _, w := range e.wants { // every field has a place, whatever the shape of the file
				if at := w.place.at("options.a.b[3].c"); at.File != "f.yaml" {
					t.Errorf("place %+v", at)
				}
			}
		}
	})
}

// Two nodes that start on one empty store, one of them with a file to provision: the file's passwords are what holds,
// in whatever order they come.
func TestApplyOfAFirstStartYields(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		random := strings.ReplaceAll(demoFile, "s3cret", "made at random")
		outcome := make(chan error, 1)
		go func() {
			_, err := fabric.Call(t.Context(), r.f, contract.ConfigApply, contract.ConfigApplyRequest{YAML: []byte(random), First: true})
			outcome <- err
		}()
		r.mustApply(demoFile)
		if err := <-outcome; err != nil && !errors.Is(err, voice.ErrConflict) {
			t.Error(err)
		}
		if again := r.mustApply(demoFile); len(again.Changes) != 0 {
			t.Errorf("the file does not hold: %+v", again.Changes)
		}
		_, err := fabric.Call(t.Context(), r.f, contract.ConfigApply, contract.ConfigApplyRequest{YAML: []byte(random), First: true})
		if !errors.Is(err, voice.ErrConflict) {
			t.Errorf("a first start where tenants are: %v", err)
		}
	})
}
