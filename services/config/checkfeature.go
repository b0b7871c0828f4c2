package config

import (
	"strings"

	"parley/internal/voice"
)

const maxCode = 8 // symbols of a feature code

// checkFeatures checks the options of a tenant that say by which codes features are dialled.
func checkFeatures(r *report, t *voice.Tenant) {
	seen := map[string]string{}
	for _, name := range sortedKeys(t.Options) {
		if !strings.HasPrefix(name, voice.OptionFeature) {
			continue
		}
		code := t.Options[name]
		switch {
		case !voice.FeatureOption(name):
			r.bad("options."+name, "there is no feature of that name")
		case code == voice.FeatureOff:
		case len(code) < 2 || len(code) > maxCode || code[0] != '*' && code[0] != '#' || !voice.DialSymbols(code):
			r.bad("options."+name, "%.64q is no feature code; want * or # and what follows, of %d symbols at most, or %s", code, maxCode, voice.FeatureOff)
		case seen[code] != "":
			r.bad("options."+name, "is the code of %s, too", seen[code])
		default:
			seen[code] = name
		}
	}
}
