package voice

import "strings"

// Feature is something that an extension asks for by dialling a code.
type Feature string

// The features.
const (
	FeaturePickUp        Feature = "pick-up"        // what rings at the number that follows
	FeatureGroupPickUp   Feature = "group-pick-up"  // what rings at a number with the same option pickup-group
	FeatureForwardSet    Feature = "forward-set"    // all calls, to the number that follows
	FeatureForwardCancel Feature = "forward-cancel" //
	FeatureDNDOn         Feature = "dnd-on"
	FeatureDNDOff        Feature = "dnd-off"
)

// OptionPickUpGroup of an extension, in section TServer, names those whose calls its users pick up from each other.
const OptionPickUpGroup = "pickup-group"

// OptionFeature begins the options of a tenant that say by which code a feature is dialled, as in "feature-pick-up". The value
// FeatureOff is none.
const (
	OptionFeature = "feature-"
	FeatureOff    = "off"
)

// featureCodes are the codes of tenants that say nothing else.
var featureCodes = []struct {
	feature Feature
	code    string
	number  bool // one follows
}{
	{FeaturePickUp, "**", true}, {FeatureGroupPickUp, "*8", false},
	{FeatureForwardSet, "*72", true}, {FeatureForwardCancel, "*73", false}, {FeatureDNDOn, "*78", false}, {FeatureDNDOff, "*79", false},
}

// FeatureOf reads a dialled number by the options of a tenant: which feature it asks for, and the number that follows the code, if the
// feature has one. Of codes that begin alike the longest counts.
func FeatureOf(options map[string]string, dialled string) (f Feature, number string, ok bool) {
	longest := 0
	for _, c := range featureCodes {
		code := c.code
		if own := options[OptionFeature+string(c.feature)]; own != "" {
			code = own
		}
		rest, begins := strings.CutPrefix(dialled, code)
		if code == FeatureOff || !begins || len(code) <= longest || (rest != "") != c.number {
			continue
		}
		longest, f, number, ok = len(code), c.feature, rest, true
	}
	return f, number, ok
}

// FeatureOption tells whether a tenant's option of that name is a feature's code.
func FeatureOption(name string) bool {
	for _, c := range featureCodes {
		if name == OptionFeature+string(c.feature) {
			return true
		}
	}
	return false
}
