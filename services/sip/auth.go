package sip

import (
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/sipua"
	"parley/internal/sipua/digest"
	"parley/internal/sipua/transport"
	"parley/internal/voice"
)

// identify judges the credentials of a request that begins something: whose number they prove, be it an extension or a trunk. For every
// stranger the work is the same, and so is the answer.
func (s *Service) identify(k *digest.Doorkeeper, req *sip.Request, tn *contract.TenantRecord) (number string, verdict digest.Verdict, tried bool) {
	var (
		c      digest.Credentials
		values []string
		ha1    *digest.Secret
	)
	for _, h := range req.GetHeaders("Proxy-Authorization") {
		values = append(values, h.Value())
	}
	if !digest.Find(values, tn.Realm, &c) {
		return "", digest.Denied, false
	}
	entry, exists := s.dir.DN(tn.Name, c.Username)
	if exists && entry.HasAuth && (entry.Type == voice.DNExtension || entry.IsTrunk()) {
		ha1 = &entry.Secret
	}
	verdict = k.Judge(&c, &digest.Request{
		Method: string(req.Method), URI: req.Recipient.String(), CallID: req.CallID().Value(), CSeq: req.CSeq().SeqNo,
		Scope: k.Scope(tn.Realm, source(req).Addr()),
	}, ha1)
	if verdict.Proved() {
		return entry.Number, verdict, true
	}
	return "", verdict, true
}

// challenge is the answer to everybody who has not proved who he is.
func challenge(k *digest.Doorkeeper, req *sip.Request, tn *contract.TenantRecord, stale bool) *sip.Response {
	res := sip.NewResponseFromRequest(req, 407, "Proxy Authentication Required", nil)
	nonce := k.Nonce(k.Scope(tn.Realm, source(req).Addr()))
	for _, alg := range k.OfferTo(header(req, "User-Agent")) {
		res.AppendHeader(sip.NewHeader("Proxy-Authenticate", string(digest.AppendChallenge(nil, tn.Realm, alg, nonce, stale))))
	}
	return res
}

// sourceTransport is how it came there.
func sourceTransport(req *sip.Request) transport.Transport {
	t, _, _ := strings.Cut(header(req, sipua.HeaderSource), ":")
	return transport.Transport(t)
}

// source is where the front door saw the request come from.
func source(req *sip.Request) netip.AddrPort {
	_, at, _ := strings.Cut(header(req, sipua.HeaderSource), ":")
	a, err := netip.ParseAddrPort(at)
	if err != nil {
		return netip.AddrPort{}
	}
	return a
}
