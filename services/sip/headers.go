package sip

import (
	"slices"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua"
	"parley/internal/sipua/object"
	"parley/internal/sipua/wire"
)

// What is carried from one leg to the other; everything else stays where it came from (topology hiding). Extensions are
// agreed with each leg by itself: session timers (RFC 4028), reliable provisional responses (RFC 3262).
var passed = struct{ request, response, body []string }{
	request:  []string{"Subject", "Privacy", "Reason", "Accept", "Info-Package"},
	response: []string{"Reason", "Retry-After", "Accept"},
	body:     []string{"Content-Type", "Content-Disposition"},
}

// Option tags of what the node can do.
const (
	tagTimer    = "timer"    // RFC 4028
	tagReliable = "100rel"   // RFC 3262
	tagReplaces = "replaces" // RFC 3891
)

// pass copies header fields.
func pass(from, to sip.Message, names ...string) {
	for _, name := range names {
		for value := range object.Values(from, name) {
			to.AppendHeader(sip.NewHeader(name, value))
		}
	}
}

// passOn copies what of the caller's INVITE concerns the places called, if there is one still.
func (c *call) passOn(req *sip.Request) {
	if c.invite != nil {
		passRequest(c.invite, req)
	}
}

// hops is the Max-Forwards of an INVITE for a place that is called.
func (c *call) hops() int {
	if c.invite == nil {
		return maxHops
	}
	return hopsLeft(c.invite)
}

func passRequest(from, to *sip.Request) { pass(from, to, passed.request...) }

// passResponse copies what goes on. A Warning names the host that warns (RFC 3261 §20.43), which is nobody's business.
func passResponse(from, to *sip.Response) {
	pass(from, to, passed.response...)
	for _, h := range from.GetHeaders("Warning") {
		code, rest, _ := strings.Cut(strings.TrimSpace(h.Value()), " ")
		if _, text, ok := strings.Cut(rest, `"`); ok && len(code) == 3 {
			to.AppendHeader(sip.NewHeader("Warning", code+` parley "`+clean(text)+`"`))
		}
	}
}

func tags(m sip.Message, name string) (out []string) {
	for value := range object.Values(m, name) {
		for t := range strings.SplitSeq(value, ",") {
			if t = strings.ToLower(strings.TrimSpace(t)); t != "" {
				out = append(out, t)
			}
		}
	}
	return out
}

// wants tells whether a message names an option tag in Supported or Require.
func wants(m sip.Message, tag string) bool {
	return slices.Contains(tags(m, "Supported"), tag) || slices.Contains(tags(m, "Require"), tag)
}

// unsupported lists what a request requires and we cannot do (RFC 3261 §8.2.2.3); "" = nothing.
func unsupported(req *sip.Request) string {
	var out []string
	for _, t := range tags(req, "Require") {
		if t != tagTimer && t != tagReliable && t != tagReplaces {
			out = append(out, t)
		}
	}
	return strings.Join(out, ", ")
}

// hopsLeft is the Max-Forwards of what follows from req; the front door has refused requests without any left.
func hopsLeft(req *sip.Request) int {
	if h := req.MaxForwards(); h != nil && h.Val() > 0 {
		return int(h.Val()) - 1
	}
	return maxHops
}

// header is the value of the first header field of that name, "" if there is none.
func header(m sip.Message, name string) string { return object.Value(m, name) }

// reasonsOf joins the Reason values of a message, one a protocol (RFC 3326).
func reasonsOf(m sip.Message) string {
	var out []string
	for _, h := range m.GetHeaders("Reason") {
		out = append(out, h.Value())
	}
	return strings.Join(out, ", ")
}

func tenantOf(req *sip.Request) string { return header(req, sipua.HeaderTenant) }

// callerAddress is From as the called see it: number and domain are what they know the caller by. Who asked for privacy (RFC 3323 §4.1, RFC 3325 §9.3) is anonymous.
func (c *call) callerAddress(number, domain, tag string) string {
	if c.private() {
		return `"Anonymous" <sip:anonymous@anonymous.invalid>;tag=` + tag
	}
	from := "<sip:" + userPart(number) + "@" + domain + ">;tag=" + tag
	if c.from.display != "" {
		return `"` + clean(c.from.display) + `" ` + from
	}
	return from
}

// private tells whether the caller does not want to be shown: he asks for it, or writes the From of those who do (RFC 3323 §4.1.1.3).
func (c *call) private() bool {
	if c.invite == nil { // he has shown himself by now, or is called for whom a call is made
		return false
	}
	if strings.EqualFold(c.invite.From().Address.Host, "anonymous.invalid") {
		return true
	}
	for _, p := range strings.Split(header(c.invite, "Privacy"), ";") {
		switch strings.ToLower(strings.TrimSpace(p)) {
		case "id", "user", "header":
			return true
		}
	}
	return false
}

// assertCaller says who calls, to those who may know (RFC 3325 §5). What the caller wrote there himself was not passed. A carrier
// is trusted, here as with what it says itself: it is told of private callers, too, with the word not to tell (§7, §9.3).
func (c *call) assertCaller(number, domain string, req *sip.Request, trusted bool) {
	private := c.private()
	if number == "" || private && !trusted {
		return
	}
	req.AppendHeader(sip.NewHeader("P-Asserted-Identity", "<sip:"+userPart(number)+"@"+domain+">"))
	if private && req.GetHeader("Privacy") == nil {
		req.AppendHeader(sip.NewHeader("Privacy", "id"))
	}
}

// userPart escapes what may not stand in the user part of a URI (RFC 3261 §25.1).
func userPart(s string) string {
	plain := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.!~*'()&=+$,;?/", c) >= 0
	}
	var b strings.Builder
	for i := range len(s) {
		if plain(s[i]) {
			b.WriteByte(s[i])
		} else {
			const hex = "0123456789ABCDEF"
			b.WriteByte('%')
			b.WriteByte(hex[s[i]>>4])
			b.WriteByte(hex[s[i]&15])
		}
	}
	return b.String()
}

// unescape undoes the %-escapes of a user part.
func unescape(user string) string { return wire.Unescape([]byte(user)) }

// clean makes text fit for a quoted string: no controls, quotes and backslashes.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '"' || r == '\\' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// warning is a Warning value (RFC 3261 §20.43) that tells a person why.
func warning(text string) string { return `399 parley "` + clean(text) + `"` }

// numberAt puts a number before the host of a trunk's contact.
func numberAt(contact, number string) string {
	if number == "" {
		return contact
	}
	var u sip.Uri
	if sip.ParseUri(contact, &u) != nil {
		return contact
	}
	scheme := u.Scheme
	if scheme == "" {
		scheme = "sip"
	}
	out := scheme + ":" + userPart(number) + "@" + u.Host
	if u.Port > 0 {
		out += ":" + strconv.Itoa(u.Port)
	}
	if t, ok := u.UriParams.Get("transport"); ok {
		out += ";transport=" + t
	}
	return out
}
