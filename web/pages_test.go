package web

import (
	"strings"
	"testing"
)

func TestEveryPageRenders(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	h.phones.register("demo", "1001", "sip:1001@198.51.100.20:5066", "Phone/1")
	h.phones.ban("203.0.113.9", "wrong passwords", 12)
	root := h.signIn("root")
	for path, want := range map[string]string{
		"/":                                "Registered numbers",
		"/t/demo/extensions":               "Alice Archer",
		"/t/demo/extensions/new":           "Create extension",
		"/t/demo/extensions/1001":          "sip:1001@198.51.100.20:5066",
		"/t/demo/extensions/1001/edit":     "TServer.contact = *",
		"/t/demo/extensions/1001/delete":   "Delete extension 1001?",
		"/t/demo/extensions/1001/password": "Generate password",
		"/t/demo/people":                   "anna.admin",
		"/t/demo/people/new":               "Create person",
		"/t/demo/people/alice/edit":        "Archer",
		"/t/demo/people/alice/delete":      "Delete alice?",
		"/t/demo/history":                  "provisioning",
		"/tenants":                         "voice.acme.example",
		"/tenants/new":                     "Create tenant",
		"/tenants/acme/edit":               "acme.example",
		"/tenants/acme/delete":             "Delete tenant acme?",
		"/bans":                            "203.0.113.9",
		"/me":                              "Change password",
	} {
		a := root.get(path)
		if a.status != 200 || !strings.Contains(a.body, want) {
			t.Errorf("GET %s = %d, want 200 with %q\n%s", path, a.status, want, a.body)
		}
		for _, sign := range []string{"<no value>", "%!", "ZgotmplZ", "style=", "onclick="} {
			if strings.Contains(a.body, sign) {
				t.Errorf("GET %s holds %q", path, sign)
			}
		}
	}
}
