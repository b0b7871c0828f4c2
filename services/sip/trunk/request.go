package trunk

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strconv"
	"sync"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua/digest"
)

// errNotReady is what a request gets before the node runs.
var errNotReady = errors.New("the node is not ready")

// maxTries bounds how often a request is sent: once, with credentials for a proxy and for who is behind it, and once more for
// each when a nonce is too old.
const maxTries = 5

// outside is what requests outside of calls share that belong together: one OPTIONS with its repetition, or all REGISTERs of a
// registration.
type outside struct {
	from, to string
	callID   string

	mu    sync.Mutex // guards what follows: an answer may come late, when the next request is on its way
	seq   uint32     // CSeq of the last one
	proof *Proof
}

// request sends one request outside of any dialog to a target and calls on once, with the final response or an error.
func (tr *Trunk) request(method sip.RequestMethod, uri, route string, on func(*sip.Response, error)) {
	from := "<sip:parley@" + tr.domain() + ">"
	tr.send(&outside{from: from, to: "<" + uri + ">", callID: random() + "@" + routeHost, proof: tr.account.Proof()}, method, uri, route, nil, on)
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

// send sends a request, and again with credentials when it is challenged.
func (tr *Trunk) send(d *outside, method sip.RequestMethod, uri, route string, more []digest.Field, on func(*sip.Response, error)) {
	link := tr.table.link.Load()
	if link == nil {
		on(nil, errNotReady)
		return
	}
	req, err := d.compose(method, uri, route, more)
	if err != nil {
		on(nil, err)
		return
	}
	o := &outing{link: link, dialog: d, on: on}
	o.send(req)
}

func (d *outside) compose(method sip.RequestMethod, uri, route string, more []digest.Field) (*sip.Request, error) {
	var to sip.Uri
	if sip.ParseUri(uri, &to) != nil {
		return nil, errors.New("the URI " + uri + " cannot be read")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	req := sip.NewRequest(method, to)
	add := func(name, value string) { req.AppendHeader(sip.NewHeader(name, value)) }
	add("Via", "SIP/2.0/UDP "+routeHost+";branch=z9hG4bK"+random())
	add("Max-Forwards", "70")
	add("Route", route)
	add("From", d.from+";tag="+random())
	add("To", d.to)
	add("Call-ID", d.callID)
	d.seq++
	add("CSeq", strconv.FormatUint(uint64(d.seq), 10)+" "+string(method))
	for _, f := range more {
		add(f.Name, f.Value)
	}
	d.proof.Sign(req)
	req.SetBody(nil)
	return req, nil
}

// outing is one request on its way, over its challenges.
type outing struct {
	link   *Link
	dialog *outside
	on     func(*sip.Response, error)
	tries  int
	over   bool
}

func (o *outing) send(req *sip.Request) {
	o.tries++
	_, err := o.link.Sender.Send(req, func(res *sip.Response, err error) {
		if o.over || err == nil && res.StatusCode < 200 {
			return
		}
		if err == nil && o.tries < maxTries {
			if next := o.dialog.proven(req, res); next != nil {
				o.send(next)
				return
			}
		}
		o.over = true
		o.on(res, err)
	})
	if err != nil {
		o.over = true
		o.on(nil, err)
	}
}

// proven is the request with credentials, when res asks for some that there are; else nil.
func (d *outside) proven(req *sip.Request, res *sip.Response) *sip.Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.proof.Challenged(req, res) {
		return nil
	}
	next := req.Clone()
	d.seq++
	next.ReplaceHeader(sip.NewHeader("CSeq", strconv.FormatUint(uint64(d.seq), 10)+" "+string(req.Method)))
	next.Via().Params.Remove("branch")
	next.Via().Params.Add("branch", "z9hG4bK"+random())
	d.proof.Sign(next)
	return next
}

// random is a token nobody has had before.
func random() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
