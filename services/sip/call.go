package sip

import (
	"cmp"
	"net/netip"
	"strconv"
	"sync/atomic"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/sipua"
	"parley/internal/voice"
	"parley/services/sip/snapshot"
	"parley/services/sip/trunk"
)

// side is an end of a call.
type side int

const (
	caller side = iota
	callee
)

func (s side) other() side { return 1 - s }

// String is how the side appears in a CDR.
func (s side) String() string {
	if s == caller {
		return "caller"
	}
	return "callee"
}

// phase is how far a call is.
type phase int

const (
	routing  phase = iota // nobody has been called yet
	queued                // at a route point, and nobody is being called
	alerting              // some place is being called
	answered              // the 200 went to the caller, whose ACK is awaited
	talking
	over // nothing new happens; what is under way ends
)

// party is who calls, as it was proved.
type party struct {
	number  string // of the extension; "" for a caller outside
	display string // display name as sent, without quotes
	shown   string // number to show
	trunk   string
	dialled string    // "" = as in the Request-URI
	leave   func()    // gives back the place among the calls of trunk; nil = it has none
	takes   *takeover // whose place he wants; nil = he calls
}

// outside tells whether the caller is no number of ours. Whoever calls from behind a softswitch may be one.
func (p *party) outside() bool { return p.trunk != "" && p.number == "" }

// way is the trunk that decides what a caller may dial; "" for a caller inside.
func (p *party) way() string {
	if p.outside() {
		return p.trunk
	}
	return ""
}

// call is one call. After it was made its fields belong to its mailbox.
type call struct {
	*mailbox // shared by all calls of a conversation, and of those it came from
	w        world
	cfg      *Config

	id      identity      // of this call alone, for what is named after it: dialogs, participants of a room
	conv    *conversation // what its events are about
	as      [2]*standing  // how a side appears there, when that is not who called and who was called
	from    party
	dialled string
	domain  string // SIP domain of the tenant, for From and To
	contact string // our Contact value

	invite *sip.Request // the caller's, with tx until its answer is confirmed
	tx     sipua.ServerTx
	phase  phase
	legs   [2]*leg
	hosts  [2]netip.Addr // where the SIP of each side comes from
	audio  *audio        // nil until there is something to say about it
	direct bool          // audio may go from phone to phone, as far as SIP tells

	device       device // of the caller
	calledDevice device // of the place whose audio is talked about

	plan     *contract.ResolveResponse // what is being tried
	forwards int
	diverted []string
	trunks   []contract.RouteTarget // still to try
	exit     *trunk.Exit            // the trunk it leaves by; nil = none
	hop      int                    // the target of exit that is tried
	silence  func()                 // stops the timer of a target that says nothing
	branches []*branch              // of the attempt in progress and those before whose end is awaited
	current  int                    // index of the attempt's first branch
	contacts int                    // places it calls
	best     outcome                // the final response that says most, of the attempt
	noAnswer func()                 // stops the timer
	alive    func()                 // stops the timer of the next provisional response
	life     func()                 // stops the timer that ends the longest call
	late     bool                   // the attempt ended because nobody answered

	offered bool      // the caller's INVITE has an offer
	deal    deal      // how far the caller's first offer is
	shown   *early    // whose session description the caller has
	owed    bool      // he must be told another one once the call is answered
	rel     announcer // provisional responses to the caller

	repeats  [2]*repeat // 2xx of ours that waits for its ACK, by side
	unacked  [2]uint32  // CSeq of our INVITE to that side whose 2xx is not acknowledged yet; 0 = none
	acks     [2]ack     // the last we sent, by side
	offer    *relayed   // a change of the session under way
	renewals [2]*renewal
	pending  int // requests of ours without final response

	rings  string   // DN that EventRinging was published for; "" = none
	group  *group   // the ring group it is at; nil = none
	chorus []string // members of it that ring beside rings
	left   bool     // out of the tables

	origin     *origin      // a side is being called for whom a call is made; nil = none
	borrowed   bool         // the caller's side is one of about, which it consults about
	about      *call        // of a consultation: the call it is about
	consult    *call        // the consultation about this call; nil = none
	parked     [2]bool      // the side put the other one on hold, by a request
	muted      [2]func()    // ends the silence that stands for what the side says; nil = it is heard
	made       int          // legs made so far
	returns    []func()     // gives back the places of parties at their trunks
	tone       func()       // ends the ring-back that one hears for whom a place is called; nil = there is none
	untold     bool         // the caller holds whom he does not have yet
	by         *by          // who brought in the one who is called; nil = who calls
	joinedFrom string       // ConnID it had before it was merged into its conversation
	watches    *supervision // it is to a supervisor who is in a call of somebody; nil = it is not

	takes   *takeover // the place that the caller wants, once he has confirmed that he is answered; nil = none
	inRoom  bool      // its parties are in a conference
	desk    *desk     // the route point it is at; nil = none
	taken   bool      // the caller was answered there, and has nobody to talk to yet
	awaited bool      // his ACK has the answer to an offer of ours

	keep     *snapshot.Writer // of what another node needs to go on; nil = nothing is kept
	unsaved  bool             // it changed since
	vanished bool             // another node has it

	hearing hearing
	view    atomic.Pointer[contract.LiveCall]
}

// identity is what names a call.
type identity struct {
	uuid   string // for reporting, 32 hex digits
	conn   string // ConnID, 16 hex digits
	number uint64 // CallID of T-Library
	tenant string
	node   string
	kind   voice.CallType
}

// outcome is a final answer.
type outcome struct {
	status int
	reason string
	res    *sip.Response // of the place called; nil when the answer is ours
	header string        // Reason of the BYEs, when there is a better one than the words
	as     voice.Outcome // of a call that ended at a route point, where the status does not say
}

// begin routes the call.
func (c *call) begin() {
	again := c.conv != nil // another node had begun it
	c.converse()
	c.rel = newAnnouncer(c.invite, c.w.id())
	c.device = c.callerDevice(string(sourceTransport(c.invite)))
	if c.offered = isSDP(c.invite); !c.offered {
		c.deal = dealOpen
	}
	defer c.show()
	c.life = c.w.after(c.cfg.MaxDuration, func() { c.must(c.tooLong) })
	if t := c.from.takes; t != nil {
		c.pickUp(t)
		return
	}
	if !again {
		c.publish(voice.EventDialing, caller, voice.StateOk, func(e *voice.CallEvent) { e.OtherDN = c.dialled })
	}
	c.route(c.dialled)
}

// tooLong is the end of the longest call there may be; it also ends one that is stuck.
func (c *call) tooLong() {
	if c.phase < answered {
		c.fail(outcome{status: 408, reason: "the call took too long to set up"})
		return
	}
	c.hangUp("the longest time of a call is over", "system", outcome{status: 200})
}

// route asks what number means and goes there.
func (c *call) route(number string) {
	c.phase = routing
	req := &contract.ResolveRequest{Tenant: c.id.tenant, From: c.from.number, Trunk: c.from.way(), Dialled: number, At: c.w.now(), Diverted: c.diverted}
	c.w.resolve(req, func(plan *contract.ResolveResponse, err error) {
		c.must(func() {
			if c.phase == over {
				return
			}
			if err != nil {
				c.noWay(outcome{status: 503, reason: "no dial plan answers"})
				return
			}
			c.follow(plan)
		})
	})
}

// follow does what the dial plan says.
func (c *call) follow(plan *contract.ResolveResponse) {
	defer c.show()
	c.plan, c.trunks, c.late, c.best, c.shown = plan, nil, false, outcome{}, nil
	c.current = len(c.branches)
	c.leaveTrunk()
	c.diverted = append(c.diverted, plan.Diverted...)
	switch plan.Kind {
	case contract.RouteDevice:
		c.callDevice()
	case contract.RouteTrunk:
		if c.conv.id.kind == voice.CallInternal {
			c.conv.id.kind = voice.CallOutbound
		}
		c.leaveByTrunk(plan.Trunks)
	case contract.RoutePoint:
		c.toQueue()
	case contract.RouteFeature:
		c.feature(plan.Feature, plan.Number)
	case contract.RouteGroup:
		c.callGroup()
	case contract.RouteReject:
		c.noWay(outcome{status: plan.Status, reason: plan.Reason})
	default:
		c.noWay(outcome{status: 480, reason: "nothing serves " + string(plan.Kind) + " " + plan.Number + " yet"})
	}
}

// callDevice rings a device: its fixed contact, or all it registered.
func (c *call) callDevice() {
	if len(c.plan.Trunks) > 0 {
		c.leaveByTrunk(c.plan.Trunks)
		return
	}
	if c.plan.Contact != "" {
		c.ring([]contract.Binding{{Contact: c.plan.Contact}}, "")
		return
	}
	c.w.bindings(c.id.tenant, c.plan.Number, func(bs []contract.Binding, err error) {
		c.must(func() {
			switch {
			case c.phase == over:
			case err != nil:
				c.noWay(outcome{status: 503, reason: "the registrar does not answer"})
			case len(bs) == 0:
				c.unreached(outcome{status: 480, reason: "not registered"}, c.plan.OnOffline, voice.StateForwarded)
			default:
				c.ring(bs, "")
			}
		})
	})
}

func (o outcome) orElse(status int, reason string) outcome {
	if o.status == 0 {
		return outcome{status: status, reason: reason}
	}
	return o
}

// unreached ends an attempt that nobody answered: the call goes on to number, or fails.
func (c *call) unreached(o outcome, number string, state voice.CallState) {
	c.stopNoAnswer()
	if c.passedOver(state) {
		return
	}
	if number == "" || c.forwards >= c.cfg.MaxForwards || c.origin != nil {
		c.noWay(o)
		return
	}
	c.forwards++
	c.diverted = append(c.diverted, c.plan.Number)
	if c.rings != "" {
		c.publish(voice.EventDiverted, callee, state, func(e *voice.CallEvent) { e.ThirdPartyDN = number })
		c.rings = ""
	}
	c.route(number)
}

// fail answers the caller's INVITE with a final status; the call is over.
func (c *call) fail(o outcome) {
	if c.phase >= answered {
		return
	}
	switch {
	case c.orphaned(): // there is no INVITE to answer
		c.closeOrphan()
		return
	case c.origin != nil:
		c.notMade(o)
		return
	case c.about != nil:
		c.notConsulted(o)
		return
	case c.taken:
		if c.desk == nil {
			c.busyTone(o)
		}
		c.hangUp(o.reason, "system", outcome{status: 200, as: cmp.Or(o.as, outcomeOf(o.status, c.late, false))})
		return
	}
	c.stopNoAnswer()
	if o.res != nil {
		switch o.status { // what the place called said to us, not to the caller (RFC 3261 §16.7, item 6)
		case 401, 407, 422, 503:
			o.status, o.reason = 500, "the place called said "+strconv.Itoa(o.status)
		}
	}
	res := c.legs[caller].respond(c.invite, o.status, reasonOf(o))
	if o.res != nil {
		passResponse(o.res, res)
	} else if o.reason != "" {
		res.AppendHeader(sip.NewHeader("Warning", warning(o.reason)))
	}
	if o.status == 503 && o.res == nil {
		res.AppendHeader(sip.NewHeader("Retry-After", retryAfter))
	}
	c.finalAnswer(res)
	c.cancelBranches("")
	c.failed(o)
	by := "system"
	if o.res != nil {
		by = callee.String()
	}
	c.finish(o, by)
}

// finalAnswer ends the caller's INVITE with a status of 300 or more. A phone that had answered by then is hung up: its 2xx
// waited for a PRACK of the caller.
func (c *call) finalAnswer(res *sip.Response) {
	c.stopAlive()
	c.rel.halt()
	c.tx.Respond(res)
	if l := c.legs[callee]; l != nil {
		c.bye(l, "")
	}
}

// failed publishes what the parties see of a call that nobody answered.
func (c *call) failed(o outcome) {
	state := stateOf(o.status, c.late)
	if c.rings != "" {
		c.publish(voice.EventReleased, callee, state, nil)
	}
	if state == voice.StateBusy || o.status == 404 || o.status == 604 {
		c.publish(voice.EventDestinationBusy, caller, state, nil)
	}
	c.publish(voice.EventReleased, caller, state, nil)
	c.leftQueue(voice.StateCleared)
}

// abandon is the caller's CANCEL, or the loss of his INVITE. reason is what the CANCEL says.
func (c *call) abandon(reason string) {
	if c.phase >= answered {
		return
	}
	c.stopNoAnswer()
	o := outcome{status: 487, reason: "the caller gave up", as: voice.OutcomeAbandoned}
	c.endConsult("the caller gave up")
	if c.taken {
		o.status = 200
	} else {
		c.finalAnswer(c.legs[caller].respond(c.invite, 487, "Request Terminated"))
	}
	c.cancelBranches(reason)
	c.publish(voice.EventReleased, caller, voice.StateOk, nil)
	if c.rings != "" {
		c.publish(voice.EventAbandoned, callee, voice.StateOk, nil)
	}
	c.leftQueue(voice.StateOk)
	c.finish(o, caller.String())
}

// finish writes the record and ends the call when nothing of it is under way any more.
func (c *call) finish(o outcome, by string) {
	c.phase = over
	c.groupGone()
	c.leaveQueue()
	c.show()
	c.stopRepeats()
	c.stopAlive()
	c.leaveTrunk()
	if c.from.leave != nil {
		c.from.leave()
	}
	for _, back := range c.returns {
		back()
	}
	c.returns = nil
	for s, l := range c.legs {
		if l != nil && !(c.borrowed && side(s) == caller) {
			l.timer.halt()
		}
	}
	if r := c.offer; r != nil { // RFC 3261 §15.1.2: what is pending gets 487
		r.tx.Respond(c.back(r, 487, "Request Terminated"))
	}
	if c.inRoom {
		c.leaveRoom()
	}
	c.unmute(caller)
	c.unmute(callee)
	c.closeAudio()
	c.tellVoice(true)
	c.life()
	if c.leaveConversation() {
		c.conv.recorded(c, c.cdr(o, by))
	} else {
		c.conv.thinned()
	}
	c.leave()
}

// leave takes the call out of the tables once every request of ours has its final response: until then the peers may still
// say something that belongs to it.
func (c *call) leave() {
	if c.phase != over || c.pending > 0 || c.left {
		return
	}
	c.left = true
	if c.keep != nil {
		c.keep.End(c.id.uuid)
	}
	if w := c.watches; w != nil {
		c.w.supervisionOver(&w.monitor)
	}
	for _, b := range c.branches {
		c.w.shut(b.leg.callID)
	}
	for s, l := range c.legs {
		if l != nil && !(c.borrowed && side(s) == caller) {
			c.w.shut(l.callID)
		}
	}
	// The transaction of our INVITE holds the call for half a minute more, for a 2xx that comes again.
	c.branches, c.offer, c.invite, c.tx, c.audio = nil, nil, nil, nil, nil
	c.view.Store(nil)
	c.w.ended(c)
}

// settle lets go of what a call that talks does not need any more, since most of its life is still to come.
func (c *call) settle() {
	var kept []*branch
	for _, b := range c.branches {
		if b.leg != c.legs[callee] && b.leg != c.legs[caller] {
			c.w.shut(b.leg.callID)
		} else {
			kept = append(kept, b)
			b.earlies, b.tx = []*early{{leg: b.leg}}, nil // another phone beyond the one that answered may do so, too
		}
	}
	c.branches = kept
	for _, l := range c.legs {
		if l != nil {
			l.compact()
		}
	}
	c.audio.compact()
	c.invite, c.tx, c.shown, c.rel, c.best, c.trunks, c.diverted = nil, nil, nil, announcer{}, outcome{}, nil, nil
}
