package registrar

import (
	"slices"
	"strings"

	"parley/internal/contract"
	"parley/internal/sipua/digest"
	"parley/internal/voice"
)

// maxAuthorizations is how many Authorization headers are looked at; a phone may send one for each realm it knows.
const maxAuthorizations = 4

// doorkeeper is what the service knows about proving who one is; it exists once the cluster's secret is there.
type doorkeeper struct {
	authority *digest.Authority
	offer     []digest.Algorithm
	md5Offer  []digest.Algorithm // for agents that can bear no other; equals offer where md5 is not offered
	md5Only   []string
	bind      bool
	fake      [32]byte // stands for H(A1) of users who do not exist
}

// identity is the outcome of authentication.
type identity struct {
	entry   *contract.DNRecord // nil: not let in
	verdict digest.Verdict
	tried   bool // there were credentials for our realm
}

// scope is what a nonce for this request is bound to.
func (k *doorkeeper) scope(realm string, req *contract.RegisterRequest) digest.Scope {
	s := digest.Scope{Realm: realm}
	if k.bind {
		s.Source = req.Source.Addr()
	}
	return s
}

// identify judges the credentials of a request. For every stranger the work is the same: whether the number exists,
// has a password or belongs to another decides only which bytes are hashed.
func (s *Service) identify(k *doorkeeper, req *contract.RegisterRequest, tn *contract.TenantRecord) identity {
	var c digest.Credentials
	if !credentials(req.Authorization, tn.Realm, &c) {
		return identity{}
	}
	if !slices.Contains(k.offer, c.Algorithm) {
		return identity{verdict: digest.Unsupported, tried: true}
	}
	entry, exists := s.dir.DN(tn.Name, req.ToUser)
	known := exists && entry.HasAuth && registers(entry.Type) && c.Username == req.ToUser && s.ownHost(req.ToHost, tn)
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
	id := identity{tried: true}
	id.verdict = k.authority.Verify(&c, &digest.Request{
		Method: "REGISTER", URI: req.RequestURI, CallID: req.CallID, CSeq: req.CSeq, Scope: k.scope(tn.Realm, req),
	}, ha1, known)
	if id.verdict == digest.OK || id.verdict == digest.Retransmission {
		id.entry = entry
	}
	return id
}

// ownHost tells whether an address-of-record at that host can be one of tn's (§10.3 step 5): only a domain of
// another tenant cannot. Phones write addresses and names of all kinds there.
func (s *Service) ownHost(host string, tn *contract.TenantRecord) bool {
	owner, ok := s.dir.TenantByHost(host)
	return !ok || owner == tn || !slices.Contains(owner.Domains, contract.NormalHost(host))
}

// credentials finds the credentials for realm; those for others, or that cannot be read, are passed over.
func credentials(values []string, realm string, c *digest.Credentials) bool {
	for i, v := range values {
		if i == maxAuthorizations {
			break
		}
		if digest.Parse(v, c) == nil && c.Realm == realm {
			return true
		}
	}
	return false
}

// challenge is the answer to everybody who has not proved who he is: the same for all of a tenant's realm.
func (s *Service) challenge(k *doorkeeper, req *contract.RegisterRequest, realm string, stale bool, r *reply) *contract.RegisterResponse {
	nonce := k.authority.Nonce(k.scope(realm, req))
	for _, alg := range k.offerTo(req.UserAgent) {
		r.buf = digest.AppendChallenge(r.buf, realm, alg, nonce, stale)
		r.end("WWW-Authenticate")
	}
	return r.done(401, "Unauthorized")
}

func (k *doorkeeper) offerTo(agent string) []digest.Algorithm {
	for _, p := range k.md5Only {
		if strings.HasPrefix(agent, p) {
			return k.md5Offer
		}
	}
	return k.offer
}

// registers tells whether numbers of that type register at all.
func registers(t voice.DNType) bool {
	return t == voice.DNExtension || t == voice.DNTrunk || t == voice.DNSoftswitch
}

// mayRegister tells whether the number's options let it register: one with a fixed contact is reached there and
// nowhere else.
func mayRegister(e *contract.DNRecord) (bool, error) {
	options, err := e.Options()
	if err != nil {
		return false, err
	}
	fixed := strings.TrimSpace(options["TServer"]["contact"])
	return fixed == "" || fixed == "*", nil
}
