package contract

import "testing"

func TestScriptRef(t *testing.T) {
	for text, want := range map[string]ScriptRef{"welcome": {Name: "welcome"}, "welcome@7": {"welcome", 7}} {
		got, err := ParseScriptRef(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("ParseScriptRef(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "@3", "welcome@", "welcome@0", "welcome@-1", "welcome@x", "welcome@7@8"} {
		if got, err := ParseScriptRef(text); err == nil {
			t.Errorf("ParseScriptRef(%q) = %v, want an error", text, got)
		}
	}
}
