package sip

import (
	"parley/internal/contract"
	"parley/internal/voice"
)

// Features are asked for by dialling a code, which the dial plan knows. Picking up gives the caller a call that rings elsewhere on
// this node. What concerns his own number is asked of the front end as a request of his; a beep says that it is done.

// feature does what the code that the caller dialled asks for.
func (c *call) feature(f voice.Feature, number string) {
	if c.solo() || c.invite == nil {
		c.noWay(outcome{status: 480, reason: "a feature code is dialled at a phone"})
		return
	}
	switch f {
	case voice.FeaturePickUp:
		c.pickUpAt(c.w.ringing(c.id.tenant, number, ""), "nothing rings at "+number)
	case voice.FeatureGroupPickUp:
		c.pickUpAt(c.w.ringing(c.id.tenant, "", c.from.number), "nothing rings in the pick-up group of "+c.from.number)
	case voice.FeatureForwardSet:
		c.askForMe(&voice.Request{Name: voice.RequestCallForwardSet, OtherDN: number, Forward: voice.ForwardUnconditional})
	case voice.FeatureForwardCancel:
		c.askForMe(&voice.Request{Name: voice.RequestCallForwardCancel, Forward: voice.ForwardUnconditional})
	case voice.FeatureDNDOn:
		c.askForMe(&voice.Request{Name: voice.RequestSetDNDOn})
	case voice.FeatureDNDOff:
		c.askForMe(&voice.Request{Name: voice.RequestSetDNDOff})
	default:
		c.noWay(outcome{status: 480, reason: "nothing serves " + string(f) + " yet"})
	}
}

// pickUpAt takes the first of the calls with those ConnIDs that this node has.
func (c *call) pickUpAt(conns []string, none string) {
	for _, conn := range conns {
		if other := c.w.named(c.id.tenant, conn); other != nil && other.mailbox != c.mailbox {
			c.pickUp(&takeover{call: other, side: callee, state: voice.StatePickedUp})
			return
		}
	}
	c.noWay(outcome{status: 480, reason: none})
}

// askForMe has a request about the caller's own number carried out.
func (c *call) askForMe(req *voice.Request) {
	req.Tenant, req.ThisDN, req.User = c.id.tenant, c.from.number, c.from.number
	c.w.request(req, func(a *contract.RequestAnswer, err error) {
		c.must(func() {
			switch {
			case c.phase == over:
			case err != nil:
				c.noWay(outcome{status: 503, reason: "the front end does not answer"})
			case a.Error != nil && a.Error.Code != voice.TErrAlreadyInState: // it is as he wants it
				c.noWay(outcome{status: 480, reason: a.Error.Message})
			default:
				c.confirmTo()
			}
		})
	})
}

// confirmTo answers the caller, lets him hear a beep, and ends the call.
func (c *call) confirmTo() {
	c.pickUp(&takeover{then: func() {
		c.playAlone(c.w.beep(), func(error) { c.hangUp("it is done", "system", outcome{status: 200}) })
	}})
}
