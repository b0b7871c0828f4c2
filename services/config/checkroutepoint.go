package config

import "parley/internal/voice"

// This file holds what is known of route points: the options that the SIP node reads.

func checkRoutePoint(r *report, d *voice.DN) {
	const section = "options.TServer."
	o := d.Options["TServer"]
	if d.Type != voice.DNRoutingPoint {
		for _, name := range []string{voice.OptionRouterTimeout, voice.OptionDefaultDN} {
			if _, given := o[name]; given {
				r.bad(section+name, "only a routing-point has this option; this is %s", article(string(d.Type)))
			}
		}
		return
	}
	_, problems := voice.ParseRoutePointOptions(o)
	for _, p := range problems {
		r.bad(section+p.Field, "%s", p.Reason)
	}
	if to := o[voice.OptionDefaultDN]; to != "" && to == d.Number {
		r.bad(section+voice.OptionDefaultDN, "is the route point itself")
	}
}
