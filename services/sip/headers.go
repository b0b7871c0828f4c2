package sip

import (
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua"
	"parley/internal/sipua/wire"
)

// What is carried from one leg to the other; everything else stays where it came from (topology hiding). A session timer (RFC 4028)
// is agreed between the phones, whose refreshes are passed like any change of the session.
var (
	passed = struct{ request, response, body []string }{
		request:  []string{"Allow", "Session-Expires", "Min-SE", "Subject", "Privacy", "Reason", "Accept", "Info-Package"},
		response: []string{"Allow", "Session-Expires", "Min-SE", "Reason", "Warning", "Retry-After", "Accept"},
		body:     []string{"Content-Type", "Content-Disposition"},
	}
	// extensions are the option tags that work end to end through the node.
	extensions = []string{"timer"}
)

// pass copies header fields.
func pass(from, to sip.Message, names ...string) {
	for _, name := range names {
		for _, h := range from.GetHeaders(name) {
			to.AppendHeader(sip.NewHeader(name, h.Value()))
		}
	}
}

func passRequest(from, to *sip.Request) {
	pass(from, to, passed.request...)
	passTags(from, to, "Supported")
	passTags(from, to, "Require")
}

func passResponse(from, to *sip.Response) {
	pass(from, to, passed.response...)
	passTags(from, to, "Supported")
	passTags(from, to, "Require")
}

// passTags copies the option tags that work through the node.
func passTags(from, to sip.Message, name string) {
	var out []string
	for _, t := range tags(from, name) {
		if known(t) {
			out = append(out, t)
		}
	}
	if len(out) > 0 {
		to.AppendHeader(sip.NewHeader(name, strings.Join(out, ", ")))
	}
}

func tags(m sip.Message, name string) (out []string) {
	for _, h := range m.GetHeaders(name) {
		for _, t := range strings.Split(h.Value(), ",") {
			if t = strings.ToLower(strings.TrimSpace(t)); t != "" {
				out = append(out, t)
			}
		}
	}
	return out
}

func known(tag string) bool {
	for _, e := range extensions {
		if e == tag {
			return true
		}
	}
	return false
}

// unsupported lists what a request requires and we cannot do (RFC 3261 §8.2.2.3); "" = nothing.
func unsupported(req *sip.Request) string {
	var out []string
	for _, t := range tags(req, "Require") {
		if !known(t) {
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

// header is the value of one of our own header fields that the front door writes.
func header(req *sip.Request, name string) string {
	if h := req.GetHeader(name); h != nil {
		return h.Value()
	}
	return ""
}

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

func (c *call) private() bool {
	for _, p := range strings.Split(header(c.invite, "Privacy"), ";") {
		switch strings.ToLower(strings.TrimSpace(p)) {
		case "id", "user", "header":
			return true
		}
	}
	return false
}

// assertCaller says who calls, to those who may know (RFC 3325 §5). What the caller wrote there himself was not passed.
func (c *call) assertCaller(number, domain string, req *sip.Request) {
	if !c.private() && number != "" {
		req.AppendHeader(sip.NewHeader("P-Asserted-Identity", "<sip:"+userPart(number)+"@"+domain+">"))
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
