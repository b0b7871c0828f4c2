package dialplan

import (
	"strings"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

func TestRingGroup(t *testing.T) {
	h := demo()
	h.dn(voice.DNExtension, "1500", "do-not-disturb=true")
	h.book["7000"] = voice.DN{Number: "7000", Type: voice.DNRingGroup, RingGroup: &voice.RingGroup{
		Strategy: voice.RingSequential, RingSeconds: 15, Overflow: "voicemail",
		Members: []voice.RingMember{{DN: "1200"}, {DN: "1500"}, {DN: "1100", Seconds: 5, Weight: 3}, {DN: "2001"}, {DN: "9000"}},
	}}
	resp, _ := resolve(h.plan(t), h.book, "demo", &contract.ResolveRequest{From: "1001", Dialled: "7000", Explain: true}, time.Now())
	if resp.Kind != contract.RouteGroup || resp.OnNoAnswer != "voicemail:7000" || resp.Group == nil || len(resp.Group.Members) != 3 {
		t.Fatalf("resolved as %+v", resp)
	}
	for i, want := range []struct {
		number, contact string
		seconds, weight int
		through         int
	}{{"1200", "", 15, 1, 0}, {"1100", "sip:10.0.0.5:5070", 5, 3, 0}, {"2001", "", 15, 1, 3}} {
		m := resp.Group.Members[i]
		if m.Number != want.number || m.Contact != want.contact || m.RingSeconds != want.seconds || m.Weight != want.weight || len(m.Trunks) != want.through {
			t.Errorf("member %d is %+v", i, m)
		}
	}
	var words []string
	for _, s := range resp.Steps {
		words = append(words, s.Rule+": "+s.Result)
	}
	for _, want := range []string{"passes over 1500, which does not want to be disturbed", "passes over 9000, which is no extension", "rings 3 of 5 members, sequential"} {
		if !strings.Contains(strings.Join(words, "\n"), want) {
			t.Errorf("no word of %q in\n%s", want, strings.Join(words, "\n"))
		}
	}
	again, refused := resolve(h.plan(t), h.book, "demo", &contract.ResolveRequest{From: "1001", Dialled: "7000", Diverted: []string{"7000"}}, time.Now())
	if again.Kind != contract.RouteReject || refused != looped.word {
		t.Errorf("a group that overflows to itself: %+v", again)
	}
}
