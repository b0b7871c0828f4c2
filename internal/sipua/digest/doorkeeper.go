package digest

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"strings"
)

// Policy is how phones prove who they are, whatever they ask for.
type Policy struct {
	Options
	Offer      []Algorithm // of challenges, in order
	MD5Only    []string    // beginnings of the User-Agent of phones that can bear MD5 alone
	BindSource bool        // a nonce is good only for the address that asked
}

// Doorkeeper challenges and judges by one Policy. What it does is the same for every stranger: whether a user exists,
// or has a password, decides only which bytes are hashed.
type Doorkeeper struct {
	authority *Authority
	offer     []Algorithm
	md5Offer  []Algorithm // for agents that can bear no other; equals offer where MD5 is not offered
	md5Only   []string
	bind      bool
	nobody    Secret // stands for that of users who do not exist
}

// Secret is what is known of a password, called H(A1): H(user:realm:password).
type Secret struct {
	MD5    [16]byte
	SHA256 [32]byte // the same with SHA-256 (RFC 8760)
}

// NewDoorkeeper returns a Doorkeeper, or an error that says which option is wrong.
func NewDoorkeeper(p Policy) (*Doorkeeper, error) {
	a, err := New(p.Options)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte("nobody"), p.Secret...))
	k := &Doorkeeper{
		authority: a, offer: p.Offer, md5Offer: p.Offer, md5Only: p.MD5Only, bind: p.BindSource,
		nobody: Secret{MD5: [16]byte(sum[:16]), SHA256: sum},
	}
	if slices.Contains(p.Offer, MD5) {
		k.md5Offer = []Algorithm{MD5}
	}
	return k, nil
}

// maxValues is how many Authorization headers are looked at; a phone may send one for each realm it knows.
const maxValues = 4

// Find reads the first of the header values that holds credentials for realm; those for others, or that cannot be
// read, are passed over.
func Find(values []string, realm string, c *Credentials) bool {
	for _, v := range values[:min(len(values), maxValues)] {
		if Parse(v, c) == nil && c.Realm == realm {
			return true
		}
	}
	return false
}

// Scope is what a nonce for somebody at source is bound to.
func (k *Doorkeeper) Scope(realm string, source netip.Addr) Scope {
	s := Scope{Realm: realm}
	if k.bind {
		s.Source = source
	}
	return s
}

// Judge is whether c proves a user. ha1 is nil for one who does not exist, or may not do this.
func (k *Doorkeeper) Judge(c *Credentials, req *Request, ha1 *Secret) Verdict {
	if !slices.Contains(k.offer, c.Algorithm) {
		return Unsupported
	}
	known := ha1 != nil
	if !known {
		ha1 = &k.nobody
	}
	secret := ha1.MD5[:]
	if c.Algorithm == SHA256 {
		secret = ha1.SHA256[:]
	}
	return k.authority.Verify(c, req, secret, known)
}

// Proved tells whether a verdict lets somebody in.
func (v Verdict) Proved() bool { return v == OK || v == Retransmission }

// Nonce makes one for a challenge.
func (k *Doorkeeper) Nonce(s Scope) Nonce { return k.authority.Nonce(s) }

// OfferTo is which algorithms a challenge to a User-Agent names, in order.
func (k *Doorkeeper) OfferTo(agent string) []Algorithm {
	for _, p := range k.md5Only {
		if strings.HasPrefix(agent, p) {
			return k.md5Offer
		}
	}
	return k.offer
}
