package trunk

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"parley/internal/contract"
	"parley/internal/sipua"
	"parley/internal/sipua/locate"
	"parley/internal/voice"
)

// Why a trunk takes no call.
var (
	ErrUnknown = errors.New("there is no such trunk")
	ErrOut     = errors.New("the trunk is out of service")
	ErrFull    = errors.New("the trunk has as many calls as it may")
)

// maxHops bounds the targets that one call tries.
const maxHops = 8

// Exit is a call's way out by a trunk.
type Exit struct {
	DN       string
	Hops     []Hop                      // targets in the order to try; one at least
	Number   string                     // to dial there
	Caller   string                     // number to show; "" = none
	From     string                     // user of From when it is not Caller; "" = it is
	Domain   string                     // host of From, To and P-Asserted-Identity
	Patience time.Duration              // without any response, until the next target
	Account  *Account                   // who we are when challenged; nil = nobody
	Shown    func(number string) string // a number of the house in the form the trunk wants, for Diversion
	Feedback
}

// Hop is one target.
type Hop struct {
	Contact string     // SIP URI, to which the number is added
	Route   string     // Route value that leads there
	Host    netip.Addr // where it is
}

// Feedback is what a call tells of its trunk. All methods may be called from anywhere.
type Feedback interface {
	Sent()                      // an INVITE goes out; more than once is once
	Said(status int)            // a final response of 300 or more came
	Failed(hop int, why string) // that target did not take the call
	Release()                   // the call does not use the trunk any more; more than once is once
}

// Leaving is a call that wants to leave.
type Leaving struct {
	Tenant, DN string
	Number     string // as the dial plan says
	From       string // the extension that calls; "" = somebody outside
	Caller     string // number of who calls, as inside
	Domain     string // of the tenant
}

// Leave gives a call its way out and counts it among the trunk's calls, or says why there is none: ErrUnknown,
// ErrOut, ErrFull.
func (t *Table) Leave(l Leaving) (*Exit, error) {
	tr, link := t.find(l.Tenant, l.DN), t.link.Load()
	if tr == nil || link == nil {
		return nil, fmt.Errorf("%w %s", ErrUnknown, l.DN)
	}
	o := &tr.Options
	e := &Exit{
		DN: tr.DN, Number: o.Numbers.Format(l.Number, o.CalledOut), Caller: o.Numbers.Format(tr.shows(l), o.CallerOut),
		From: o.From, Domain: l.Domain, Patience: o.Patience, Account: tr.account,
		Shown: func(number string) string { return o.Numbers.Format(number, o.CallerOut) },
	}
	if o.Domain != "" {
		e.Domain = o.Domain
	}
	use := &use{trunk: tr}
	tr.mu.Lock()
	state := tr.state
	for _, g := range tr.orderLocked(locate.Answer.Targets) {
		if g.state != contract.TrunkOutOfService && len(e.Hops) < maxHops {
			e.Hops = append(e.Hops, Hop{Contact: g.key.contact, Route: tr.route(link, g), Host: g.key.at.Addr.Addr()})
			use.targets = append(use.targets, g.key)
		}
	}
	tr.mu.Unlock()
	if state == contract.TrunkOutOfService || len(e.Hops) == 0 {
		return nil, ErrOut // why is in the trunk's status; a caller is told no addresses
	}
	if !tr.counts.enter(o.Capacity) {
		return nil, ErrFull
	}
	e.Feedback = use
	return e, nil
}

// shows is the number that the one called sees, before its format: that of the extension's option cpn, that of the trunk's, or
// the number that calls. Only extensions have others than their own.
func (tr *Trunk) shows(l Leaving) string {
	if l.From == "" {
		return l.Caller
	}
	if r, ok := tr.table.dir.DN(l.Tenant, l.From); ok {
		if o, err := r.Options(); err == nil && o["TServer"][voice.OptionCPN] != "" {
			return o["TServer"][voice.OptionCPN]
		}
	}
	if tr.Options.CPN != "" {
		return tr.Options.CPN
	}
	return l.Caller
}

// route is the Route value by which front doors find the target (see sipua.Tokens).
func (tr *Trunk) route(link *Link, g *target) string { return tr.routeTo(link, g.key.at) }

func (tr *Trunk) routeTo(link *Link, at locate.Target) string {
	f := sipua.Flow{
		Door: tr.table.node, Node: tr.table.node, Transport: at.Transport, Remote: at.Addr,
		Name: at.Name, Unverified: at.Name != "" && !tr.Options.Verify,
	}
	return "<sip:" + link.Tokens.Encode(f) + "@" + routeHost + ";lr>"
}

// routeHost stands behind the token in a Route; no request ever goes there.
const routeHost = "node.parley.invalid"

// use is a call on its way by a trunk.
type use struct {
	trunk    *Trunk
	targets  []targetKey
	sent     atomic.Bool
	released atomic.Bool
}

func (u *use) Sent() {
	if !u.sent.Swap(true) {
		u.trunk.counts.created.Add(1)
	}
}

func (u *use) Said(status int) { u.trunk.counts.said(status) }

func (u *use) Failed(hop int, why string) {
	if hop < len(u.targets) {
		u.trunk.failed(u.targets[hop], why)
	}
}

func (u *use) Release() {
	if !u.released.Swap(true) {
		u.trunk.counts.calls.Add(-1)
	}
}

// Enter counts a call that came by the trunk among its calls; ok is false when it has as many as it may. leave ends
// that; more than once is once.
func (tr *Trunk) Enter() (leave func(), ok bool) {
	if !tr.counts.enter(tr.Options.Capacity) {
		return nil, false
	}
	tr.counts.received.Add(1)
	u := &use{trunk: tr}
	return u.Release, true
}

// Called is a number that the trunk calls, in the form of the house.
func (tr *Trunk) Called(number string) string {
	return tr.Options.Numbers.Format(number, tr.Options.CalledIn)
}

// Calling is a number that calls by the trunk, in the form of the house.
func (tr *Trunk) Calling(number string) string {
	return tr.Options.Numbers.Format(number, tr.Options.CallerIn)
}
