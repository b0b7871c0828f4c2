package registrar

import (
	"slices"
	"strings"

	"parley/internal/contract"
	"parley/internal/sipua/digest"
	"parley/internal/voice"
)

// identity is the outcome of authentication.
type identity struct {
	entry   *contract.DNRecord // nil: not let in
	verdict digest.Verdict
	tried   bool // there were credentials for our realm
}

// identify judges the credentials of a request. For every stranger the work is the same: whether the number exists,
// has a password or belongs to another decides only which bytes are hashed.
func (s *Service) identify(k *digest.Doorkeeper, req *contract.RegisterRequest, tn *contract.TenantRecord) identity {
	var c digest.Credentials
	if !digest.Find(req.Authorization, tn.Realm, &c) {
		return identity{}
	}
	var ha1 *digest.Secret
	entry, exists := s.dir.DN(tn.Name, req.ToUser)
	if exists && entry.HasAuth && registers(entry.Type) && c.Username == req.ToUser && s.ownHost(req.ToHost, tn) {
		ha1 = &entry.Secret
	}
	id := identity{tried: true}
	id.verdict = k.Judge(&c, &digest.Request{
		Method: "REGISTER", URI: req.RequestURI, CallID: req.CallID, CSeq: req.CSeq, Scope: k.Scope(tn.Realm, req.Source.Addr()),
	}, ha1)
	if id.verdict.Proved() {
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

// challenge is the answer to everybody who has not proved who he is: the same for all of a tenant's realm.
func (s *Service) challenge(k *digest.Doorkeeper, req *contract.RegisterRequest, realm string, stale bool, r *reply) *contract.RegisterResponse {
	nonce := k.Nonce(k.Scope(realm, req.Source.Addr()))
	for _, alg := range k.OfferTo(req.UserAgent) {
		r.buf = digest.AppendChallenge(r.buf, realm, alg, nonce, stale)
		r.end("WWW-Authenticate")
	}
	return r.done(401, "Unauthorized")
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
