package trunk

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strconv"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua/digest"
)

// errNotReady is what a request gets before the node runs.
var errNotReady = errors.New("the node is not ready")

// extra is a header field beside those that every request has.
type extra = digest.Field

// maxTries bounds how often a request is sent: once, with credentials for a proxy and for who is behind it, and once more for
// each when a nonce is too old.
const maxTries = 5

// request sends a request outside of calls to a target and calls on once, with the final response or an error.
// Challenges are answered when the trunk has an account.
func (tr *Trunk) request(method sip.RequestMethod, uri, route string, more []extra, on func(*sip.Response, error)) {
	link := tr.table.link.Load()
	if link == nil {
		on(nil, errNotReady)
		return
	}
	domain := tr.domain()
	o := &outing{trunk: tr, link: link, on: on, proof: tr.account.Proof(), method: method, route: route, more: more,
		from: "<sip:parley@" + domain + ">", callID: random() + "@" + routeHost, tag: random()}
	if sip.ParseUri(uri, &o.uri) != nil {
		on(nil, errors.New("the contact "+uri+" cannot be read"))
		return
	}
	o.to = "<" + o.uri.String() + ">"
	o.send()
}

// domain is our host towards the trunk.
func (tr *Trunk) domain() string {
	if tr.Options.Domain != "" {
		return tr.Options.Domain
	}
	if tn, ok := tr.table.dir.Tenant(tr.Tenant); ok && len(tn.Domains) > 0 {
		return tn.Domains[0]
	}
	return routeHost
}

// outing is one request outside of calls, over its challenges. One callback at a time works on it.
type outing struct {
	trunk  *Trunk
	link   *Link
	on     func(*sip.Response, error)
	method sip.RequestMethod
	uri    sip.Uri
	route  string
	from   string
	to     string
	more   []extra
	callID string
	tag    string
	seq    uint32 // CSeq of the last one sent
	proof  *Proof
	tries  int
	over   bool
}

func (o *outing) send() {
	o.tries++
	o.seq++
	req := sip.NewRequest(o.method, o.uri)
	add := func(name, value string) { req.AppendHeader(sip.NewHeader(name, value)) }
	add("Via", "SIP/2.0/UDP "+routeHost+";branch=z9hG4bK"+random())
	add("Max-Forwards", "70")
	add("Route", o.route)
	add("From", o.from+";tag="+o.tag)
	add("To", o.to)
	add("Call-ID", o.callID)
	add("CSeq", strconv.FormatUint(uint64(o.seq), 10)+" "+string(o.method))
	for _, f := range o.more {
		add(f.Name, f.Value)
	}
	o.proof.Sign(req)
	req.SetBody(nil)
	_, err := o.link.Sender.Send(req, func(res *sip.Response, err error) {
		switch {
		case o.over || err == nil && res.StatusCode < 200:
		case err == nil && o.tries < maxTries && o.proof.Challenged(req, res):
			o.send()
		default:
			o.over = true
			o.on(res, err)
		}
	})
	if err != nil {
		o.over = true
		o.on(nil, err)
	}
}

// random is a token nobody has had before.
func random() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
