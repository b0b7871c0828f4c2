package cli

import (
	"strings"
	"testing"
	"time"

	"parley/internal/contract"
)

func TestResolutionReadsWell(t *testing.T) {
	var out strings.Builder
	err := printResolution(&out, &contract.ResolveResponse{
		Kind: contract.RouteTrunk, Diverted: []string{"1001", "1002"},
		Trunks: []contract.RouteTarget{{DN: "gw1", Contact: "sip:10.0.0.9", Number: "1234"}, {DN: "gw2", Contact: "sip:10.0.0.10", Number: "+491234"}},
		Steps:  []contract.ResolveStep{{Rule: `number "0 1234"`, Result: "read as 01234"}, {Rule: "trunk gw1 prefix 0", Result: "dials 1234 at sip:10.0.0.9"}},
	})
	want := ` 1  number "0 1234"      read as 01234
 2  trunk gw1 prefix 0   dials 1234 at sip:10.0.0.9

forwarded away from 1001, then 1002
=> 1234 by trunk gw1 (sip:10.0.0.9), then +491234 by trunk gw2 (sip:10.0.0.10)
`
	if err != nil || out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s(%v)", out.String(), want, err)
	}
}

func TestOutcomes(t *testing.T) {
	for want, r := range map[string]contract.ResolveResponse{
		"device 1001 where it is registered":                {Kind: contract.RouteDevice, Number: "1001"},
		"device 1001 at sip:10.0.0.5":                       {Kind: contract.RouteDevice, Number: "1001", Contact: "sip:10.0.0.5"},
		"route point 9000 with application welcome":         {Kind: contract.RoutePoint, Number: "9000", Application: "welcome"},
		"route point 9000, which has no application":        {Kind: contract.RoutePoint, Number: "9000"},
		"voicemail, which asks for the mailbox":             {Kind: contract.RouteVoicemail, Number: "5555"},
		"mailbox 1001":                                      {Kind: contract.RouteVoicemail, Number: "1001", Mailbox: "1001"},
		"rejected with 404: there is no number and no more": {Kind: contract.RouteReject, Status: 404, Reason: "there is no number and no more"},
	} {
		if got := outcome(&r); got != want {
			t.Errorf("outcome(%+v) = %q, want %q", r, got, want)
		}
	}
}

func TestMoments(t *testing.T) {
	for text, want := range map[string]time.Time{
		"":                          {},
		"2026-11-23T18:30:00Z":      time.Date(2026, 11, 23, 18, 30, 0, 0, time.UTC),
		"2026-11-23T18:30:00+01:00": time.Date(2026, 11, 23, 17, 30, 0, 0, time.UTC),
		"2026-11-23 18:30":          time.Date(2026, 11, 23, 18, 30, 0, 0, time.Local),
	} {
		if got, err := parseMoment(text); err != nil || !got.Equal(want) {
			t.Errorf("parseMoment(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	if at, err := parseMoment("tomorrow"); err == nil || !strings.Contains(err.Error(), "--at") {
		t.Errorf("parseMoment = %v, %v; want an error that names the flag", at, err)
	}
}
