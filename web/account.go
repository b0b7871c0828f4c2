package web

import (
	"encoding/xml"
	"fmt"
	"html/template"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"
	"rsc.io/qr"

	"parley/internal/voice"
)

// account is what a phone needs to register, apart from the password.
type account struct {
	User, Domain, Realm string
	Servers             []server
	Facts               []fact // the same, to show
}

// server is one way to reach the platform.
type server struct {
	transport, host, path string
	port                  int
}

func (s server) hostPort() string { return net.JoinHostPort(s.host, strconv.Itoa(s.port)) }

func (s server) webSocket() bool { return s.transport == "ws" || s.transport == "wss" }

// proxy is the server as phones want an outbound proxy (RFC 3261 §19.1.1): loose routing, and the transport named.
func (s server) proxy() string { return "sip:" + s.hostPort() + ";transport=" + s.transport }

// accountOf puts together the account of a number: its tenant's domain and realm, and where phones reach us.
func (s *Server) accountOf(r *request, number string) (account, error) {
	var t voice.Tenant
	if _, err := r.read(voice.SystemTenant, voice.KindTenant, r.tenant, &t); err != nil {
		return account{}, err
	}
	a := account{User: number, Realm: t.Realm}
	host := hostOf(string(r.c.Context().Host()))
	if len(t.Domains) > 0 {
		a.Domain = t.Domains[0]
	} else {
		a.Domain = host // an address of ours; the default tenant takes it
	}
	if a.Realm == "" {
		a.Realm = a.Domain
	}
	for _, e := range s.phones() {
		to := server{transport: e.Transport, host: e.Host, port: e.Port, path: e.Path}
		if to.host == "" {
			to.host = host
		}
		a.Servers = append(a.Servers, to)
	}
	a.Facts = []fact{{"User name", a.User}, {"Domain", a.Domain}, {"Realm", a.Realm}}
	if p := a.outbound(); p != nil {
		a.Facts = append(a.Facts, fact{"Outbound proxy", p.proxy()})
	}
	for _, to := range a.Servers {
		if to.webSocket() {
			a.Facts = append(a.Facts, fact{"WebSocket", fmt.Sprintf("%s://%s%s", to.transport, to.hostPort(), to.path)})
		} else {
			a.Facts = append(a.Facts, fact{"SIP over " + strings.ToUpper(to.transport), to.hostPort()})
		}
	}
	return a, nil
}

// outbound is the server a phone is told first: the first one that is not for browsers.
func (a account) outbound() *server {
	i := slices.IndexFunc(a.Servers, func(s server) bool { return !s.webSocket() })
	if i < 0 {
		return nil
	}
	return &a.Servers[i]
}

// text is the account to copy, one fact a line.
func (a account) text(password string) string {
	facts := slices.Insert(slices.Clone(a.Facts), 1, fact{"Password", password})
	width := 0
	for _, f := range facts {
		width = max(width, len(f.Name))
	}
	var b strings.Builder
	for _, f := range facts {
		fmt.Fprintf(&b, "%-*s  %s\n", width+1, f.Name+":", f.Value)
	}
	return b.String()
}

// short is what must be typed into a phone, no more, so that its QR code is coarse enough for any camera.
func (a account) short(password string) string {
	text := "sip:" + a.User + "@" + a.Domain + "\nPassword: " + password
	if p := a.outbound(); p != nil {
		text += "\nProxy: " + p.proxy()
	}
	return text
}

// accountView is the page that shows an account once, with its password.
type accountView struct {
	Number, Base, Text string
	Notes              []string
	QR                 template.HTML
	Provision          bool
	ProvisionMinutes   int
}

// showAccount answers the form that made the password; the password is not kept for another request, except in the
// document that the QR code leads to.
func (s *Server) showAccount(r *request, number, password string) error {
	a, err := s.accountOf(r, number)
	if err != nil {
		return err
	}
	v := &accountView{Number: number, Base: tenantPath(r.tenant, "extensions", number), Text: a.text(password), ProvisionMinutes: int(handoutLife.Minutes())}
	code := a.short(password)
	base := s.baseURL(r)
	switch {
	case a.outbound() == nil:
		v.Notes = append(v.Notes, "This node does not tell where phones reach the platform.")
	case loopback(base.Hostname()):
		v.Notes = append(v.Notes, "You see this page under an address that only this computer knows, so the code carries the account as text. "+
			"Open the page under an address phones can reach, and the code sets up Linphone by itself.")
	default:
		doc, err := a.linphone(password)
		if err != nil {
			return err
		}
		if key, ok := s.handouts.put(doc); ok {
			v.Provision = true
			code = base.JoinPath("provision", key).String()
		}
	}
	if v.QR, err = qrSVG(code); err != nil {
		return err
	}
	r.c.Status(fiber.StatusOK)
	return r.page("account", "Account of "+number, "extensions", v)
}

// baseURL is how the reader's browser, and so a phone beside it, reaches the pages.
func (s *Server) baseURL(r *request) *url.URL {
	if u, err := url.Parse(s.cfg.PublicURL); err == nil && u.Host != "" {
		return u
	}
	u := &url.URL{Scheme: "http", Host: string(r.c.Context().Host()), Path: "/"}
	if s.cert != nil {
		u.Scheme = "https"
	}
	return u
}

func hostOf(hostPort string) string {
	if host, _, err := net.SplitHostPort(hostPort); err == nil {
		return host
	}
	return strings.Trim(hostPort, "[]")
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// qrSVG draws text as a QR code with a quiet zone of four modules around it (ISO/IEC 18004 §6.3.8).
func qrSVG(text string) (template.HTML, error) {
	const quiet = 4
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("QR code: %w", err)
	}
	var path strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			run := 0
			for x+run < code.Size && code.Black(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run, run)
				x += run
			}
		}
	}
	side := code.Size + 2*quiet
	// Numbers only: nothing of text comes into the markup.
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img" aria-label="QR code of the account" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%dv%dH0z"/><path fill="#000" d="%s"/></svg>`,
		side, side, side, side, path.String())), nil
}

// The remote provisioning document of liblinphone: sections of named entries, the account being "proxy_0" and its
// password "auth_info_0".
type lpConfig struct {
	XMLName  xml.Name    `xml:"http://www.linphone.org/xsds/lpconfig.xsd config"`
	Sections []lpSection `xml:"section"`
}

type lpSection struct {
	Name    string    `xml:"name,attr"`
	Entries []lpEntry `xml:"entry"`
}

type lpEntry struct {
	Name      string `xml:"name,attr"`
	Overwrite bool   `xml:"overwrite,attr"`
	Value     string `xml:",chardata"`
}

// linphone is the document that sets up Linphone. It is used once: the address is not kept for later starts.
func (a account) linphone(password string) ([]byte, error) {
	section := func(name string, facts ...fact) lpSection {
		s := lpSection{Name: name}
		for _, f := range facts {
			s.Entries = append(s.Entries, lpEntry{f.Name, true, f.Value})
		}
		return s
	}
	proxy := "<" + a.outbound().proxy() + ">"
	doc, err := xml.MarshalIndent(lpConfig{Sections: []lpSection{
		section("misc", fact{"transient_provisioning", "1"}),
		section("sip", fact{"default_proxy", "0"}),
		section("auth_info_0", fact{"username", a.User}, fact{"passwd", password}, fact{"realm", a.Realm}, fact{"domain", a.Domain}),
		section("proxy_0", fact{"reg_proxy", proxy}, fact{"reg_route", proxy}, fact{"reg_identity", "sip:" + url.PathEscape(a.User) + "@" + a.Domain},
			fact{"realm", a.Realm}, fact{"reg_expires", "3600"}, fact{"reg_sendregister", "1"}, fact{"publish", "0"}),
	}}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append([]byte(xml.Header), doc...), nil
}
