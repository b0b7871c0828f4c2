package sipproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/sipua/transport"
	"parley/internal/sipua/wire"
	"parley/internal/voice"
)

// traceOf asks the door for the messages of a call.
func (h *house) traceOf(callID, uuid string) (contract.TraceResponse, error) {
	return fabric.CallNode(context.Background(), h.f, contract.Trace, h.f.Node(), contract.TraceRequest{CallID: callID, CallUUID: uuid})
}

// starts lists what messages begin with, with an arrow for the direction.
func starts(list []contract.TraceMessage) []string {
	var out []string
	for _, m := range list {
		what, _, _ := strings.Cut(m.Text, "\r\n")
		what, _, _ = strings.Cut(strings.TrimPrefix(what, "SIP/2.0 "), " ")
		out = append(out, map[bool]string{true: "<", false: ">"}[m.Sent]+what)
	}
	return out
}

func TestTraceHoldsACallAsItWentOverTheWire(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			h := start(t, func(o *Options) { o.Node = newLocalNode() })
			p := dial(t, network, h.address(network))
			begun := time.Now()
			p.send(p.registerLines(1)...)
			p.expect("200")
			talk(p, "traced-1")
			talk(p, "traced-2")
			want := ">INVITE <100 <180 <200 >ACK >INVITE <100 <180 <200 >ACK >INFO <200 >BYE <200"
			var got contract.TraceResponse
			eventually(t, "the trace is "+want, func() (ok bool) { // a message is noted after it was sent
				var err error
				if got, err = h.traceOf("traced-1", ""); err != nil {
					t.Fatal(err)
				}
				return strings.Join(starts(got.Messages), " ") == want
			})
			for _, m := range got.Messages {
				if m.Transport != network || m.Local != h.address(network) || m.Remote != p.addr() || m.CallID != "traced-1" || m.Node != h.f.Node() {
					t.Errorf("a message of %+v", m)
				}
				if m.Time.Before(begun) || m.Time.After(time.Now()) {
					t.Errorf("time %v of %q", m.Time, m.Text)
				}
			}
			if got.Lost {
				t.Error("messages are said to be lost")
			}
			for _, id := range []string{"reg-" + p.addr(), "traced-", "traced-3"} {
				if got, err := h.traceOf(id, ""); err != nil || len(got.Messages) > 0 {
					t.Errorf("Call-ID %s: %v %v, want nothing", id, starts(got.Messages), err)
				}
			}
		})
	}
}

func TestTraceOverREST(t *testing.T) {
	const uuid = "0123456789abcdef0123456789abcdef"
	who := voice.Principal{Tenant: "demo", User: "sven", Roles: []voice.Role{voice.RoleSupervisor}}
	h := start(t, func(o *Options) {
		o.Node = newLocalNode()
		o.Verify = func(context.Context, string) (voice.Principal, error) { return who, nil }
	})
	handle(t, t.Context(), h.f, contract.CDRGet, func(_ context.Context, k contract.CDRKey) (voice.CDR, error) {
		if k.Tenant != "demo" || k.CallUUID != uuid {
			return voice.CDR{}, voice.ErrNotFound
		}
		return voice.CDR{Tenant: "demo", CallUUID: uuid, SIPCallID: "rest-1"}, nil
	})
	talk(dial(t, "udp", h.address("udp")), "rest-1")
	eventually(t, "the answer to BYE is noted", func() bool { // which the phone may have read before
		got, err := h.traceOf("rest-1", "")
		return err == nil && strings.HasSuffix(strings.Join(starts(got.Messages), " "), ">BYE <200")
	})
	get := h.serveREST()
	status, body := get("/api/v1/tenants/demo/calls/"+uuid+"/sip", "good")
	var got CallTrace
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 || len(got.Messages) < 10 || got.Messages[0].CallID != "rest-1" {
		t.Errorf("the messages: %d %v\n%s", status, err, body)
	}
	status, body = get("/api/v1/tenants/demo/calls/"+uuid+"/sip.txt", "good")
	if status != 200 || !strings.HasPrefix(body, "---- ") || strings.Count(body, "\n---- ") != len(got.Messages)-1 || !strings.Contains(body, "\nBYE sip:") {
		t.Errorf("the messages as text: %d\n%s", status, body)
	}
	if status, _ = get("/api/v1/tenants/demo/calls/none/sip", "good"); status != 404 {
		t.Errorf("a call that never was: %d", status)
	}
	if status, _ = get("/api/v1/tenants/acme/calls/"+uuid+"/sip", "good"); status != 403 {
		t.Errorf("a call of another tenant: %d", status)
	}
	who.Roles = []voice.Role{voice.RoleAgent}
	if status, _ = get("/api/v1/tenants/demo/calls/"+uuid+"/sip.txt", "good"); status != 403 {
		t.Errorf("an agent: %d", status)
	}
}

func TestTraceFindsTheLegsOfACall(t *testing.T) {
	const uuid = "0123456789abcdef0123456789abcdef"
	s := traceService(t, minTrace)
	for _, id := range []string{"caller-leg", uuid + ".1@node", uuid + ".2@node", "x" + uuid, "other"} {
		s.trace.put(time.Now(), true, transport.Flow{}, text("BYE sip:a@b SIP/2.0", "Subject: "+uuid, "Call-ID: "+id, "CSeq: 1 BYE"))
	}
	got, err := s.Trace(t.Context(), contract.TraceRequest{CallID: "caller-leg", CallUUID: uuid})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range got.Messages {
		ids = append(ids, m.CallID)
	}
	if want := "caller-leg " + uuid + ".1@node " + uuid + ".2@node"; strings.Join(ids, " ") != want {
		t.Errorf("found %q, want %q", ids, want)
	}
	for _, req := range []contract.TraceRequest{{}, {CallUUID: "0123"}} {
		if _, err := s.Trace(t.Context(), req); !errors.Is(err, voice.ErrInvalid) {
			t.Errorf("Trace(%+v) = %v, want it refused", req, err)
		}
	}
}

func TestTraceSwitchedOff(t *testing.T) {
	s := traceService(t, 0)
	s.trace.received(&transport.Message{}, "INVITE") // must do nothing
	if _, err := s.Trace(t.Context(), contract.TraceRequest{CallID: "c"}); !errors.Is(err, voice.ErrUnavailable) {
		t.Errorf("Trace = %v, want ErrUnavailable", err)
	}
}

// traceService is a front door that is not running, for what needs its trace only.
func traceService(t testing.TB, size int) *Service {
	h := start(t, func(o *Options) { o.Config.Trace = size })
	return h.s
}

func invite(id, more string) []byte {
	return text("INVITE sip:1002@demo.local SIP/2.0", "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", "Call-ID: "+id, "CSeq: 1 INVITE", "Subject: "+more)
}

func TestTraceIsBounded(t *testing.T) {
	tr := newTrace(minTrace)
	now := time.Now()
	for i := range 20_000 { // 8 MB into one
		tr.put(now, false, transport.Flow{}, invite(fmt.Sprintf("call-%d", i), strings.Repeat("x", 200+i%300)))
	}
	room := 0
	for i := range tr.shards {
		for _, c := range tr.shards[i].chunks {
			room += cap(c)
		}
	}
	if room != minTrace {
		t.Errorf("the ring takes %d bytes, want %d", room, minTrace)
	}
	var turns []uint64
	lost := tr.each([][]byte{[]byte("INVITE")}, func(r traceRecord) bool {
		turns = append(turns, r.turn)
		if want := fmt.Sprintf("Call-ID: call-%d\r\n", r.turn-1); !strings.Contains(string(r.data), want) {
			t.Fatalf("turn %d holds\n%s", r.turn, r.data)
		}
		return true
	})
	oldest := turns[0]
	for _, n := range turns {
		oldest = min(oldest, n)
	}
	if !lost || len(turns) < 1000 || uint64(len(turns)) < (20_000-oldest)*8/10 {
		t.Errorf("%d messages remembered, the oldest %d, lost %v", len(turns), oldest, lost)
	}
	tr.put(now, false, transport.Flow{}, make([]byte, traceChunk)) // longer than any message
}

func TestTraceSaysWhatIsLost(t *testing.T) {
	s := traceService(t, minTrace)
	put := func(b []byte) { s.trace.put(time.Now(), false, transport.Flow{}, b) }
	put(invite("early", ""))
	flood := func() {
		for i := range 8000 {
			put(invite(fmt.Sprint(i), strings.Repeat("x", 300)))
		}
	}
	flood()
	put(text("BYE sip:a@b SIP/2.0", "To: <sip:b@b>;tag=1", "Call-ID: early", "CSeq: 2 BYE"))
	put(invite("late", ""))
	for id, want := range map[string]bool{"early": true, "late": false, "never": true} {
		if got, err := s.Trace(t.Context(), contract.TraceRequest{CallID: id}); err != nil || got.Lost != want {
			t.Errorf("%s: %v, lost %v, %v; want %v", id, starts(got.Messages), got.Lost, err, want)
		}
	}
}

func TestTraceByManyAtOnce(t *testing.T) {
	s := traceService(t, minTrace)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				s.trace.put(time.Now(), true, transport.Flow{}, invite(fmt.Sprintf("%d-%d", w, i), "x"))
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			if _, err := s.Trace(t.Context(), contract.TraceRequest{CallID: "1-999"}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if got, err := s.Trace(t.Context(), contract.TraceRequest{CallID: "1-999"}); err != nil || len(got.Messages) != 1 {
		t.Errorf("%v, %v", starts(got.Messages), err)
	}
}

func TestWhatIsTraced(t *testing.T) {
	for first, want := range map[string]bool{
		"INVITE sip:a@b SIP/2.0": true, "ACK sip:a@b SIP/2.0": true, "UPDATE sip:a@b SIP/2.0": true, "PRACK sip:a@b SIP/2.0": true,
		"REGISTER sip:b SIP/2.0": false, "OPTIONS sip:b SIP/2.0": false, "SUBSCRIBE sip:b SIP/2.0": false, "INVITED sip:b SIP/2.0": false, "": false,
		"SIP/2.0 200 OK\r\nCSeq: 1 REGISTER\r\nX: y": false, "SIP/2.0 200 OK\r\nCSeq:7  INVITE \r\nX: y": true, "SIP/2.0 200 OK\r\nCSeq: 1 OPTIONS": false,
		"SIP/2.0 200 OK\r\ncseq: 1 INVITE": true,
	} {
		if got := tracedBytes([]byte(first)); got != want {
			t.Errorf("tracedBytes(%q) = %v", first, got)
		}
	}
}

func TestTraceGivesNoSecrets(t *testing.T) {
	in := string(text("INVITE sip:1002@demo.local SIP/2.0", "Call-ID: c",
		`Authorization: Digest username="1001", realm="demo.local", nonce="SECRET1", uri="sip:1002@demo.local", response="SECRET2",`,
		` cnonce = "SECRET\"3", nc=00000001, opaque=SECRET4, qop=auth`,
		`PROXY-AUTHORIZATION : digest Response=SECRET5,nonce="SECRET6`,
		`WWW-Authenticate: Digest realm="demo.local", nonce="SECRET7", algorithm=MD5`, `Authorization: Bearer SECRET8`,
		"Subject: the response=is not a credential")) +
		"v=0\r\nk=clear:SECRET9\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRETA|2^20|1:4 inline:SECRETB\r\na=key-mgmt:mikey SECRETC\r\na=ice-pwd:SECRETG\r\n"
	out := redact([]byte(in))
	if strings.Contains(out, "SECRET") {
		t.Errorf("left in:\n%s", out)
	}
	for _, want := range []string{`username="1001"`, `uri="sip:1002@demo.local"`, "nc=00000001", "Subject: the response=is not a credential",
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***|2^20|1:4 inline:***", `WWW-Authenticate: Digest realm="demo.local", nonce=***, algorithm=MD5`} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is gone:\n%s", want, out)
		}
	}
	if got := redact([]byte("INFO sip:a@b SIP/2.0\r\nCall-ID: c\r\n\r\nSignal=5\r\nDuration=160\r\n")); strings.Contains(got, "5\r\n") {
		t.Errorf("a digit is left:\n%s", got)
	}
}

// FuzzRedact looks for a way to write credentials so that they are left in.
func FuzzRedact(f *testing.F) {
	f.Add("Authorization", "username=\"a\", ", "\"", "")
	f.Add("proxy-authorization", "x=\"y\",\r\n\t", "", ", qop=auth")
	f.Fuzz(func(t *testing.T, name, before, quote, after string) {
		const secret = "5ecre7Va1ue"
		if quote != "" {
			quote = `"`
		}
		data := []byte("INVITE sip:a@b SIP/2.0\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n" + name + ": Digest " + before + "response=" + quote + secret + quote + after + "\r\n\r\n")
		var m wire.Message
		_ = wire.Scan(&m, data)
		out := redact(data)
		for i := range m.Headers {
			h := &m.Headers[i]
			id := strings.ToLower(string(m.Name(h)))
			if id != "authorization" && id != "proxy-authorization" {
				continue
			}
			_, params, _ := strings.Cut(string(m.Value(h)), " ")
			for _, p := range strings.Split(params, ",") { // commas within quotes make more parts, none that looks like this
				if key, value, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(key, "response") && strings.Trim(value, `"`) == secret && strings.Contains(out, secret) {
					t.Errorf("left in:\n%q\nof\n%q", out, data)
				}
			}
		}
	})
}

func TestTraceKnowsNodes(t *testing.T) {
	h := start(t, nil)
	a := newRemoteNode(t, "a")
	h.announce("a", a.addr(), &contract.SIPNodeRecord{})
	p := dial(t, "udp", h.address("udp"))
	talk(p, "through-a")
	got, err := h.traceOf("through-a", "")
	if err != nil {
		t.Fatal(err)
	}
	ways := map[string]int{}
	for _, m := range got.Messages {
		ways[m.Transport+" "+m.Remote]++
	}
	if ways["node "+a.addr()] == 0 || ways["udp "+p.addr()] == 0 || len(ways) != 2 {
		t.Errorf("messages went %v, want them by node to %s and by udp to %s", ways, a.addr(), p.addr())
	}
}

func TestTraceSetting(t *testing.T) {
	for size, ok := range map[int]bool{0: true, minTrace: true, 16 << 20: true, minTrace - 1: false, -1: false, maxTrace + 1: false} {
		c := DefaultConfig()
		c.Trace = size
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("trace %d: %v", size, err)
		}
	}
}

// BenchmarkTrace is what remembering costs a message of the usual length.
func BenchmarkTrace(b *testing.B) {
	message := invite("3c26-7b9f@192.0.2.7", strings.Repeat("x", 700))
	ok := text("SIP/2.0 200 OK", "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", "From: <sip:1001@demo.local>;tag=f", "To: <sip:1001@demo.local>", "Call-ID: reg-1", "CSeq: 1 REGISTER")
	msg := &transport.Message{Data: message, Received: time.Now()}
	for name, run := range map[string]func(*trace){
		"received":     func(t *trace) { t.received(msg, "INVITE") },
		"sent":         func(t *trace) { t.sent(transport.Flow{}, message, time.Now()) },
		"sent, not it": func(t *trace) { t.sent(transport.Flow{}, ok, time.Now()) },
	} {
		b.Run(name, func(b *testing.B) {
			t := newTrace(16 << 20)
			for b.Loop() {
				run(t)
			}
			b.ReportAllocs()
		})
	}
	b.Run("both cores", func(b *testing.B) {
		t := newTrace(16 << 20)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				t.sent(transport.Flow{}, message, time.Now())
			}
		})
	})
	b.Run("off", func(b *testing.B) {
		var t *trace
		for b.Loop() {
			t.received(msg, "INVITE")
		}
	})
}

// BenchmarkTraceRead is looking a call up in a full ring.
func BenchmarkTraceRead(b *testing.B) {
	s := traceService(b, 16<<20)
	for i := range 30_000 {
		s.trace.put(time.Now(), true, transport.Flow{}, invite(fmt.Sprint("call-", i), strings.Repeat("x", 500)))
	}
	b.ResetTimer()
	for b.Loop() {
		if got, err := s.Trace(b.Context(), contract.TraceRequest{CallID: "call-29000", CallUUID: "0123456789abcdef0123456789abcdef"}); err != nil || len(got.Messages) != 1 {
			b.Fatal(got, err)
		}
	}
}

func TestTraceKeepsAddresses(t *testing.T) {
	for _, text := range []string{"192.0.2.1:5060", "[2001:db8::1]:65535", "0.0.0.0:0"} {
		a := netip.MustParseAddrPort(text)
		var b [18]byte
		putAddress(b[:], a)
		if got := address(b[:]); got != a {
			t.Errorf("%v came back as %v", a, got)
		}
	}
}
