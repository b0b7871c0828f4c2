package dialplan

import (
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

func TestFeatureCodes(t *testing.T) {
	h := demo()
	h.dn(voice.DNExtension, "*8", "contact=*") // a number that is written like a code
	p := h.plan(t)
	for _, c := range []struct {
		from, dialled string
		kind          contract.RouteKind
		feature       voice.Feature
		number        string
	}{
		{"1001", "**1002", contract.RouteFeature, voice.FeaturePickUp, "1002"},
		{"1001", "*721003", contract.RouteFeature, voice.FeatureForwardSet, "1003"},
		{"1001", "*73", contract.RouteFeature, voice.FeatureForwardCancel, ""},
		{"1001", "#79", contract.RouteFeature, voice.FeatureDNDOff, ""}, // the tenant's own
		{"1001", "*78", contract.RouteReject, "", "*78"},                // off
		{"1001", "*731", contract.RouteReject, "", "*731"},              // nothing follows that code
		{"1001", "**", contract.RouteReject, "", "**"},
		{"1001", "*8", contract.RouteDevice, "", "*8"},
		{"", "**1002", contract.RouteReject, "", "**1002"}, // a stranger
	} {
		resp, _ := resolve(p, h.book, "demo", &contract.ResolveRequest{From: c.from, Dialled: c.dialled, Explain: true}, time.Now())
		if resp.Kind != c.kind || resp.Feature != c.feature || resp.Number != c.number {
			t.Errorf("%s dials %s: %s %s %s, want %s %s %s", c.from, c.dialled, resp.Kind, resp.Feature, resp.Number, c.kind, c.feature, c.number)
		}
	}
}
