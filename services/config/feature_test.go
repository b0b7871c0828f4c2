package config

import (
	"encoding/json"
	"testing"

	"parley/internal/voice"
)

func TestFeatureCodesAreChecked(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	r.mustApply(demoFile)
	put := func(options map[string]string) error {
		body, err := json.Marshal(voice.Tenant{Name: "shop", Domains: []string{"shop.example"}, Options: options})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.putBody(voice.SystemTenant, voice.KindTenant, "shop", 0, string(body))
		return err
	}
	for option, c := range map[string]struct{ value, words string }{
		"feature-fly":           {"*1", "no feature"},
		"feature-dnd-on":        {"78", "no feature code"},
		"feature-pick-up":       {"*", "no feature code"},
		"feature-forward-set":   {"*7x", "no feature code"},
		"feature-group-pick-up": {"*12345678", "no feature code"},
	} {
		wantProblem(t, put(map[string]string{option: c.value}), voice.ErrInvalid, "options."+option, c.words)
	}
	wantProblem(t, put(map[string]string{"feature-dnd-on": "*5", "feature-dnd-off": "*5"}), voice.ErrInvalid, "options.feature-dnd-on", "too")
	if err := put(map[string]string{"feature-dnd-on": "#78", "feature-dnd-off": "off"}); err != nil {
		t.Error(err)
	}
}
