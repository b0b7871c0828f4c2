package dialplan

import (
	"strconv"
	"strings"
	"time"

	"parley/internal/contract"
)

// This file holds the words of a resolution. Nothing here runs unless somebody asked for them.

func (r *resolution) step(rule, result string) {
	r.steps = append(r.steps, contract.ResolveStep{Rule: rule, Result: result})
}

func (r *resolution) explainApplication(dn, app string) {
	if app == "" {
		r.step("route point "+dn, "has no application")
		return
	}
	r.step("route point "+dn, "runs "+app)
}

func (r *resolution) callerName() string {
	if r.caller.number == "" {
		return "caller outside"
	}
	return "caller " + r.caller.number
}

func (r *resolution) explainCaller(req *contract.ResolveRequest) {
	var words []string
	switch {
	case len(req.Diverted) > 0 && r.caller.number == req.Diverted[len(req.Diverted)-1]:
		words = append(words, "forwarded the call, so its permissions count")
	case r.caller.inside:
		words = append(words, "is inside")
	case req.Trunk != "":
		words = append(words, "came by trunk "+req.Trunk)
	case req.From != "":
		words = append(words, req.From+" is no extension of the tenant")
	default:
		words = append(words, "is nobody known")
	}
	if p := r.caller.profile; p != nil {
		words = append(words, "calling profile "+p.name)
	} else {
		words = append(words, "no calling profile")
	}
	words = append(words, "outside calls: "+string(r.outsideCalls()))
	r.step(r.callerName(), strings.Join(words, "; "))
}

func (r *resolution) explainDevice(dn string, dev *device) {
	words := []string{"rings its registered contacts"}
	if dev.contact != "" {
		words[0] = "rings " + dev.contact
	}
	if dev.through != "" {
		words[0] = "is reached through softswitch " + dev.through
	}
	if dev.ring > 0 {
		words[0] += " for " + strconv.Itoa(dev.ring) + " s"
	}
	for _, f := range []struct{ when, to string }{{"busy", dev.busy}, {"no answer", dev.noAnswer}, {"not registered", dev.offline}} {
		if f.to != "" {
			words = append(words, "on "+f.when+" to "+f.to)
		}
	}
	r.step("extension "+dn, strings.Join(words, "; "))
}

func (r *resolution) explainTrunk(t *trunk, rule, number string) {
	if len(t.contacts) == 0 {
		r.step(rule, "has no contact")
		return
	}
	r.step(rule, "dials "+number+" at "+strings.Join(t.contacts, ", then "))
}

func (r *resolution) ruleName(hit *rule) string {
	return "rule " + hit.pattern.String() + " of partition " + r.caller.profile.partitions[hit.partition].name
}

// clock is a time as the partition sees it.
func (p *partition) clock(at time.Time) string { return at.In(p.zone).Format("Mon 15:04 MST") }
