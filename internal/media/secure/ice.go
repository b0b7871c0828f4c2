package secure

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of RFC 8839 §5.4, which are those of security too: 24 and 128 bits at least.
const (
	minUfrag, minPwd   = 4, 22
	maxCredential      = 256
	ufragSize, pwdSize = 6, 24 // random bytes of ours; in base64 they are 8 and 32 characters
)

// Credentials are what one side's checks are known by (RFC 8839 §5.4). The password signs them; it hides itself like a
// [Key].
type Credentials struct {
	Ufrag string
	pwd   string
}

// NewCredentials makes ours. A new call has new ones.
func NewCredentials() Credentials {
	b := make([]byte, ufragSize+pwdSize)
	_, _ = rand.Read(b) // it does not fail
	return Credentials{base64.StdEncoding.EncodeToString(b[:ufragSize]), base64.StdEncoding.EncodeToString(b[ufragSize:])}
}

// ParseCredentials takes a peer's, from a=ice-ufrag and a=ice-pwd.
func ParseCredentials(ufrag, pwd string) (Credentials, error) {
	for _, c := range []struct {
		name, value string
		least       int
	}{{"ice-ufrag", ufrag, minUfrag}, {"ice-pwd", pwd, minPwd}} {
		if len(c.value) < c.least || len(c.value) > maxCredential || strings.ContainsFunc(c.value, notICE) {
			return Credentials{}, fmt.Errorf("a=%s is not %d to %d characters of ICE (RFC 8839 §5.4)", c.name, c.least, maxCredential)
		}
	}
	return Credentials{ufrag, pwd}, nil
}

// notICE tells whether a character is none of credentials.
func notICE(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '/')
}

// Password is for a=ice-pwd and nothing else.
func (c Credentials) Password() string { return c.pwd }

// String hides the password.
func (c Credentials) String() string { return c.Ufrag + ":" + hidden }

// Format hides the password from every verb.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue hides the password from slog.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Candidate is what stands behind "a=candidate:" for our one address (RFC 8839 §5.1): component 1 is RTP, 2 RTCP.
func Candidate(at netip.AddrPort, component int) string {
	const typeHost, localPreference, components = 126, 65535, 256 // RFC 8445 §5.1.2.1
	priority := typeHost<<24 + localPreference<<8 + components - component
	return "1 " + strconv.Itoa(component) + " udp " + strconv.Itoa(priority) + " " + at.Addr().Unmap().String() + " " + strconv.Itoa(int(at.Port())) + " typ host"
}

// ErrConsent says that the peer stopped to check whether we are there, so that nothing more is sent to it (RFC 7675).
var ErrConsent = errors.New("the peer has not confirmed for 30 seconds that it wants audio")

const (
	consentFor  = 30 * time.Second // RFC 7675 §5.1
	nominateFor = 5 * time.Second  // how long a nomination stands against one of lower priority
	maxChecked  = 8                // addresses of the peer that are remembered
	checkRate   = 100              // signatures that are verified a second; a browser sends 20 checks at most
	checkBurst  = 200
)

// agent is a lite agent of ICE: it has one address, answers checks, and does what the peer decides (RFC 8445 §2.5). Whoever
// does not know the password finds nobody here: what RFC 8489 would answer with 400 or 401 is dropped.
type agent struct {
	mu        sync.Mutex // guards all below
	username  string     // of the peer's checks
	mac       hash.Hash
	checked   []netip.AddrPort // where good checks came from, latest first
	nominated netip.AddrPort
	priority  uint32      // of the nomination
	since     time.Time   // of its last one
	verifies  bucket      // what verifications are paid from
	consent   *time.Timer // fires when no check came for too long
	lost      bool        // it fired
	ended     bool
}

func newAgent(local, remote Credentials) *agent {
	a := &agent{}
	a.restart(local, remote)
	return a
}

// restart takes new credentials (RFC 8445 §9). What was nominated stays until something else is.
func (a *agent) restart(local, remote Credentials) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.username = local.Ufrag + ":" + remote.Ufrag
	a.mac = hmac.New(sha1.New, []byte(local.pwd))
}

// handle answers a check. It returns whether one came that was good. reply is called without the lock, since it has one of
// its own, with which others ask for the peer.
func (a *agent) handle(b []byte, from netip.AddrPort, reply func([]byte, netip.AddrPort)) bool {
	var c check
	if !c.read(b) {
		return false
	}
	answer, good := a.answer(&c, from)
	if answer != nil {
		reply(answer, from)
	}
	return good
}

// answer writes what a check is answered with; nil when that is nothing.
func (a *agent) answer(c *check, from netip.AddrPort) (b []byte, good bool) {
	const room = 128 // bytes of the longest answer
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended || string(c.username) != a.username || !a.verifies.take(checkRate, checkBurst, time.Now()) || !c.genuine(a.mac) {
		return nil, false
	}
	b = make([]byte, 0, room)
	switch {
	case c.unknowns > 0:
		b = c.refuse(b, unknownAttribute)
	case c.controlled: // we never are what decides, so the peer has to
		b = c.refuse(b, roleConflict)
	default:
		b, good = c.success(b, from), true
		a.note(c, from, time.Now())
	}
	return finish(a.mac, b), good
}

// note remembers a good check. A peer may nominate several pairs and means the one of highest priority (RFC 5245 §8.1.1.2,
// which browsers still do with a lite agent), unless it stopped to nominate that one.
func (a *agent) note(c *check, from netip.AddrPort, now time.Time) {
	if i := slices.Index(a.checked, from); i >= 0 {
		a.checked = slices.Delete(a.checked, i, i+1)
	} else if len(a.checked) == maxChecked {
		a.checked = a.checked[:maxChecked-1]
	}
	a.checked = slices.Insert(a.checked, 0, from)
	if c.nominates && (from == a.nominated || c.priority >= a.priority || now.Sub(a.since) > nominateFor) {
		a.nominated, a.priority, a.since = from, c.priority, now
	}
	a.lost = false
	if a.consent == nil {
		a.consent = time.AfterFunc(consentFor, a.expire)
	} else {
		a.consent.Reset(consentFor)
	}
}

func (a *agent) expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost = true
}

// admits tells whether good checks came from an address.
func (a *agent) admits(from netip.AddrPort) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.checked, from)
}

// peer is the nominated address, and whether the peer still wants something there.
func (a *agent) peer() (_ netip.AddrPort, wanted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.nominated, !a.lost
}

func (a *agent) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	if a.consent != nil {
		a.consent.Stop()
	}
}
