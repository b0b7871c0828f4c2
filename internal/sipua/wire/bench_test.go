package wire

import "testing"

func BenchmarkScanRegister(b *testing.B) {
	data := register("Contact: <sip:1001@192.0.2.7:5062>;expires=3600", "User-Agent: Phone 1.0", "Expires: 3600",
		`Authorization: Digest username="1001", realm="demo.local", nonce="abcdefghijklmnop", uri="sip:demo.local", response="0123456789abcdef0123456789abcdef", algorithm=MD5`,
		"Content-Length: 0")
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		if err := Scan(&m, data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	var m Message
	if err := Scan(&m, register("Content-Length: 0")); err != nil {
		b.Fatal(err)
	}
	var out []byte
	tag := []byte("0123456789abcdef")
	b.ReportAllocs()
	for b.Loop() {
		out = AppendEnd(AppendAnswer(out[:0], &m, 200, "OK", source, tag))
	}
}
