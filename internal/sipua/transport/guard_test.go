package transport

import (
	"bytes"
	"strings"
	"testing"
)

func TestStartLine(t *testing.T) {
	for line, want := range map[string]bool{
		"INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0": true,
		"!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0": true,
		"OPTIONS sip:user@example.com SIP/7.0":         true, // RFC 4475 §3.1.2.16: the parser answers 505
		"INVITE  sip:user@example.com  SIP/2.0":        true, // §3.1.2.7: the parser answers 400
		"OPTIONS sip:user@example.com SIP/2.0  ":       true, // §3.1.2.8
		"OPTIONS nobodyKnowsThisScheme:x SIP/2.0":      true, // §3.3.2: the parser answers 416
		"register sip:a sip/2.0":                       true,
		"SIP/2.0 200 OK":                               true,
		"SIP/2.0 200 ":                                 true,
		"SIP/2.0 200":                                  true,
		"SIP/2.0 100 = 2**3 * 5**2 но сто девяносто":   true,
		"SIP/2.0 4294967301 better not break":          false, // §3.1.2.19: no status
		"SIP/2.0 20x OK":                               false,
		"SIP/2.0200 OK":                                false,
		"SIP/2.0":                                      false,
		"SIP/ 200 OK":                                  false,
		"SIP/2 200 OK":                                 false,
		"":                                             false,
		" ":                                            false,
		"OPTIONS SIP/2.0":                              false,
		"OPTIONS  SIP/2.0":                             false,
		"OPTIONS sip:a":                                false,
		"OPTIONS sip:a HTTP/1.1":                       false,
		"GET / HTTP/1.1":                               false,
		"OPT\x00IONS sip:a SIP/2.0":                    false,
		"OPTIONS sip:a\x07 SIP/2.0":                    false,
		"OPTIONS\tsip:a SIP/2.0":                       false,
		strings.Repeat("M", 65) + " sip:a SIP/2.0":     false,
		strings.Repeat("M", 64) + " sip:a SIP/2.0":     true,
		"OPTIONS sip:a SIP/2.0x":                       false,
		"OPTIONS sip:a SIP/22222222222222222222222222": false,
	} {
		if got := isStartLine([]byte(line)); got != want {
			t.Errorf("isStartLine(%q) = %t, want %t", line, got, want)
		}
	}
}

// FuzzStartLine: the sieve never panics, and what it lets through has the two blanks and the version a parser needs.
func FuzzStartLine(f *testing.F) {
	f.Add([]byte("INVITE sip:a@b SIP/2.0\r\n\r\n"))
	f.Add([]byte("SIP/2.0 200 OK\r\n\r\n"))
	f.Add([]byte("SIP/2.0 200\n"))
	f.Add([]byte("\x00\x01\x00\x00\x21\x12\xa4\x42"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkDatagram(b) != accepted {
			return
		}
		line, _, _ := bytes.Cut(b, []byte("\n"))
		if !bytes.Contains(bytes.ToUpper(line), []byte("SIP/")) || bytes.Count(line, []byte(" ")) < 1 {
			t.Fatalf("let %q through", line)
		}
		if isKeepAlive(b) {
			t.Fatalf("%q is a message and a keep-alive", b)
		}
	})
}
