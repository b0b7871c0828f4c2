package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/passwd"
	"parley/internal/voice"
)

func TestPasswordsBecomeWhatVerificationNeeds(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		r.mustApply(demoFile)
		dn, _ := get[voice.DN](r, "demo", voice.KindDN, "1001", true)
		if dn.Auth == nil || *dn.Auth != passwd.SIP("1001", "demo.local", "s3cret-1001") || dn.Password != "" {
			t.Errorf("1001 = %+v, want the digests of its password", dn)
		}
		alice, _ := get[voice.Person](r, "demo", voice.KindPerson, "alice", true)
		if ok, err := passwd.Verify(alice.PasswordHash, "correct horse"); !ok || err != nil || alice.Password != "" {
			t.Errorf("alice = %+v, want the hash of her password", alice)
		}
		if dn, _ := get[voice.DN](r, "demo", voice.KindDN, "1001", false); dn.Auth != nil {
			t.Errorf("1001 without secrets = %+v", dn)
		}
		if alice, _ := get[voice.Person](r, "demo", voice.KindPerson, "alice", false); alice.PasswordHash != "" {
			t.Errorf("alice without secrets = %+v", alice)
		}
	})
}

func TestNoSecretInHistoryDiffOrList(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		res := r.mustApply(demoFile)
		again := r.mustApply(strings.ReplaceAll(demoFile, "s3cret-1001", "s3cret-new1"))
		if len(again.Changes) != 1 || len(again.Changes[0].Diff) != 1 || again.Changes[0].Diff[0] != (contract.FieldDiff{Field: "password", Before: "(set)", After: "(changed)"}) {
			t.Errorf("a new password shows as %+v", again.Changes)
		}
		history, err := r.History(t.Context(), contract.ConfigHistoryRequest{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		list, err := r.List(t.Context(), contract.ConfigListRequest{Kind: voice.KindDN, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		people, err := r.List(t.Context(), contract.ConfigListRequest{Kind: voice.KindPerson})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal([]any{res, again, history, list, people})
		if err != nil {
			t.Fatal(err)
		}
		auth := passwd.SIP("1001", "demo.local", "s3cret-1001")
		for _, secret := range []string{"s3cret", "correct horse", "argon2", auth.MD5, auth.SHA256, "realm\":\"demo.local\",\"md5"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%q is to be seen", secret)
			}
		}
		if !strings.Contains(string(text), `"password":"(changed)"`) {
			t.Error("that a password changed is not to be seen")
		}
	})
}

func TestVersions(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		r.mustApply(demoFile)
		const skill = `{"name":"spanish"}`
		if _, err := r.putBody("demo", voice.KindSkill, "spanish", 3, skill); !errors.Is(err, voice.ErrNotFound) {
			t.Errorf("replace of nothing = %v, want ErrNotFound", err)
		}
		res, err := r.putBody("demo", voice.KindSkill, "spanish", 0, skill)
		if err != nil || res.Version != 1 || res.UpdatedBy != "tester" {
			t.Fatalf("create = %+v, %v", res, err)
		}
		if _, err := r.putBody("demo", voice.KindSkill, "spanish", 0, skill); !errors.Is(err, voice.ErrExists) {
			t.Errorf("create again = %v, want ErrExists", err)
		}
		if res, err = r.putBody("demo", voice.KindSkill, "spanish", 1, skill); err != nil || res.Version != 1 {
			t.Errorf("replace by the same = %+v, %v, want version 1: nothing changed", res, err)
		}
		if res, err = r.putBody("demo", voice.KindSkill, "spanish", 1, `{"name":"spanish","description":"Hola"}`); err != nil || res.Version != 2 {
			t.Errorf("replace = %+v, %v, want version 2", res, err)
		}
		if _, err := r.putBody("demo", voice.KindSkill, "spanish", 1, skill); !errors.Is(err, voice.ErrConflict) {
			t.Errorf("replace of an old version = %v, want ErrConflict", err)
		}
		if res, err = r.putBody("demo", voice.KindSkill, "spanish", -1, skill); err != nil || res.Version != 3 {
			t.Errorf("replace of whatever = %+v, %v, want version 3", res, err)
		}
		if err := r.remove("demo", voice.KindSkill, "spanish", 2); !errors.Is(err, voice.ErrConflict) {
			t.Errorf("delete of an old version = %v, want ErrConflict", err)
		}
		if err := r.remove("demo", voice.KindSkill, "spanish", 3); err != nil {
			t.Errorf("delete = %v", err)
		}
		if err := r.remove("demo", voice.KindSkill, "spanish", -1); !errors.Is(err, voice.ErrNotFound) {
			t.Errorf("delete again = %v, want ErrNotFound", err)
		}
	})
}

func TestTwoWritersOfOneVersion(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		r.mustApply(demoFile)
		const writers = 12
		var won, lost atomic.Int32
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				_, err := r.putBody("demo", voice.KindSkill, "english", 1, fmt.Sprintf(`{"name":"english","description":"%d"}`, i))
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, voice.ErrConflict):
					lost.Add(1)
				default:
					t.Errorf("put = %v", err)
				}
			})
		}
		for i := range writers { // and others, who do not meet
			wg.Go(func() {
				if _, err := r.putBody("demo", voice.KindSkill, fmt.Sprintf("s%d", i), 0, `{}`); err != nil {
					t.Errorf("put of s%d = %v", i, err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != writers-1 {
			t.Errorf("%d writers won, %d lost, want 1 and %d", won.Load(), lost.Load(), writers-1)
		}
	})
}

func TestPutKeepsThePassword(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		r.mustApply(demoFile)
		if _, err := r.putBody("demo", voice.KindDN, "1001", 1, `{"number":"1001","type":"extension","name":"New name"}`); err != nil {
			t.Fatal(err)
		}
		if dn, _ := get[voice.DN](r, "demo", voice.KindDN, "1001", true); dn.Auth == nil || dn.Name != "New name" {
			t.Errorf("1001 = %+v, want its digests kept", dn)
		}
		if _, err := r.putBody("demo", voice.KindPerson, "alice", -1, `{"username":"alice","first_name":"Alice"}`); err != nil {
			t.Fatal(err)
		}
		if alice, _ := get[voice.Person](r, "demo", voice.KindPerson, "alice", true); alice.PasswordHash == "" {
			t.Errorf("alice = %+v, want her hash kept", alice)
		}
		if _, err := r.putBody("demo", voice.KindDN, "1001", -1, `{"type":"routing-point"}`); err != nil {
			t.Fatal(err)
		}
		if dn, _ := get[voice.DN](r, "demo", voice.KindDN, "1001", true); dn.Auth != nil {
			t.Errorf("a routing point has digests: %+v", dn)
		}
	})
}

func TestPutRefuses(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	r.mustApply(demoFile)
	for _, c := range []struct {
		name         string
		kind         voice.Kind
		key, body    string
		field, words string
	}{
		{"empty password", voice.KindDN, "1", `{"type":"extension","password":""}`, "password", "empty"},
		{"unknown field", voice.KindDN, "1", `{"type":"extension","pasword":"x"}`, "pasword", "not a field"},
		{"wrong type", voice.KindDN, "1", `{"type":"extension","name":7}`, "name", "want text"},
		{"not JSON", voice.KindDN, "1", `{"type"`, "body", "JSON"},
		{"two values", voice.KindDN, "1", `{"type":"extension"}{}`, "body", "more than one"},
		{"other key", voice.KindDN, "1", `{"number":"2","type":"extension"}`, "number", "renamed"},
		{"bad number", voice.KindDN, "1 2", `{"type":"extension"}`, "number", "not a number"},
		{"bad type", voice.KindDN, "1", `{"type":"phone"}`, "type", "extension, routing-point"},
		{"application", voice.KindDN, "1", `{"type":"extension","application":"welcome"}`, "application", "routing-point"},
		{"password of a route point", voice.KindDN, "1", `{"type":"routing-point","password":"x"}`, "password", "does not register"},
		{"digests of somebody else", voice.KindDN, "1", `{"type":"extension","auth":{"username":"2","realm":"demo.local","md5":"","sha256":""}}`, "auth.username", "must be"},
		{"digests that are none", voice.KindDN, "1", `{"type":"extension","auth":{"username":"1","realm":"demo.local","md5":"XY","sha256":""}}`, "auth.md5", "32"},
		{"trunk to nowhere", voice.KindDN, "gw", `{"type":"trunk"}`, "options.TServer.contact", "missing"},
		{"trunk to no URI", voice.KindDN, "gw", `{"type":"trunk","options":{"TServer":{"contact":"10.0.0.1"}}}`, "options.TServer.contact", "sip:"},
		{"header injection", voice.KindDN, "gw", `{"type":"trunk","options":{"TServer":{"contact":"sip:a\r\nVia: x"}}}`, "options.TServer.contact", "blanks"},
		{"bad port", voice.KindDN, "gw", `{"type":"trunk","options":{"TServer":{"contact":"sip:a:99999"}}}`, "options.TServer.contact", "port"},
		{"oos-check", voice.KindDN, "gw", `{"type":"trunk","options":{"TServer":{"contact":"sip:a","oos-check":"often"}}}`, "options.TServer.oos-check", "seconds"},
		{"srtp", voice.KindDN, "1", `{"type":"extension","options":{"TServer":{"srtp":"yes"}}}`, "options.TServer.srtp", "off, optional or required"},
		{"hold-audio", voice.KindDN, "1", `{"type":"extension","options":{"TServer":{"hold-audio":"jazz"}}}`, "options.TServer.hold-audio", "music, own or silence"},
		{"webrtc", voice.KindDN, "1", `{"type":"extension","options":{"TServer":{"webrtc":"1"}}}`, "options.TServer.webrtc", "true or false"},
		{"no script", voice.KindDN, "1", `{"type":"routing-point","application":"none"}`, "application", "no script"},
		{"no number", voice.KindPlace, "p", `{"dns":["1001","77"]}`, "dns[1]", "no dn"},
		{"twice", voice.KindPlace, "p", `{"dns":["1001","1001"]}`, "dns[1]", "twice"},
		{"no place", voice.KindPerson, "bob", `{"place":"p9"}`, "place", "no place"},
		{"no skill", voice.KindPerson, "bob", `{"skills":{"latin":3}}`, "skills.latin", "no skill"},
		{"skill level", voice.KindPerson, "bob", `{"skills":{"english":101}}`, "skills.english", "0 to 100"},
		{"role", voice.KindPerson, "bob", `{"roles":["god"]}`, "roles[0]", "agent, supervisor"},
		{"short password", voice.KindPerson, "bob", `{"password":"short"}`, "password", "8 characters"},
		{"hash", voice.KindPerson, "bob", `{"password_hash":"x"}`, "password_hash", "argon2id"},
		{"costly hash", voice.KindPerson, "bob", `{"password_hash":"$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"}`, "password_hash", "argon2id"},
		{"email", voice.KindPerson, "bob", `{"email":"Bob <bob@x>"}`, "email", "e-mail"},
		{"agent id taken", voice.KindPerson, "bob", `{"agent_id":"7001"}`, "agent_id", `person "alice"`},
		{"script that is no XML", voice.KindScript, "s", `{"scxml":"<scxml>"}`, "scxml", "well-formed"},
		{"script that is no SCXML", voice.KindScript, "s", `{"scxml":"<html/>"}`, "scxml", "<scxml>"},
		{"script in a file", voice.KindScript, "s", `{"scxml_file":"/etc/passwd"}`, "scxml_file", "provisioning file"},
		{"no owner", voice.KindMailbox, "1", `{"owner":"bob"}`, "owner", "no person"},
		{"no profile", voice.KindMailbox, "1", `{"profile":"Gold"}`, "profile", "no voicemail profile"},
		{"slash", voice.KindSkill, "a/b", `{}`, "name", "name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := r.putBody("demo", c.kind, c.key, 0, c.body)
			wantProblem(t, err, voice.ErrInvalid, c.field, c.words)
		})
	}
	if _, err := r.putBody("nobody", voice.KindSkill, "x", 0, `{}`); !errors.Is(err, voice.ErrNotFound) {
		t.Errorf("put into a tenant that is not there = %v, want ErrNotFound", err)
	}
	if _, err := r.putBody("demo", "phones", "x", 0, `{}`); !errors.Is(err, voice.ErrNotFound) {
		t.Errorf("put of a kind that is not there = %v, want ErrNotFound", err)
	}
	if _, err := r.putBody("demo", voice.KindMailbox, "2", 0, `{"profile":"SystemProfile"}`); err != nil {
		t.Errorf("mailbox with the profile that is always there = %v", err)
	}
}

func TestDeleteOfWhatIsReferredTo(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		r.mustApply(demoFile)
		for _, c := range []struct {
			kind voice.Kind
			key  string
			by   string
		}{
			{voice.KindDN, "1001", "places/p1001"},
			{voice.KindPlace, "p1001", "persons/alice"},
			{voice.KindSkill, "english", "persons/alice"},
			{voice.KindPerson, "alice", "mailboxes/1001"},
			{voice.KindScript, "welcome", "dns/9000"},
		} {
			wantProblem(t, r.remove("demo", c.kind, c.key, -1), voice.ErrReferenced, c.by, "refers to")
		}
		wantProblem(t, r.remove(voice.SystemTenant, voice.KindTenant, "demo", -1), voice.ErrReferenced, "dns", "has 5 left")
		if err := r.remove("demo", voice.KindMailbox, "1001", -1); err != nil {
			t.Fatal(err)
		}
		if err := r.remove("demo", voice.KindPerson, "alice", -1); err != nil {
			t.Errorf("delete of what nobody refers to any more = %v", err)
		}
	})
}

func TestTenants(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		tenant := func(name, body string) error {
			_, err := r.putBody(voice.SystemTenant, voice.KindTenant, name, -1, body)
			return err
		}
		wantProblem(t, tenant("a", `{"domains":["a.test"]}`), voice.ErrInvalid, "default", "set default: true")
		if err := tenant("a", `{"domains":["A.test."],"default":true}`); err != nil {
			t.Fatal(err)
		}
		if a, _ := get[voice.Tenant](r, voice.SystemTenant, voice.KindTenant, "a", false); a.Domains[0] != "a.test" || a.Realm != "a.test" || !a.Default {
			t.Errorf("a = %+v, want its domain in normal form and its realm fixed", a)
		}
		wantProblem(t, tenant("b", `{"domains":["a.test"]}`), voice.ErrInvalid, "domains[0]", `tenant "a"`)
		wantProblem(t, tenant("b", `{"domains":["x y"]}`), voice.ErrInvalid, "domains[0]", "not a SIP domain")
		wantProblem(t, tenant("b", `{"domains":[]}`), voice.ErrInvalid, "domains", "needs one")
		wantProblem(t, tenant("_b", `{"domains":["b.test"]}`), voice.ErrInvalid, "name", "not a tenant's name")
		wantProblem(t, tenant("a", `{"domains":["a.test"]}`), voice.ErrInvalid, "default", "make another the default")
		if err := tenant("b", `{"domains":["b.test"],"default":true}`); err != nil {
			t.Fatal(err)
		}
		a, version := get[voice.Tenant](r, voice.SystemTenant, voice.KindTenant, "a", false)
		if a.Default || version != 2 {
			t.Errorf("a = %+v version %d, want it to have lost the mark in the same write", a, version)
		}
		wantProblem(t, r.remove(voice.SystemTenant, voice.KindTenant, "b", -1), voice.ErrInvalid, "default", "make another")
		if err := r.remove(voice.SystemTenant, voice.KindTenant, "a", 2); err != nil {
			t.Errorf("delete of an empty tenant = %v", err)
		}
		if err := r.remove(voice.SystemTenant, voice.KindTenant, "b", -1); err != nil {
			t.Errorf("delete of the last tenant = %v", err)
		}
	})
}

func TestRealmIsFixedByPasswords(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		r.mustApply(demoFile)
		put := func(body string) error {
			_, err := r.putBody(voice.SystemTenant, voice.KindTenant, "demo", -1, body)
			return err
		}
		if err := put(`{"domains":["new.local","demo.local"],"default":true}`); err != nil {
			t.Fatal(err)
		}
		if d, _ := get[voice.Tenant](r, voice.SystemTenant, voice.KindTenant, "demo", false); d.Realm != "demo.local" {
			t.Errorf("another first domain made the realm %q", d.Realm)
		}
		wantProblem(t, put(`{"domains":["new.local"],"realm":"new.local","default":true}`), voice.ErrInvalid, "realm", "numbers have passwords")
		r.mustApply("tenants: [{name: fresh, domains: [fresh.local], dns: [{number: '1', type: extension}]}]")
		if _, err := r.putBody(voice.SystemTenant, voice.KindTenant, "fresh", 1, `{"domains":["fresh.local"],"realm":"r2"}`); err != nil {
			t.Errorf("a realm nobody depends on cannot change: %v", err)
		}
	})
}

func TestSystemRoleBelongsToTheDefaultTenant(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	r.mustApply(demoFile)
	r.mustApply("tenants: [{name: acme, domains: [acme.local]}]")
	_, err := r.putBody("acme", voice.KindPerson, "eve", 0, `{"roles":["system"]}`)
	wantProblem(t, err, voice.ErrInvalid, "roles", "default tenant")
	if _, err := r.putBody("demo", voice.KindPerson, "root", 0, `{"roles":["system"]}`); err != nil {
		t.Fatal(err)
	}
	_, err = r.putBody(voice.SystemTenant, voice.KindTenant, "acme", -1, `{"domains":["acme.local"],"default":true}`)
	wantProblem(t, err, voice.ErrInvalid, "default", "persons with the role system")
}

func TestChangesAreAnnounced(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		events := follow(t, r.f)
		res := r.mustApply(demoFile)
		for want := int64(1); want <= int64(len(res.Changes)); want++ {
			c := <-events
			if c.Node != "n1" || c.User != "tester" || c.Op != voice.OpCreate || c.Version != 1 || c.Time.IsZero() {
				t.Fatalf("event %+v", c)
			}
		}
		if err := r.remove("demo", voice.KindMailbox, "1001", -1); err != nil {
			t.Fatal(err)
		}
		if c := <-events; c.Seq != int64(len(res.Changes))+1 || c.Kind != voice.KindMailbox || c.Key != "1001" || c.Op != voice.OpDelete {
			t.Errorf("event of a delete = %+v", c)
		}
	})
}

// follow gives the events on CONFIG from the first on.
func follow(t *testing.T, f *fabric.Fabric) <-chan voice.ConfigChanged {
	t.Helper()
	events := make(chan voice.ConfigChanged, 1000)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		err := f.Subscribe(ctx, fabric.StreamConfig, fabric.Filter("config", fabric.Rest), fabric.From{}, func(m fabric.Message) {
			var c voice.ConfigChanged
			if err := json.Unmarshal(m.Data, &c); err != nil {
				t.Errorf("event %s: %v", m.Data, err)
				return
			}
			if m.Subject[1] != c.Tenant || m.Subject[2] != string(c.Kind) || m.Subject[3] != c.Key {
				t.Errorf("event %+v on subject %q", c, m.Subject)
			}
			events <- c
		})
		if err != nil {
			t.Errorf("subscribe: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return events
}

func TestWhatWasNotAnnouncedIsAnnouncedLater(t *testing.T) {
	t.Parallel()
	both := func(t *testing.T, dsn string) {
		first := start(t, rigOptions{dsn: dsn, dir: t.TempDir(), idle: true}) // its announcer never runs: as killed in between
		dir := t.TempDir()
		if dsn == "" {
			first = start(t, rigOptions{dir: dir, idle: true, fabric: first.f})
		}
		res, err := first.Apply(t.Context(), contract.ConfigApplyRequest{File: "demo.yaml", YAML: []byte(demoFile), User: "tester"})
		if err != nil {
			t.Fatal(err)
		}
		if err := first.stop(); err != nil {
			t.Fatal(err)
		}
		events := follow(t, first.f)
		second := start(t, rigOptions{dsn: dsn, dir: dir, fabric: first.f})
		seen := map[int64]bool{}
		for range res.Changes {
			seen[(<-events).Seq] = true
		}
		if len(seen) != len(res.Changes) || !seen[1] || !seen[int64(len(res.Changes))] {
			t.Errorf("announced %v, want each of %d changes once", seen, len(res.Changes))
		}
		eventually(t, "the mark has moved", func() bool {
			done, err := second.store.Announced(t.Context())
			return err == nil && done == int64(len(res.Changes))
		})
	}
	t.Run("sqlite", func(t *testing.T) { both(t, "") })
	t.Run("postgres", func(t *testing.T) { both(t, postgres.Database(t)) })
}

func TestClusterSecret(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	a, err := fabric.Call(t.Context(), r.f, contract.ClusterSecret, "nonce")
	if err != nil || len(a) != 32 {
		t.Fatalf("secret = %x, %v", a, err)
	}
	if b, err := fabric.Call(t.Context(), r.f, contract.ClusterSecret, "nonce"); err != nil || string(b) != string(a) {
		t.Errorf("asked again it is %x, %v", b, err)
	}
	if _, err := fabric.Call(t.Context(), r.f, contract.ClusterSecret, "../x"); !errors.Is(err, voice.ErrInvalid) {
		t.Errorf("secret of a strange name = %v, want ErrInvalid", err)
	}
}
