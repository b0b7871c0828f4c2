package phone

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"time"
)

// Phone is one account on one line.
type Phone struct {
	Line     Line
	User     string
	Password string
	Domain   string // host of the address-of-record and of the request URI
	Contact  string // "" = sip:USER@LOCAL;transport=...
	// SHA256 makes the phone answer SHA-256 challenges (RFC 8760) and pass over MD5 ones.
	SHA256 bool
	// Timeout bounds the wait for each answer; 0 = 5 s. Nothing is sent again: loopback loses nothing.
	Timeout time.Duration

	// OneTry makes Register answer no challenge: the nonce it has must do.
	OneTry bool

	callID string
	cseq   uint32
	tag    string
	nonce  Challenge
	nc     uint32
}

// Response is an answer: its status, and its header lines by lower-case name.
type Response struct {
	Status  int
	Reason  string
	Headers map[string][]string
	Raw     string
}

// Get returns the first value of a header, "" if there is none.
func (r *Response) Get(name string) string {
	if v := r.Headers[strings.ToLower(name)]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// ErrNoAnswer is what Register returns when nothing came back in time.
var ErrNoAnswer = errors.New("no answer")

// Register registers for expires seconds (0 unregisters) and answers one challenge, or one stale nonce after it.
func (p *Phone) Register(expires int) (*Response, error) {
	var res *Response
	for range 3 {
		var err error
		if res, err = p.Send(p.registerRequest(expires)); err != nil {
			return nil, err
		}
		if res.Status != 401 || p.OneTry {
			return res, nil
		}
		c, ok := p.pick(res)
		if !ok {
			return res, errors.New("no challenge this phone can answer")
		}
		if p.nonce.Nonce != "" && !c.Stale {
			return res, nil // our credentials were refused
		}
		p.nonce, p.nc = c, 0
	}
	return res, nil
}

// Send writes a request and waits for its final answer.
func (p *Phone) Send(request string) (*Response, error) {
	if err := p.Line.Write([]byte(request)); err != nil {
		return nil, err
	}
	timeout := p.Timeout
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	deadline := time.Now().Add(timeout)
	for {
		raw, err := p.Line.Read(deadline)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoAnswer, err)
		}
		res, err := ParseResponse(raw)
		if err != nil {
			continue // a request of the server's, such as a keep-alive OPTIONS
		}
		if res.Status >= 200 && strings.HasPrefix(res.Get("cseq"), strconv.Itoa(int(p.cseq))+" ") {
			return res, nil
		}
	}
}

func (p *Phone) registerRequest(expires int) string {
	if p.callID == "" {
		p.callID, p.tag = token()+"@phone.invalid", token()
	}
	p.cseq++
	contact := p.Contact
	if contact == "" {
		contact = fmt.Sprintf("sip:%s@%s;transport=%s", p.User, p.Line.Local(), strings.ToLower(p.Line.Transport()))
	}
	uri := "sip:" + p.Domain
	var b strings.Builder
	fmt.Fprintf(&b, "REGISTER %s SIP/2.0\r\nVia: SIP/2.0/%s %s;rport;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\n", uri, p.Line.Transport(), p.Line.Local(), token())
	fmt.Fprintf(&b, "From: <sip:%[1]s@%[2]s>;tag=%[3]s\r\nTo: <sip:%[1]s@%[2]s>\r\nCall-ID: %[4]s\r\nCSeq: %[5]d REGISTER\r\n", p.User, p.Domain, p.tag, p.callID, p.cseq)
	fmt.Fprintf(&b, "Contact: <%s>\r\nExpires: %d\r\nUser-Agent: scripted phone\r\n", contact, expires)
	if p.nonce.Nonce != "" {
		p.nc++
		fmt.Fprintf(&b, "Authorization: %s\r\n", p.nonce.Answer("REGISTER", uri, p.User, p.Password, token(), p.nc))
	}
	b.WriteString("Content-Length: 0\r\n\r\n")
	return b.String()
}

func (p *Phone) pick(res *Response) (Challenge, bool) {
	want := "MD5"
	if p.SHA256 {
		want = "SHA-256"
	}
	for _, v := range res.Headers["www-authenticate"] {
		if c, ok := ParseChallenge(v); ok && strings.EqualFold(c.Algorithm, want) {
			return c, true
		}
	}
	return Challenge{}, false
}

// Challenge is one WWW-Authenticate header (RFC 7616 §3.3).
type Challenge struct {
	Realm, Nonce, Algorithm, Opaque string
	QOP, Stale                      bool
}

// ParseChallenge reads one header value; ok is false when it is no Digest challenge.
func ParseChallenge(v string) (c Challenge, ok bool) {
	rest, ok := strings.CutPrefix(v, "Digest ")
	if !ok {
		return c, false
	}
	c.Algorithm = "MD5"
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		value = strings.Trim(value, `"`)
		switch strings.ToLower(key) {
		case "realm":
			c.Realm = value
		case "nonce":
			c.Nonce = value
		case "algorithm":
			c.Algorithm = value
		case "opaque":
			c.Opaque = value
		case "qop":
			c.QOP = true
		case "stale":
			c.Stale = strings.EqualFold(value, "true")
		}
	}
	return c, c.Nonce != ""
}

// Answer computes an Authorization value with qop=auth (RFC 7616 §3.4).
func (c Challenge) Answer(method, uri, user, password, cnonce string, nc uint32) string {
	h := func(s string) string {
		var d hash.Hash = md5.New()
		if strings.EqualFold(c.Algorithm, "SHA-256") {
			d = sha256.New()
		}
		d.Write([]byte(s))
		return fmt.Sprintf("%x", d.Sum(nil))
	}
	count := fmt.Sprintf("%08x", nc)
	response := h(h(user+":"+c.Realm+":"+password) + ":" + c.Nonce + ":" + count + ":" + cnonce + ":auth:" + h(method+":"+uri))
	out := fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s", algorithm=%s, qop=auth, nc=%s, cnonce="%s"`,
		user, c.Realm, c.Nonce, uri, response, c.Algorithm, count, cnonce)
	if c.Opaque != "" {
		out += fmt.Sprintf(`, opaque="%s"`, c.Opaque)
	}
	return out
}

// ParseResponse reads a response; it fails on a request.
func ParseResponse(raw []byte) (*Response, error) {
	head, _, _ := strings.Cut(string(raw), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	rest, ok := strings.CutPrefix(lines[0], "SIP/2.0 ")
	if !ok {
		return nil, fmt.Errorf("no response: %q", lines[0])
	}
	code, reason, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil {
		return nil, err
	}
	r := &Response{Status: status, Reason: reason, Headers: map[string][]string{}, Raw: string(raw)}
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		name = strings.ToLower(strings.TrimSpace(name))
		r.Headers[name] = append(r.Headers[name], strings.TrimSpace(value))
	}
	return r, nil
}

func token() string {
	var b [8]byte
	rand.Read(b[:])
	return fmt.Sprintf("%x", b)
}
