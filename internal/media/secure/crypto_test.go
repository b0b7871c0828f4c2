package secure

import (
	"bytes"
	"errors"
	"testing"
)

const someKey = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj" // of RFC 4568

func TestParseCrypto(t *testing.T) {
	for name, c := range map[string]struct {
		value string
		suite Suite
		mki   string
		err   error
	}{
		"RFC 4568 §9.1":            {"1 AES_CM_128_HMAC_SHA1_80 inline:" + someKey + "|2^20|1:32", CM80, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", nil},
		"short tag":                {"2 AES_CM_128_HMAC_SHA1_32 inline:" + someKey, CM32, "", nil},
		"lifetime only":            {"2 AES_CM_128_HMAC_SHA1_32 inline:" + someKey + "|1048576", CM32, "", nil},
		"MKI only":                 {"2 AES_CM_128_HMAC_SHA1_32 inline:" + someKey + "|258:4", CM32, "\x00\x00\x01\x02", nil},
		"GCM":                      {"3 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0OD6ChoqOkpaanqKmqqw==", GCM128, "", nil},
		"GCM, unpadded":            {"3 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0OD6ChoqOkpaanqKmqqw", GCM128, "", nil},
		"window, ignorable":        {"1 AES_CM_128_HMAC_SHA1_80 inline:" + someKey + " WSH=128 -NEW=1", CM80, "", nil},
		"suite of others":          {"1 F8_128_HMAC_SHA1_80 inline:" + someKey, 0, "", ErrUnsupported},
		"several keys":             {"1 AES_CM_128_HMAC_SHA1_80 inline:" + someKey + "|1:4;inline:" + someKey + "|2:4", 0, "", ErrUnsupported},
		"not encrypted":            {"1 AES_CM_128_HMAC_SHA1_80 inline:" + someKey + " UNENCRYPTED_SRTP", 0, "", ErrUnsupported},
		"key derivation rate":      {"1 AES_CM_128_HMAC_SHA1_80 inline:" + someKey + " KDR=1", 0, "", ErrUnsupported},
		"key by reference":         {"1 AES_CM_128_HMAC_SHA1_80 uri:" + someKey, 0, "", ErrUnsupported},
		"key of another suite":     {"1 AEAD_AES_128_GCM inline:" + someKey, 0, "", errCrypto},
		"no base64":                {"1 AES_CM_128_HMAC_SHA1_80 inline:****************************************", 0, "", errCrypto},
		"no tag":                   {"one AES_CM_128_HMAC_SHA1_80 inline:" + someKey, 0, "", errCrypto},
		"tag of ten digits":        {"1000000000 AES_CM_128_HMAC_SHA1_80 inline:" + someKey, 0, "", errCrypto},
		"MKI longer than allowed":  {"1 AES_CM_128_HMAC_SHA1_80 inline:" + someKey + "|1:129", 0, "", errCrypto},
		"MKI that does not fit":    {"1 AES_CM_128_HMAC_SHA1_80 inline:" + someKey + "|256:1", 0, "", errCrypto},
		"lifetime that is nothing": {"1 AES_CM_128_HMAC_SHA1_80 inline:" + someKey + "|long", 0, "", errCrypto},
		"nothing":                  {"", 0, "", errCrypto},
	} {
		got, err := ParseCrypto(c.value)
		if !errors.Is(err, c.err) || got.Suite != c.suite && err == nil || got.mki != c.mki {
			t.Errorf("%s: suite %v, MKI %x, %v; want %v, %x, %v", name, got.Suite, got.mki, err, c.suite, c.mki, c.err)
		}
	}
}

// What we write is read back as it was, and an offer and its answer make two guards that understand each other.
func TestOfferAndAnswer(t *testing.T) {
	offer := Offer()
	var lines []string
	for _, c := range offer {
		lines = append(lines, c.Attribute())
		if back, err := ParseCrypto(c.Attribute()); err != nil || !back.same(c) || back.Tag != c.Tag {
			t.Errorf("%v came back as %v (%v)", c, back, err)
		}
	}
	lines = append([]string{"9 AES_256_CM_HMAC_SHA1_80 inline:AAAA"}, lines...)
	remote, answer, err := Choose(lines)
	if err != nil || answer.Tag != 1 || answer.Suite != GCM128 || answer.same(remote) {
		t.Fatalf("chose %v, answered %v: %v", remote, answer, err)
	}
	ours, theirs, err := Accept(offer, answer.Attribute())
	if err != nil || !ours.same(remote) || !theirs.same(answer) {
		t.Fatalf("accepted %v %v: %v", ours, theirs, err)
	}
	if _, _, err := Accept(offer, NewCrypto(2, GCM128).Attribute()); err == nil {
		t.Error("an answer that took the tag of one line and the suite of another")
	}
	if _, _, err := Choose(lines[:1]); !errors.Is(err, ErrUnsupported) {
		t.Errorf("an offer with nothing for us: %v", err)
	}
	if _, _, err := Choose(nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("an empty offer: %v", err)
	}
}

// A peer's packets may carry the identifier of its key.
func TestMasterKeyIdentifier(t *testing.T) {
	for _, s := range Suites() {
		line, err := ParseCrypto(NewCrypto(1, s).Attribute() + "|7:4")
		if err != nil {
			t.Fatal(err)
		}
		plain := NewCrypto(1, s)
		peer, errPeer := NewSDES(line, plain)
		ours, errOurs := NewSDES(plain, line)
		if errPeer != nil || errOurs != nil {
			t.Fatal(errPeer, errOurs)
		}
		defer peer.Close()
		defer ours.Close()
		packet := packetOf(t, 7, 1, 160)
		sent, err := peer.Protect(nil, packet, false)
		if err != nil || !bytes.Contains(sent, []byte{0, 0, 0, 7}) {
			t.Fatalf("%v: %x (%v) has no MKI", s, sent, err)
		}
		if got, err := ours.Unprotect(nil, sent, false); err != nil || !bytes.Equal(got, packet) {
			t.Errorf("%v: %x (%v)", s, got, err)
		}
		report := reports(t, 7)
		if sent, err = peer.Protect(nil, report, true); err != nil {
			t.Fatal(err)
		}
		if got, err := ours.Unprotect(nil, sent, true); err != nil || !bytes.Equal(got, report) {
			t.Errorf("%v: %x (%v)", s, got, err)
		}
	}
}

func FuzzParseCrypto(f *testing.F) {
	f.Add("1 AES_CM_128_HMAC_SHA1_80 inline:" + someKey + "|2^20|1:32 WSH=64")
	f.Add("3 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0OD6ChoqOkpaanqKmqqw==")
	f.Fuzz(func(t *testing.T, value string) {
		c, err := ParseCrypto(value)
		if err != nil {
			return
		}
		if len(c.mki) == 0 {
			if back, err := ParseCrypto(c.Attribute()); err != nil || !back.same(c) {
				t.Fatalf("%q came back as %v (%v)", value, back, err)
			}
		}
		g, err := NewSDES(NewCrypto(c.Tag, c.Suite), c)
		if err != nil {
			t.Fatal(err)
		}
		g.Close()
	})
}
