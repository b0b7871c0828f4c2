package config

import (
	"encoding/json"
	"testing"

	"parley/internal/voice"
)

func TestRoutePointOptionsAreChecked(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	r.mustApply(demoFile)
	put := func(typ voice.DNType, number, option, value string) error {
		body, err := json.Marshal(voice.DN{Number: number, Type: typ, Options: map[string]map[string]string{"TServer": {option: value}}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.putBody("demo", voice.KindDN, number, 0, string(body))
		return err
	}
	for _, c := range []struct {
		typ                  voice.DNType
		option, value, words string
	}{
		{voice.DNRoutingPoint, "answer", "never", "answer or early"},
		{voice.DNRoutingPoint, "router-timeout", "soon", "number from 1"},
		{voice.DNRoutingPoint, "router-timeout", "0", "number from 1"},
		{voice.DNRoutingPoint, "default-dn", "the desk", "not a number"},
		{voice.DNRoutingPoint, "default-dn", "9009", "itself"},
		{voice.DNExtension, "default-dn", "1001", "only a routing-point"},
		{voice.DNExtension, "router-timeout", "5", "only a routing-point"},
	} {
		wantProblem(t, put(c.typ, "9009", c.option, c.value), voice.ErrInvalid, "options.TServer."+c.option, c.words)
	}
	for option, value := range map[string]string{"answer": "early", "router-timeout": "30", "default-dn": "1001"} {
		if err := put(voice.DNRoutingPoint, "90"+value, option, value); err != nil {
			t.Errorf("%s: %s: %v", option, value, err)
		}
	}
}
