package script

import (
	"crypto/rand"
	"fmt"
	"strings"

	"parley/e2e/phone"
)

// Subscribe asks to be told of an event package of a number (RFC 6665), with credentials where it is asked for them, and takes the
// final answer. NOTIFYs of the dialog are taken by [Dialog.Request].
func (p *Phone) Subscribe(number, event string, expires int, headers ...string) (*Dialog, *phone.Message) {
	p.t.Helper()
	c := &Dialog{
		p: p, ID: rand.Text() + "@phone.invalid", target: "sip:" + number + "@" + p.Domain,
		local: fmt.Sprintf("<sip:%s@%s>;tag=%s", p.User, p.Domain, rand.Text()), remote: fmt.Sprintf("<sip:%s@%s>", number, p.Domain),
	}
	headers = append([]string{"Event: " + event, fmt.Sprintf("Expires: %d", expires)}, headers...)
	res := c.Ask("SUBSCRIBE", "", headers...)
	for _, v := range res.Headers["proxy-authenticate"] {
		if ch, ok := phone.ParseChallenge(v); ok && strings.EqualFold(ch.Algorithm, "MD5") && p.Password != "" {
			res = c.Ask("SUBSCRIBE", "", append(headers, "Proxy-Authorization: "+ch.Answer("SUBSCRIBE", c.target, p.User, p.Password, rand.Text(), 1))...)
			break
		}
	}
	if res.Status/100 == 2 {
		c.took(res)
	}
	return c, res
}

// Renew asks for more time, or with 0 for no more.
func (c *Dialog) Renew(event string, expires int) *phone.Message {
	c.p.t.Helper()
	return c.Ask("SUBSCRIBE", "", "Event: "+event, fmt.Sprintf("Expires: %d", expires))
}

// On is the dialog as it goes on by another connection of the phone.
func (c *Dialog) On(p *Phone) *Dialog {
	other := *c
	other.p = p
	return &other
}
