package sip

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/sipua"
	"parley/internal/sipua/digest"
	"parley/internal/sipua/transport"
	"parley/internal/voice"
)

// maxCredentials is how many Proxy-Authorization headers are looked at.
const maxCredentials = 4

// doorkeeper decides who may call; it exists once the cluster's secret is there.
type doorkeeper struct {
	authority *digest.Authority
	offer     []digest.Algorithm
	md5Only   []string // beginnings of the User-Agent of phones that can bear no other challenge
	bind      bool     // a nonce is good for the address that asked only
	fake      [32]byte // stands for H(A1) of users who do not exist
	dir       *contract.Directory
}

func newDoorkeeper(secret []byte, dir *contract.Directory, o Digest) (*doorkeeper, error) {
	o.Secret = secret
	a, err := digest.New(o.Options)
	if err != nil {
		return nil, err
	}
	return &doorkeeper{
		authority: a, offer: o.Offer, md5Only: o.MD5Only, bind: o.BindSource, dir: dir,
		fake: sha256.Sum256(append([]byte("nobody"), secret...)),
	}, nil
}

// identify judges the credentials of an INVITE: whose number they prove, be it an extension or a trunk. For every stranger the work is the same, and so is the answer:
// whether the number exists decides only which bytes are hashed.
func (k *doorkeeper) identify(req *sip.Request, tn *contract.TenantRecord) (number string, verdict digest.Verdict, tried bool) {
	var c digest.Credentials
	if !credentials(req, tn.Realm, &c) {
		return "", digest.Denied, false
	}
	if !slices.Contains(k.offer, c.Algorithm) {
		return "", digest.Unsupported, true
	}
	entry, exists := k.dir.DN(tn.Name, c.Username)
	known := exists && entry.HasAuth && (entry.Type == voice.DNExtension || entry.IsTrunk())
	ha1 := k.fake[:16]
	if c.Algorithm == digest.SHA256 {
		ha1 = k.fake[:]
	}
	if known {
		ha1 = entry.MD5[:]
		if c.Algorithm == digest.SHA256 {
			ha1 = entry.SHA256[:]
		}
	}
	verdict = k.authority.Verify(&c, &digest.Request{
		Method: "INVITE", URI: req.Recipient.String(), CallID: req.CallID().Value(), CSeq: req.CSeq().SeqNo,
		Scope: k.scope(req, tn),
	}, ha1, known)
	if verdict == digest.OK || verdict == digest.Retransmission {
		return entry.Number, verdict, true
	}
	return "", verdict, true
}

// scope is what a nonce for this request is bound to.
func (k *doorkeeper) scope(req *sip.Request, tn *contract.TenantRecord) digest.Scope {
	s := digest.Scope{Realm: tn.Realm}
	if k.bind {
		s.Source = source(req).Addr()
	}
	return s
}

func credentials(req *sip.Request, realm string, c *digest.Credentials) bool {
	for i, h := range req.GetHeaders("Proxy-Authorization") {
		if i == maxCredentials {
			break
		}
		if digest.Parse(h.Value(), c) == nil && c.Realm == realm {
			return true
		}
	}
	return false
}

// challenge is the answer to everybody who has not proved who he is.
func (k *doorkeeper) challenge(req *sip.Request, tn *contract.TenantRecord, stale bool) *sip.Response {
	res := sip.NewResponseFromRequest(req, 407, "Proxy Authentication Required", nil)
	nonce := k.authority.Nonce(k.scope(req, tn))
	offer := k.offer
	if agent := header(req, "User-Agent"); slices.Contains(offer, digest.MD5) &&
		slices.ContainsFunc(k.md5Only, func(p string) bool { return strings.HasPrefix(agent, p) }) {
		offer = []digest.Algorithm{digest.MD5}
	}
	for _, alg := range offer {
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
