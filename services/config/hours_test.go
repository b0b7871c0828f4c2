package config

import (
	"encoding/json"
	"strings"
	"testing"

	"parley/internal/voice"
)

const lookedUp = `
tenants:
  - name: demo
    default: true
    business_hours:
      - name: shop
        timezone: Europe/Berlin
        times: [{days: [mon-fri], from: "09:00", to: "18:00"}]
        special_days: [{date: 12-25, name: Christmas}]
    lists:
      - name: customers
        items: {"4930123": {level: gold, language: de-DE}}
`

func TestBusinessHoursAndListsAreResources(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	r.mustApply(lookedUp)
	for _, c := range []struct {
		kind             voice.Kind
		key, body, field string
		words            string
	}{
		{voice.KindBusinessHours, "shop", `{"timezone":"Mars"}`, "timezone", "Europe/Berlin"},
		{voice.KindBusinessHours, "shop", `{"times":[{"from":"9"}]}`, "times[0].from", "HH:MM"},
		{voice.KindBusinessHours, "shop", `{"special_days":[{"date":"25.12."}]}`, "special_days[0].date", "YYYY-MM-DD"},
		{voice.KindList, "customers", `{"items":{"a":{"k":"` + strings.Repeat("x", maxOptionValue+1) + `"}}}`, "items.a.k", "bytes"},
		{voice.KindList, "customers", `{"items":{"":{}}}`, "items.", "name"},
	} {
		_, err := r.putBody("demo", c.kind, c.key, -1, c.body)
		wantProblem(t, err, voice.ErrInvalid, c.field, c.words)
	}
	res, err := r.putBody("demo", voice.KindList, "customers", -1, `{"items":{"4930123":{"level":"silver"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	var l voice.List
	if err := json.Unmarshal(res.Body, &l); err != nil || l.Items["4930123"]["level"] != "silver" || res.Version != 2 {
		t.Errorf("list = %+v of version %d, %v", l, res.Version, err)
	}
}
