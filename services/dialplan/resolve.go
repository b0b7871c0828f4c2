package dialplan

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

const (
	maxNumber   = 64 // bytes of a dialled number
	maxDiverted = 5  // numbers that a call may be forwarded away from
)

// refusal is why a call goes nowhere: the answer's status, and a word for the metrics.
type refusal struct {
	status int
	word   string
}

// The refusals (RFC 3261 §21.4).
var (
	notFound    = refusal{404, "not_found"}
	incomplete  = refusal{484, "incomplete"}
	blocked     = refusal{403, "blocked"}
	noOutside   = refusal{403, "outside_calls"}
	looped      = refusal{482, "loop"}
	undisturbed = refusal{486, "do_not_disturb"}
	tooFar      = refusal{483, "too_many_forwards"}
)

// resolution is one resolution under way. It does no I/O and keeps nothing.
type resolution struct {
	plan    *plan
	numbers finder
	tenant  string
	at      time.Time
	explain bool

	number   string // dialled, after what was done to it so far
	caller   caller
	diverted []string
	steps    []contract.ResolveStep
	refused  string // word of the refusal; "" = none
}

// caller is in whose name a number is dialled.
type caller struct {
	number  string // "" for somebody outside
	inside  bool
	profile *profile
}

// resolve answers req for a tenant. refused is a word for the reason of a RouteReject.
func resolve(p *plan, numbers finder, tenant string, req *contract.ResolveRequest, at time.Time) (resp *contract.ResolveResponse, refused string) {
	r := resolution{plan: p, numbers: numbers, tenant: tenant, at: at, explain: req.Explain, diverted: slices.Clip(req.Diverted)}
	resp = r.begin(req)
	resp.Diverted = slices.Clip(r.diverted[len(req.Diverted):])
	resp.Steps = r.steps
	return resp, r.refused
}

func (r *resolution) begin(req *contract.ResolveRequest) *contract.ResolveResponse {
	if len(req.Dialled) > maxNumber {
		return r.refuse(notFound, "", "a number has at most "+strconv.Itoa(maxNumber)+" characters")
	}
	r.dial(req.Dialled)
	if r.explain {
		r.step("number "+strconv.Quote(req.Dialled), "read as "+r.number)
	}
	if r.number == "" {
		return r.refuse(incomplete, "", "no number was dialled")
	}
	r.caller = r.callerOf(req)
	if r.explain {
		r.explainCaller(req)
	}
	if resp := r.feature(req); resp != nil {
		return resp
	}
	return r.route()
}

// feature is what a code asks for that an extension dials, nil when it dials a number. Codes begin with * or #; a number that is
// written like one comes first.
func (r *resolution) feature(req *contract.ResolveRequest) *contract.ResolveResponse {
	if r.number[0] != '*' && r.number[0] != '#' || !r.caller.inside || len(req.Diverted) > 0 {
		return nil
	}
	if _, _, exact := r.numbers.find(r.tenant, r.number); exact {
		return nil
	}
	f, number, ok := voice.FeatureOf(r.numbers.tenantOptions(r.tenant), r.number)
	if !ok {
		return nil
	}
	if r.explain {
		r.step("feature code "+r.number, strings.TrimSpace(string(f)+" "+number))
	}
	return &contract.ResolveResponse{Kind: contract.RouteFeature, Number: number, Feature: f}
}

// dial takes a number as somebody wrote it.
func (r *resolution) dial(number string) {
	r.number = number
	if n := withoutSeparators(number); n != number {
		if _, _, exact := r.numbers.find(r.tenant, number); !exact {
			r.number = n
		}
	}
}

// separators are what people write into numbers to read them more easily (RFC 3966 §5.1.1, and the blank and slash).
const separators = " -.()/"

// withoutSeparators is a number without them. A text that has more than symbols and separators is a name and stays.
func withoutSeparators(dialled string) string {
	if voice.DialSymbols(dialled) {
		return dialled
	}
	bare := strings.Map(func(c rune) rune {
		if strings.ContainsRune(separators, c) {
			return -1
		}
		return c
	}, dialled)
	if !voice.DialSymbols(bare) {
		return dialled
	}
	return bare
}

// callerOf finds out whose permissions count. Somebody who says to be inside and is no number of the tenant is outside.
func (r *resolution) callerOf(req *contract.ResolveRequest) caller {
	if last := len(req.Diverted) - 1; last >= 0 {
		if typ, dev, ok := r.numbers.find(r.tenant, req.Diverted[last]); ok && isInside(typ) {
			return r.insider(req.Diverted[last], dev)
		}
	}
	if req.From != "" && req.Trunk == "" {
		if typ, dev, ok := r.numbers.find(r.tenant, req.From); ok && isInside(typ) {
			return r.insider(req.From, dev)
		}
	}
	out := caller{profile: r.plan.outside}
	if req.Trunk != "" {
		if _, dev, ok := r.numbers.find(r.tenant, req.Trunk); ok && dev.profile != "" {
			out.profile = r.plan.profile(dev.profile)
		}
	}
	return out
}

func (r *resolution) insider(number string, dev *device) caller {
	c := caller{number: number, inside: true, profile: r.plan.inside}
	if dev.profile != "" {
		c.profile = r.plan.profile(dev.profile)
	}
	return c
}

// isInside tells whether a number of this type is the tenant's own and not a way out.
func isInside(t voice.DNType) bool { return t != voice.DNTrunk && t != voice.DNSoftswitch }

// route follows the number until the call has somewhere to go. It ends because each round leaves one more number
// behind, of which there are few.
func (r *resolution) route() *contract.ResolveResponse {
	for {
		if box, ok := strings.CutPrefix(r.number, contract.MailboxPrefix); ok {
			return r.mailbox(box)
		}
		hit := r.rule()
		target := ""
		if hit != nil {
			if hit.block {
				return r.refuse(blocked, r.ruleName(hit), "the rule "+hit.pattern.String()+" of the dial plan blocks this number")
			}
			target = r.translate(hit)
		}
		dn := r.number
		if target != "" {
			dn = target
		}
		typ, dev, ok := r.numbers.find(r.tenant, dn)
		switch {
		case dn == "":
			return r.refuse(incomplete, "", "nothing is left of the number")
		case !ok && target != "":
			return r.refuse(notFound, r.ruleName(hit), "the number "+target+", which the dial plan names, is not there")
		case !ok:
			return r.leave(hit != nil)
		case typ == voice.DNExtension:
			if resp := r.extension(dn, dev); resp != nil {
				return resp
			}
		case typ == voice.DNRoutingPoint:
			return r.routePoint(dn, dev)
		case typ == voice.DNRingGroup:
			return r.ringGroup(dn)
		case typ == voice.DNVoicemailAccess:
			if r.explain {
				r.step("voicemail access "+dn, "asks for the mailbox")
			}
			return &contract.ResolveResponse{Kind: contract.RouteVoicemail, Number: dn}
		case target != "":
			return r.leaveBy(dn)
		default:
			return r.refuse(notFound, "trunk "+dn, "a trunk has no number to be reached at")
		}
	}
}

// rule returns the rule that decides about the number, or nil. Rules are kept by the symbols that their patterns begin
// with, and those with more of them are more specific.
func (r *resolution) rule() *rule {
	p := r.caller.profile
	if p == nil || !voice.DialSymbols(r.number) {
		return nil
	}
	var asked, inForce uint32 // partitions by index
	for begin := min(p.longest, len(r.number)); begin >= 0; begin-- {
		for _, candidate := range p.rules[r.number[:begin]] {
			if !candidate.pattern.Match(r.number) {
				continue
			}
			bit := uint32(1) << candidate.partition
			if asked&bit == 0 {
				asked |= bit
				if p.partitions[candidate.partition].inForce(r.at) {
					inForce |= bit
				}
			}
			if inForce&bit != 0 {
				return candidate
			}
			if r.explain {
				r.step(r.ruleName(candidate), "matches, but the partition is not in force on "+p.partitions[candidate.partition].clock(r.at))
			}
		}
	}
	if r.explain {
		r.step("profile "+p.name, "no rule in force for "+r.number)
	}
	return nil
}

// translate does what a rule says to the number, and returns the DN it sends the call to, "" for none.
func (r *resolution) translate(hit *rule) (target string) {
	if hit.strip > 0 || hit.prepend != "" {
		r.number = hit.prepend + r.number[hit.strip:]
	}
	if r.explain {
		what := "allows; the number is " + r.number
		if hit.target != "" {
			what += " and goes to " + hit.target
		}
		r.step(r.ruleName(hit), what)
	}
	return hit.target
}

// extension is the device of an extension, or nil when its calls are forwarded without trying it: then the number and
// the caller are those of the forwarding. One that must not be disturbed is busy.
func (r *resolution) extension(dn string, dev *device) *contract.ResolveResponse {
	to, why := dev.always, "always forwards"
	if to == "" && dev.dnd {
		to, why = dev.busy, "must not be disturbed and forwards busy calls"
	}
	switch {
	case slices.Contains(r.diverted, dn):
		return r.refuse(looped, "extension "+dn, "forwarding goes round in a ring over "+dn)
	case len(r.diverted) > maxDiverted, len(r.diverted) == maxDiverted && to != "":
		return r.refuse(tooFar, "extension "+dn, "the call was forwarded more than "+strconv.Itoa(maxDiverted)+" times")
	case to == "" && dev.dnd:
		return r.refuse(undisturbed, "extension "+dn, dn+" must not be disturbed")
	case to == "":
		if r.explain {
			r.explainDevice(dn, dev)
		}
		resp := &contract.ResolveResponse{
			Kind: contract.RouteDevice, Number: dn, Contact: dev.contact, OnBusy: dev.busy, OnNoAnswer: dev.noAnswer,
			OnOffline: dev.offline, RingSeconds: dev.ring, Options: dev.options,
		}
		if dev.through != "" {
			return r.through(dn, dev.through, resp)
		}
		return resp
	}
	if r.explain {
		r.step("extension "+dn, why+" to "+to+", which is dialled with its permissions")
	}
	r.diverted = append(r.diverted, dn)
	r.caller = r.insider(dn, dev)
	r.dial(to)
	return nil
}

// through sends the calls of an extension to the softswitch it is behind: that is inside, whatever the caller may dial.
func (r *resolution) through(dn, softswitch string, resp *contract.ResolveResponse) *contract.ResolveResponse {
	t := r.plan.byDN[softswitch]
	if t == nil || len(t.contacts) == 0 {
		return r.refuse(notFound, "extension "+dn, "the softswitch "+softswitch+", which it is behind, is not there or has no contact")
	}
	addTargets(resp, t, dn)
	return resp
}

func (r *resolution) routePoint(dn string, dev *device) *contract.ResolveResponse {
	app := r.plan.apps[dn]
	if r.explain {
		r.explainApplication(dn, app)
	}
	return &contract.ResolveResponse{Kind: contract.RoutePoint, Number: dn, Application: app, Options: dev.options}
}

func (r *resolution) mailbox(box string) *contract.ResolveResponse {
	if box == "" {
		return r.refuse(incomplete, "voicemail", "no mailbox was named")
	}
	if r.explain {
		r.step("voicemail "+box, "takes a message")
	}
	return &contract.ResolveResponse{Kind: contract.RouteVoicemail, Number: box, Mailbox: box}
}

// leave sends the number to the outside, if a trunk takes it and the caller may. allowed: a rule says that he may.
func (r *resolution) leave(allowed bool) *contract.ResolveResponse {
	var trunks []*trunk
	if voice.DialSymbols(r.number) { // rules know no others, so a letter would get a number past those that block it
		trunks = r.plan.trunksFor(r.number)
	}
	if len(trunks) == 0 {
		return r.refuse(notFound, "number "+r.number, "there is no number "+r.number+" and no trunk for it")
	}
	if !r.mayLeave(allowed) {
		return r.refuseOutside()
	}
	resp := &contract.ResolveResponse{Kind: contract.RouteTrunk, Number: r.number, Trunks: make([]contract.RouteTarget, 0, len(trunks))}
	for _, t := range trunks {
		if r.explain {
			r.explainTrunk(t, "trunk "+t.dn+" prefix "+t.prefix, t.send(r.number))
		}
		addTargets(resp, t, t.send(r.number))
	}
	return r.withTargets(resp)
}

// leaveBy sends the number out by the trunk that a rule names, as it is.
func (r *resolution) leaveBy(dn string) *contract.ResolveResponse {
	if !r.mayLeave(true) {
		return r.refuseOutside()
	}
	if r.number == "" {
		return r.refuse(incomplete, "trunk "+dn, "nothing is left of the number to dial there")
	}
	resp := &contract.ResolveResponse{Kind: contract.RouteTrunk, Number: r.number}
	if t := r.plan.byDN[dn]; t != nil {
		if r.explain {
			r.explainTrunk(t, "trunk "+dn, r.number)
		}
		addTargets(resp, t, r.number)
	}
	return r.withTargets(resp)
}

func addTargets(resp *contract.ResolveResponse, t *trunk, number string) {
	for _, c := range t.contacts {
		resp.Trunks = append(resp.Trunks, contract.RouteTarget{DN: t.dn, Contact: c, Number: number})
	}
}

func (r *resolution) withTargets(resp *contract.ResolveResponse) *contract.ResolveResponse {
	if len(resp.Trunks) == 0 {
		return r.refuse(notFound, "number "+r.number, "the trunk for it has no contact")
	}
	return resp
}

// mayLeave tells whether the caller may leave by a trunk.
func (r *resolution) mayLeave(allowed bool) bool {
	switch r.outsideCalls() {
	case voice.OutsideAllow:
		return true
	case voice.OutsideRules:
		return allowed
	}
	return false
}

func (r *resolution) outsideCalls() voice.OutsideCalls {
	switch {
	case r.caller.profile != nil && r.caller.profile.outsideCalls != "":
		return r.caller.profile.outsideCalls
	case r.caller.inside:
		return voice.OutsideAllow
	}
	return voice.OutsideBlock
}

// refuse ends the resolution with a status and a reason for people; rule is what was looked at.
func (r *resolution) refuse(why refusal, rule, reason string) *contract.ResolveResponse {
	r.refused = why.word
	if r.explain {
		if rule == "" {
			rule = "number"
		}
		r.step(rule, reason)
	}
	return &contract.ResolveResponse{Kind: contract.RouteReject, Number: r.number, Status: why.status, Reason: reason}
}

func (r *resolution) refuseOutside() *contract.ResolveResponse {
	switch {
	case r.outsideCalls() == voice.OutsideRules:
		return r.refuse(noOutside, r.callerName(), "only numbers that a rule allows may leave by a trunk")
	case r.caller.inside:
		return r.refuse(noOutside, r.callerName(), "its calling profile does not allow calls to the outside")
	}
	return r.refuse(noOutside, r.callerName(), "a call from outside may not leave by a trunk")
}
