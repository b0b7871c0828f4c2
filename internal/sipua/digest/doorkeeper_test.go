package digest

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// Strangers cannot tell a user who does not exist from one whose password they do not know, and phones are offered
// what they can bear.
func TestDoorkeeper(t *testing.T) {
	k, err := NewDoorkeeper(Policy{
		Options: Options{Secret: secret, Lifetime: time.Minute},
		Offer:   []Algorithm{MD5, SHA256}, MD5Only: []string{"old phone"}, BindSource: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	realm, here, there := scope.Realm, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	known := &Secret{MD5: [16]byte(HA1(MD5, "1001", realm, "right")), SHA256: [32]byte(HA1(SHA256, "1001", realm, "right"))}
	for name, c := range map[string]struct {
		password string
		from     netip.Addr
		ha1      *Secret
		want     Verdict
	}{
		"right":               {"right", here, known, OK},
		"wrong":               {"wrong", here, known, Denied},
		"nobody":              {"right", here, nil, Denied},
		"right, from another": {"right", there, known, Stale},
	} {
		for _, alg := range []Algorithm{MD5, SHA256} {
			nonce := k.Nonce(k.Scope(realm, here))
			req := request(1)
			req.Scope = k.Scope(realm, c.from)
			got := k.Judge(answer(alg, string(nonce[:]), "00000001", "c", c.password), req, c.ha1)
			if got != c.want {
				t.Errorf("%s by %v: %v, want %v", name, alg, got, c.want)
			}
		}
	}
	if got := k.OfferTo("old phone 1.0"); !slices.Equal(got, []Algorithm{MD5}) {
		t.Errorf("an old phone is offered %v", got)
	}
	if got := k.OfferTo("new phone"); !slices.Equal(got, []Algorithm{MD5, SHA256}) {
		t.Errorf("a new phone is offered %v", got)
	}
	var c Credentials
	if Find([]string{`Digest realm="x", nonce="n"`, "rubbish"}, realm, &c) {
		t.Error("credentials for another realm are taken")
	}
}
