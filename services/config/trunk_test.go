package config

import (
	"encoding/json"
	"strings"
	"testing"

	"parley/internal/contract"
	"parley/internal/passwd"
	"parley/internal/voice"
)

func TestTrunkOptionsAreChecked(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	r.mustApply(demoFile)
	for _, c := range []struct{ option, value, words string }{
		{"capacity", "many", "number from 0"},
		{"oos-force", "0", "seconds"},
		{"recovery-timeout", "-1", "seconds"},
		{"response-timeout", "1s", "seconds"},
		{"tls-verify", "no", "true nor false"},
		{"trusted-source", "everybody", "contact, address or none"},
		{"authenticate-requests", "register", "want invite"},
		{"register", "provider.example", "sip:"},
		{"register-expires", "10", "60 to"},
		{"override-domain", "a b", "host name"},
		{"cpn", "front desk", "not a number"},
		{"country-code", "+49", "digits"},
		{"number-format-out", "e164", "country-code"},
		{"cpn-format-in", "pretty", "as-dialled, e164"},
		{"bare-numbers", "yes", "as-is, national"},
		{"auth-user", "a\"b", "quotes"},
		{"auth-password", "secret", "auth-user"},
		{"softswitch", "none", "no dn"},
	} {
		t.Run(c.option, func(t *testing.T) {
			body, err := json.Marshal(voice.DN{Number: "gw", Type: voice.DNTrunk,
				Options: map[string]map[string]string{"TServer": {"contact": "sip:carrier.example", c.option: c.value}}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.putBody("demo", voice.KindDN, "gw", 0, string(body))
			wantProblem(t, err, voice.ErrInvalid, "options.TServer."+c.option, c.words)
		})
	}
	_, err := r.putBody("demo", voice.KindDN, "1005", 0, `{"type":"extension","options":{"TServer":{"auth-password":"x"}}}`)
	wantProblem(t, err, voice.ErrInvalid, "options.TServer.auth-password", "only a trunk")
}

// The password of a trunk is sealed for it, stays when nothing is said of it, and is in clear nowhere.
func TestTrunkPasswordIsSealed(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig) {
		const secret, other = "c4rrier-s3cret", "an0ther-s3cret"
		r.mustApply(demoFile)
		file := func(password string) string {
			return `tenants:
  - name: demo
    dns:
      - {number: gw9, type: trunk, options: {TServer: {contact: "sip:carrier.example", auth-user: us` + password + `}}}
`
		}
		sealed := func() string {
			t.Helper()
			res, err := r.store.Get(t.Context(), "demo", voice.KindDN, "gw9")
			if err != nil {
				t.Fatal(err)
			}
			var dn voice.DN
			if err := json.Unmarshal(res.Body, &dn); err != nil {
				t.Fatal(err)
			}
			return dn.Options["TServer"]["auth-password"]
		}
		open := func() string {
			t.Helper()
			key, err := r.ClusterSecret(t.Context(), contract.TrunkSecret)
			if err != nil {
				t.Fatal(err)
			}
			s, err := passwd.NewSealer(key)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := s.Open(contract.TrunkOwner("demo", "gw9"), sealed())
			if err != nil {
				t.Fatalf("%q: %v", sealed(), err)
			}
			return plain
		}
		r.mustApply(file(", auth-password: " + secret))
		first := sealed()
		if got := open(); got != secret {
			t.Fatalf("stored %q", got)
		}
		if again := r.mustApply(file(", auth-password: " + secret)); len(again.Changes) != 0 || sealed() != first {
			t.Errorf("the same password again changed %+v", again.Changes)
		}
		if r.mustApply(file("")); sealed() != first {
			t.Error("a file without the password took it away")
		}
		changed := r.mustApply(file(", auth-password: " + other))
		if len(changed.Changes) != 1 || len(changed.Changes[0].Diff) != 1 ||
			changed.Changes[0].Diff[0] != (contract.FieldDiff{Field: "options.TServer.auth-password", Before: "(set)", After: "(changed)"}) {
			t.Errorf("another password shows as %+v", changed.Changes)
		}
		if got := open(); got != other {
			t.Errorf("stored %q", got)
		}

		plain, err := r.Export(t.Context(), contract.ConfigExportRequest{})
		if err != nil {
			t.Fatal(err)
		}
		with, err := r.Export(t.Context(), contract.ConfigExportRequest{Secrets: true})
		if err != nil {
			t.Fatal(err)
		}
		res, err := r.Get(t.Context(), contract.ConfigKey{Tenant: "demo", Kind: voice.KindDN, Key: "gw9"})
		if err != nil {
			t.Fatal(err)
		}
		past, err := r.History(t.Context(), contract.ConfigHistoryRequest{})
		if err != nil {
			t.Fatal(err)
		}
		history, err := json.Marshal(past)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"export": string(plain.YAML), "get": string(res.Body), "history": string(history)} {
			if strings.Contains(text, passwd.SealedPrefix) || strings.Contains(text, secret) || strings.Contains(text, other) {
				t.Errorf("%s shows a password:\n%s", name, text)
			}
		}
		if !strings.Contains(string(with.YAML), sealed()) || strings.Contains(string(with.YAML), other) {
			t.Error("an export with secrets has the password sealed, not in clear")
		}
		r.mustApply(string(with.YAML)) // it fits again here
		_, err = r.applyText(file(", auth-password: \"" + passwd.SealedPrefix + "AAAA\""))
		wantProblem(t, err, voice.ErrInvalid, "tenants[0].dns[0].options.TServer.auth-password", "not this platform's")
		r.mustApply(`tenants:
  - name: demo
    dns: [{number: gw9, type: trunk, options: {TServer: {contact: "sip:carrier.example"}}}]
`)
		if got := sealed(); got != "" {
			t.Errorf("without its user the password is of no use, and it is still there: %q", got)
		}
	})
}
