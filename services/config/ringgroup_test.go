package config

import (
	"encoding/json"
	"testing"

	"parley/internal/voice"
)

func TestRingGroupsAreChecked(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	r.mustApply(demoFile)
	put := func(typ voice.DNType, g *voice.RingGroup) error {
		body, err := json.Marshal(voice.DN{Number: "7000", Type: typ, RingGroup: g})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.putBody("demo", voice.KindDN, "7000", 0, string(body))
		return err
	}
	one := []voice.RingMember{{DN: "1001"}}
	for _, c := range []struct {
		typ          voice.DNType
		group        *voice.RingGroup
		field, words string
	}{
		{voice.DNRingGroup, nil, "ring_group", "missing"},
		{voice.DNExtension, &voice.RingGroup{Members: one}, "ring_group", "only a ring-group"},
		{voice.DNRingGroup, &voice.RingGroup{}, "ring_group.members", "want 1 to"},
		{voice.DNRingGroup, &voice.RingGroup{Members: one, Strategy: "loudest"}, "ring_group.strategy", "not a strategy"},
		{voice.DNRingGroup, &voice.RingGroup{Members: append(one, one...)}, "ring_group.members[1].dn", "twice"},
		{voice.DNRingGroup, &voice.RingGroup{Members: []voice.RingMember{{DN: "7000"}}}, "ring_group.members[0].dn", "itself"},
		{voice.DNRingGroup, &voice.RingGroup{Members: []voice.RingMember{{DN: "1001", Weight: -1}}}, "ring_group.members[0].weight", "not a weight"},
		{voice.DNRingGroup, &voice.RingGroup{Members: one, RingSeconds: -1}, "ring_group.ring_seconds", "number of seconds"},
		{voice.DNRingGroup, &voice.RingGroup{Members: one, Overflow: "7000"}, "ring_group.overflow", "itself"},
		{voice.DNRingGroup, &voice.RingGroup{Members: one, Overflow: "the desk"}, "ring_group.overflow", "neither a number"},
	} {
		wantProblem(t, put(c.typ, c.group), voice.ErrInvalid, c.field, c.words)
	}
	if err := put(voice.DNRingGroup, &voice.RingGroup{Members: []voice.RingMember{{DN: "4711"}}}); err == nil {
		t.Error("a member that is not there was taken")
	}
	if err := put(voice.DNRingGroup, &voice.RingGroup{Members: one, Overflow: "1001"}); err != nil {
		t.Error(err)
	}
}
