package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/e2e/phone"
	"parley/internal/contract"
	"parley/internal/porttest"
	"parley/internal/sipua/transport"
	"parley/internal/voice"
)

const carrierSecret = "c4rrier-s3cret"

// carrier is Kamailio as the carrier of a platform, on an address of its own.
type carrier struct {
	t              *testing.T
	address        string // of udp and tcp
	secure         string // of tls
	cert           string
	dir, port, tls string
	proc           *peer.Process
}

// prepareCarrier chooses where the carrier will be, so that a platform can be told before the carrier is told of it.
func prepareCarrier(t *testing.T) *carrier {
	t.Helper()
	const host = "127.0.0.2"
	ports := porttest.TCP(t, 2)
	c := &carrier{t: t, dir: t.TempDir(), port: strings.TrimPrefix(ports[0], "127.0.0.1:"), tls: strings.TrimPrefix(ports[1], "127.0.0.1:")}
	c.address, c.secure = net.JoinHostPort(host, c.port), net.JoinHostPort(host, c.tls)
	c.cert = filepath.Join(c.dir, "cert.pem")
	if err := transport.WriteSelfSigned(c.cert, filepath.Join(c.dir, "key.pem"), []string{"sip.carrier.test"}); err != nil {
		t.Fatal(err)
	}
	return c
}

// start runs the carrier for a platform, and waits until it answers.
func (c *carrier) start(p *platform) {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "carrier.cfg"))
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := filepath.Join(c.dir, "kamailio.cfg")
	writeFile(c.t, cfg, strings.NewReplacer("ADDRESS", "127.0.0.2", "PORT", c.port, "SECURE", c.tls, "CERT", c.cert, "KEY", filepath.Join(c.dir, "key.pem"),
		"PASSWORD", carrierSecret, "PLATFORM_UDP", p.sip("udp"), "PLATFORM_TCP", p.sip("tcp"), "PLATFORM_TLS", p.sip("tls")).Replace(string(text)))
	c.proc = peer.Start(c.t, c.dir, nil, "kamailio", "-DD", "-E", "-f", cfg, "-m", "64", "-M", "8", "-P", filepath.Join(c.dir, "kamailio.pid"), "-Y", c.dir, "-w", c.dir)
	line, err := phone.Dial(c.t.Context(), "udp", c.address, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer line.Close()
	peer.Poll(c.t, 20*time.Second, func() error {
		if _, err := (&phone.Phone{Line: line, User: "nobody", Domain: "carrier.test"}).Register(60); err != nil {
			return fmt.Errorf("%w\n%s", err, c.proc.Output())
		}
		return nil
	})
}

// subscriber is a phone of the carrier's.
func (c *carrier) subscriber(number string) *phone.Agent {
	c.t.Helper()
	line, err := phone.Dial(c.t.Context(), "udp", c.address, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	a := phone.NewAgent(&phone.Phone{Line: line, User: number, Password: carrierSecret, Domain: "carrier.test"})
	c.t.Cleanup(a.Close)
	if err := a.Register(600); err != nil {
		c.t.Fatalf("%v\n%s", err, c.proc.Output())
	}
	return a
}

// trunkNow is how the SIP node sees a trunk.
func trunkNow(t *testing.T, p *platform, dn string) contract.TrunkStatus {
	t.Helper()
	var list contract.TrunksResponse
	if err := json.Unmarshal([]byte(rest(t, p, "sip", http.MethodGet, "/api/v1/tenants/demo/trunks?dn="+dn, http.StatusOK)), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Trunks) != 1 {
		t.Fatalf("trunk %s: %+v", dn, list)
	}
	return list.Trunks[0]
}

func awaitTrunk(t *testing.T, p *platform, dn, what string, ok func(contract.TrunkStatus) bool) contract.TrunkStatus {
	t.Helper()
	var s contract.TrunkStatus
	peer.Poll(t, 30*time.Second, func() error {
		if s = trunkNow(t, p, dn); !ok(s) {
			return fmt.Errorf("trunk %s is not %s: %+v\n%s", dn, what, s, p.proc.Output())
		}
		return nil
	})
	return s
}

// customer is a platform of the carrier's. It provisions 1001 and what else a test wants; dns and more are YAML of the tenant.
func customer(t *testing.T, c *carrier, name, dns, more string, env ...string) *platform {
	t.Helper()
	file := provision(t, `tenants:
  - name: demo
    domains: [demo.local]
    default: true
    dns:
      - {number: "1001", type: extension, password: `+nodeSecret+`}
`+dns+more+`
    persons: [{username: admin, password: carrier-admin-secret, roles: [system]}]
`)
	p := prepare(t, name, "", "--provision", file)
	p.env = append(append(p.env, "PARLEY_SIP_TLS_CA="+c.cert), env...)
	p.run()
	return p
}

// call makes from call number and waits until to has answered.
func call(t *testing.T, from *phone.Agent, number string, to *phone.Agent) *talk {
	t.Helper()
	k := &talk{t: t, caller: phone.OpenAudio(t), callee: phone.OpenAudio(t)}
	k.out = from.Dial(number, k.caller.Offer("sendrecv"))
	select {
	case k.in = <-to.Incoming:
	case <-time.After(20 * time.Second):
		t.Fatalf("the call of %s to %s does not arrive: %d", from.Number(), number, k.out.Final(time.Millisecond))
	}
	k.in.Ring()
	if err := k.in.Answer(k.callee.Offer("sendrecv")); err != nil {
		t.Fatal(err)
	}
	if status := k.out.Final(20 * time.Second); status != 200 {
		t.Fatalf("the call of %s to %s ended with %d", from.Number(), number, status)
	}
	return k
}

// Calls both ways over each transport. The carrier asks who we are, about calls and about their end; TLS is verified by its
// certificate.
func TestCarrier(t *testing.T) {
	c := prepareCarrier(t)
	names := nameServer(t, "sip.carrier.test. 60 IN A 127.0.0.2\n")
	trunks := ""
	for prefix, contact := range map[string]string{"6": "sip:" + c.address, "7": "sip:" + c.address + ";transport=tcp", "8": "sip:sip.carrier.test:" + c.tls + ";transport=tls"} {
		trunks += fmt.Sprintf(`      - {number: "gw%s", type: trunk, options: {TServer: {contact: %q, prefix: %q, replace-prefix: "", oos-check: "1", trusted-source: address,
          auth-user: parley, auth-password: %s, override-domain: parley.test, cpn: "+4930555", capacity: "5"}}}
`, prefix, contact, prefix, carrierSecret)
	}
	for dn, verify := range map[string]string{"strict": "true", "blind": "false"} { // the certificate does not say the address
		trunks += fmt.Sprintf("      - {number: %s, type: trunk, options: {TServer: {contact: \"sip:%s;transport=tls\", oos-check: \"1\", oos-force: \"1\", tls-verify: %q}}}\n", dn, c.secure, verify)
	}
	p := customer(t, c, "carrier", trunks, "", "PARLEY_SIP_DNS="+names)
	c.start(p)
	alice, bob := agent(t, p, "1001", "udp"), c.subscriber("4930777")
	for i, row := range []struct{ transport, prefix, in string }{{"udp", "6", "7"}, {"tcp", "7", "8"}, {"tls", "8", "9"}} {
		dn := "gw" + row.prefix
		s := awaitTrunk(t, p, dn, "in service", func(s contract.TrunkStatus) bool { return s.State == contract.TrunkInService })
		if len(s.Targets) != 1 || s.Targets[0].Transport != row.transport || s.Targets[0].RTTMillis <= 0 {
			t.Errorf("%s: targets %+v", dn, s.Targets)
		}
		k := call(t, alice, row.prefix+"4930777", bob)
		k.heard()
		if s := trunkNow(t, p, dn); s.Calls != 1 || s.Created != 1 {
			t.Errorf("%s while a call goes out: %+v", dn, s)
		}
		if from, who := k.in.Invite.Get("from"), k.in.Invite.Get("p-asserted-identity"); !strings.Contains(from, "sip:+4930555@parley.test") || !strings.Contains(who, "sip:+4930555@parley.test") {
			t.Errorf("%s: From %s, P-Asserted-Identity %s", dn, from, who)
		}
		if err := k.out.Bye(); err != nil { // which the carrier challenges
			t.Error(err)
		}
		k.over()

		k = call(t, bob, row.in+"1001", alice)
		k.heard()
		if err := k.in.Bye(); err != nil {
			t.Error(err)
		}
		k.over()
		last := records(t, p, 2*i+2)
		for _, r := range last {
			if r.Outcome != voice.OutcomeAnswered || r.TrunkOut == "" && r.TrunkIn == "" {
				t.Errorf("record %+v", r)
			}
		}
		if row.transport == "udp" {
			if last := last[0]; last.Type == voice.CallInbound && last.TrunkIn != dn {
				t.Errorf("the call came by %s", last.TrunkIn)
			}
		}
		s = awaitTrunk(t, p, dn, "quiet", func(s contract.TrunkStatus) bool { return s.Calls == 0 })
		if s.Answers4 != 0 || s.Answers5 != 0 {
			t.Errorf("a challenge that was met counts as an error: %+v", s)
		}
	}
	awaitTrunk(t, p, "strict", "out of service for its certificate", func(s contract.TrunkStatus) bool {
		return s.State == contract.TrunkOutOfService && strings.Contains(s.Reason, "certificate")
	})
	awaitTrunk(t, p, "blind", "in service", func(s contract.TrunkStatus) bool { return s.State == contract.TrunkInService })
	metrics := scrape(t, p, "sip")
	for _, want := range []string{`sips_trunk_in_service{device_name="gw6",tenant="demo"} 1`, `sips_trunk_ncallscreated{device_name="gw8",tenant="demo"} 1`,
		`sips_trunk_noos_detected{device_name="gw7",tenant="demo"} `} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	if out, code := p.cli("export", "--secrets"); code != 0 || strings.Contains(out, carrierSecret) || !strings.Contains(out, "sealed:") {
		t.Errorf("export shows the password of a trunk, or not that there is one: %d", code)
	}
}

// The first target of the carrier's name is dead, the second says 503, the third takes the call, within seconds. The answers to the
// question where it is are those of SRV.
func TestFailingTargets(t *testing.T) {
	c := prepareCarrier(t)
	dead, err := net.ListenPacket("udp", "127.0.0.3:0") // reads nothing
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	busy := refusing(t, "127.0.0.4:0")
	port := func(address string) string { _, p, _ := net.SplitHostPort(address); return p }
	names := nameServer(t, fmt.Sprintf(`
carrier.test. 60 IN NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.carrier.test.
_sip._udp.carrier.test. 60 IN SRV 10 0 %s a.carrier.test.
_sip._udp.carrier.test. 60 IN SRV 20 0 %s b.carrier.test.
_sip._udp.carrier.test. 60 IN SRV 30 0 %s c.carrier.test.
a.carrier.test. 60 IN A 127.0.0.3
b.carrier.test. 60 IN A 127.0.0.4
c.carrier.test. 60 IN A 127.0.0.2
`, port(dead.LocalAddr().String()), port(busy), c.port))
	p := customer(t, c, "targets", `      - {number: gw1, type: trunk, options: {TServer: {contact: "sip:carrier.test", prefix: "6", replace-prefix: "", response-timeout: "1", recovery-timeout: "60"}}}
`, "", "PARLEY_SIP_DNS="+names)
	c.start(p)
	alice, bob := agent(t, p, "1001", "tcp"), c.subscriber("4930777")
	began := time.Now()
	k := call(t, alice, "64930777", bob)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the call took %v to find the target that takes it", took)
	}
	k.heard()
	if err := k.in.Bye(); err != nil {
		t.Error(err)
	}
	k.over()
	s := trunkNow(t, p, "gw1")
	if len(s.Targets) != 3 || s.Targets[0].State != contract.TrunkOutOfService || s.Targets[1].State != contract.TrunkOutOfService ||
		s.Targets[2].State != contract.TrunkUnwatched || s.State == contract.TrunkOutOfService || s.Answers5 != 1 || s.Created != 1 {
		t.Errorf("%+v", s)
	}
	began = time.Now()
	k = call(t, alice, "64930777", bob) // those that failed are left out now
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Errorf("the second call took %v, though it is known where it has to go", took)
	}
	if err := k.out.Bye(); err != nil {
		t.Error(err)
	}
	k.over()
}

// refusing says 503 to every request.
func refusing(t *testing.T, address string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	keep := regexp.MustCompile(`(?im)^(via|from|to|call-id|cseq):.*\r\n`)
	go func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if strings.HasPrefix(string(buf[:n]), "ACK ") {
				continue
			}
			head := strings.Join(keep.FindAllString(string(buf[:n]), -1), "")
			_, _ = conn.WriteTo([]byte("SIP/2.0 503 Service Unavailable\r\n"+head+"Content-Length: 0\r\n\r\n"), from)
		}
	}()
	return conn.LocalAddr().String()
}

// A carrier that goes away is seen to, gets no calls, and is seen to come back.
func TestCarrierGoesAway(t *testing.T) {
	c := prepareCarrier(t)
	p := customer(t, c, "away", fmt.Sprintf(`      - {number: gw1, type: trunk, options: {TServer: {contact: "sip:%s", prefix: "6", replace-prefix: "", oos-check: "1", oos-force: "1", recovery-timeout: "1"}}}
`, c.address), "")
	c.start(p)
	alice := agent(t, p, "1001", "udp")
	state := func(want contract.TrunkState) func(contract.TrunkStatus) bool {
		return func(s contract.TrunkStatus) bool { return s.State == want }
	}
	awaitTrunk(t, p, "gw1", "in service", state(contract.TrunkInService))
	before := trunkNow(t, p, "gw1").OutOfServ // the carrier started after the platform
	c.proc.Stop()
	s := awaitTrunk(t, p, "gw1", "out of service", state(contract.TrunkOutOfService))
	if s.OutOfServ != before+1 || s.Reason == "" || s.Since.IsZero() {
		t.Errorf("%+v", s)
	}
	if metrics := scrape(t, p, "sip"); !strings.Contains(metrics, `sips_trunk_in_service{device_name="gw1",tenant="demo"} 0`) {
		t.Error("the metric does not say so")
	}
	peer.Poll(t, 5*time.Second, func() error { // for information: the node is ready all the same
		if ready := rest(t, p, "sip", http.MethodGet, "/readyz", http.StatusOK); !strings.Contains(ready, "demo/gw1") {
			return errors.New(ready)
		}
		return nil
	})
	began := time.Now()
	if status := alice.Dial("64930777", phone.OpenAudio(t).Offer("sendrecv")).Final(10 * time.Second); status != 503 || time.Since(began) > 3*time.Second {
		t.Errorf("a call to a trunk that is out of service got %d after %v", status, time.Since(began))
	}
	c.start(p)
	awaitTrunk(t, p, "gw1", "in service again", state(contract.TrunkInService))
	k := call(t, alice, "64930777", c.subscriber("4930777"))
	if err := k.out.Bye(); err != nil {
		t.Error(err)
	}
	k.over()
}

// The platform is registered at a provider, who wants a longer registration than it asked for, and is called there.
func TestProvider(t *testing.T) {
	c := prepareCarrier(t)
	p := customer(t, c, "provider", fmt.Sprintf(`      - {number: gw1, type: trunk, options: {TServer: {contact: "sip:%s", prefix: "6", replace-prefix: "", register: "sip:%s", register-user: "4930999", register-expires: "60",
          auth-user: "4930999", auth-password: %s, override-domain: carrier.test, trusted-source: none,
          country-code: "49", national-prefix: "0", bare-numbers: international, number-format-in: national, cpn-format-in: national}}}
`, c.address, c.address, carrierSecret), `    partitions: [{name: did, rules: [{pattern: "030999", target: "1001"}]}]
    calling_profiles: [{name: carrier, partitions: [did], default_for: [inbound]}]
`)
	c.start(p)
	alice, bob := agent(t, p, "1001", "udp"), c.subscriber("4930777")
	s := awaitTrunk(t, p, "gw1", "registered", func(s contract.TrunkStatus) bool {
		return s.Registration != nil && s.Registration.State == "registered"
	})
	if left := time.Until(s.Registration.Expires); left < 100*time.Second || left > 130*time.Second {
		t.Errorf("registered for %v more, want the 120 s that the provider wants at least", left)
	}
	k := call(t, bob, "4930999", alice)
	k.heard()
	if err := k.out.Bye(); err != nil {
		t.Error(err)
	}
	k.over()
	if r := records(t, p, 1)[0]; r.TrunkIn != "gw1" || r.Dialled != "030999" || r.Caller != "030777" || r.Answered != "1001" {
		t.Errorf("record %+v", r)
	}
	p.proc.Stop()
	p.proc.Wait(20 * time.Second)
	if status := bob.Dial("4930999", phone.OpenAudio(t).Offer("sendrecv")).Final(10 * time.Second); status != 404 {
		t.Errorf("a call after the platform stopped got %d, want 404: its registration is to be taken back", status)
	}
}

// An extension behind a softswitch is called there and calls from there, and is an extension like any other.
func TestSoftswitch(t *testing.T) {
	c := prepareCarrier(t)
	p := customer(t, c, "softswitch", fmt.Sprintf(`      - {number: pbx, type: softswitch, options: {TServer: {contact: "sip:%s", prefix: "49", oos-check: "1"}}}
      - {number: "2001", type: extension, options: {TServer: {softswitch: pbx}}}
`, c.address), "")
	c.start(p)
	alice, bob := agent(t, p, "1001", "tcp"), c.subscriber("2001")
	awaitTrunk(t, p, "pbx", "in service", func(s contract.TrunkStatus) bool { return s.State == contract.TrunkInService && s.Type == "softswitch" })
	k := call(t, alice, "2001", bob)
	k.heard()
	if err := k.in.Bye(); err != nil {
		t.Error(err)
	}
	k.over()
	k = call(t, bob, "71001", alice)
	k.heard()
	if err := k.in.Bye(); err != nil {
		t.Error(err)
	}
	k.over()
	other := c.subscriber("4930777") // not ours, but by the prefix of the softswitch
	k = call(t, alice, "4930777", other)
	if err := k.out.Bye(); err != nil {
		t.Error(err)
	}
	k.over()
	byCallee := map[string]voice.CDR{}
	for _, r := range records(t, p, 3) {
		byCallee[r.Answered] = r
	}
	if r := byCallee["2001"]; r.Type != voice.CallInternal || r.Caller != "1001" || r.TrunkOut != "pbx" {
		t.Errorf("to the extension: %+v", r)
	}
	if r := byCallee["1001"]; r.Type != voice.CallInternal || r.Caller != "2001" || r.TrunkIn != "pbx" {
		t.Errorf("from the extension: %+v", r)
	}
	if r := byCallee["4930777"]; r.Type != voice.CallOutbound || r.TrunkOut != "pbx" {
		t.Errorf("by the prefix: %+v", r)
	}
	metrics := scrape(t, p, "sip")
	for _, want := range []string{`sips_softswitch_in_service{device_name="pbx",tenant="demo"} 1`, `sips_softswitch_ncallscreated{device_name="pbx",tenant="demo"} 2`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
}

// A trunk with a password is known by it from wherever it calls, has no more calls than it may, and its address is of no help to
// others.
func TestTrunkProvesWhoItIs(t *testing.T) {
	c := prepareCarrier(t)
	p := customer(t, c, "proving", `      - {number: gw9, type: trunk, password: `+nodeSecret+`, options: {TServer: {contact: "sip:127.0.0.9", authenticate-requests: invite, capacity: "1"}}}
      - {number: gw8, type: trunk, options: {TServer: {contact: "sip:127.0.0.1:9"}}}
`, "")
	alice := agent(t, p, "1001", "udp")
	trunk := phone.NewAgent(&phone.Phone{Line: dial(t, p, "tcp"), User: "gw9", Password: nodeSecret, Domain: "demo.local"})
	t.Cleanup(trunk.Close)
	k := call(t, trunk, "1001", alice)
	k.heard()
	if s := trunkNow(t, p, "gw9"); s.Calls != 1 || s.Received != 1 {
		t.Errorf("while its call goes on: %+v", s)
	}
	if status := trunk.Dial("1001", phone.OpenAudio(t).Offer("sendrecv")).Final(10 * time.Second); status != 503 {
		t.Errorf("a second call got %d, want 503", status)
	}
	if err := k.out.Bye(); err != nil {
		t.Error(err)
	}
	k.over()
	if r := records(t, p, 1)[0]; r.TrunkIn != "gw9" || r.Type != voice.CallInbound {
		t.Errorf("record %+v", r)
	}
	if answer := stranger(t, p, "INVITE", "1001"); !strings.HasPrefix(answer, "SIP/2.0 407") { // it comes from the address of gw8, and from another port
		t.Errorf("a stranger at a carrier's address got %s", answer)
	}
}
