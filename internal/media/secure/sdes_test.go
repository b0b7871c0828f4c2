package secure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/pion/rtcp"
)

// reports are RTCP of a source.
func reports(t testing.TB, ssrc uint32) []byte {
	t.Helper()
	b, err := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: ssrc, PacketCount: 5}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReportsComeBack(t *testing.T) {
	for _, s := range Suites() {
		a, b := pairOf(t, s)
		plain := reports(t, 7)
		for range 3 {
			sent, err := a.Protect([]byte("before"), plain, true)
			if err != nil || !bytes.HasPrefix(sent, append([]byte("before"), plain[:8]...)) || bytes.Contains(sent, plain[8:]) {
				t.Fatalf("%v: %x (%v) is not the report, encrypted, behind what was there", s, sent, err)
			}
			sent = sent[len("before"):]
			got, err := b.Unprotect([]byte("before"), sent, true)
			if err != nil || string(got) != "before"+string(plain) {
				t.Fatalf("%v: came back as %x (%v)", s, got, err)
			}
			if _, err := b.Unprotect(nil, sent, true); !errors.Is(err, ErrForged) {
				t.Errorf("%v: a report that comes twice: %v", s, err)
			}
		}
	}
}

// A packet is taken once, and never when a bit of it is another, or it is under another key, or not encrypted at all.
func TestForgeriesAreDropped(t *testing.T) {
	for _, s := range Suites() {
		a, b := pairOf(t, s)
		other, _ := pairOf(t, s)
		plain := packetOf(t, 7, 1, 160)
		sent, err := a.Protect(nil, plain, false)
		if err != nil {
			t.Fatal(err)
		}
		for i := range sent {
			bad := bytes.Clone(sent)
			bad[i] ^= 1
			if got, err := b.Unprotect(nil, bad, false); err == nil {
				t.Fatalf("%v: taken with byte %d changed: %x", s, i, got)
			}
		}
		alien, err := other.Protect(nil, plain, false)
		if err != nil {
			t.Fatal(err)
		}
		for name, p := range map[string][]byte{"under another key": alien, "not encrypted": plain, "cut": sent[:len(sent)-1], "short": sent[:11], "empty": nil} {
			if _, err := b.Unprotect(nil, p, false); err == nil {
				t.Errorf("%v: taken: a packet %s", s, name)
			}
		}
		if got, err := b.Unprotect(nil, sent, false); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%v: the packet itself: %x (%v)", s, got, err)
		}
		if _, err := b.Unprotect(nil, sent, false); !errors.Is(err, ErrForged) {
			t.Errorf("%v: the packet again: %v", s, err)
		}
	}
}

func TestNoMemoryForStrangers(t *testing.T) {
	a, b := pairOf(t, CM80)
	forged := packetOf(t, 0, 1, 100)
	for i := range 10000 {
		forged[8], forged[9] = byte(i>>8), byte(i)
		if _, err := b.Unprotect(nil, forged, false); !errors.Is(err, ErrForged) {
			t.Fatal(err)
		}
	}
	if n := len(b.session.in.sources); n != 0 {
		t.Errorf("%d sources are remembered of a stranger", n)
	}
	for ssrc := range uint32(2 * maxSources) { // the peer itself may not go on for ever either
		a.session.out.sent = nil // it may have as many as it likes
		sent, err := a.Protect(nil, packetOf(t, ssrc, 1, 100), false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = b.Unprotect(nil, sent, false); ssrc < maxSources && err != nil || ssrc >= maxSources && !errors.Is(err, ErrSources) {
			t.Fatalf("source %d: %v", ssrc, err)
		}
	}
}

// No two packets go out under one number, whatever the peer whose packets are passed on does with his.
func TestNumbersAreUsedOnce(t *testing.T) {
	a, _ := pairOf(t, GCM128)
	for i, step := range []struct {
		seq  uint16
		want error
	}{
		{65534, nil}, {65535, nil}, {1, nil}, {1, ErrRepeated}, {0, nil}, {65535, ErrRepeated}, {65472, ErrRepeated}, {65480, nil},
		{65480, ErrRepeated}, {500, nil}, {437, nil}, {436, ErrRepeated}, {437, ErrRepeated}, {501, nil}, {500, ErrRepeated},
	} {
		if _, err := a.Protect(nil, packetOf(t, 7, step.seq, 20), false); !errors.Is(err, step.want) {
			t.Errorf("step %d, number %d: %v, want %v", i, step.seq, err, step.want)
		}
	}
	for ssrc := range uint32(maxOwn) {
		if _, err := a.Protect(nil, packetOf(t, 8+ssrc, 1, 20), false); ssrc < maxOwn-1 && err != nil || ssrc == maxOwn-1 && !errors.Is(err, ErrSources) {
			t.Errorf("source %d of ours: %v", ssrc+1, err)
		}
	}
}

// Over a re-INVITE the rollover counter of a key that stays is kept, and packets on their way under a former key are read
// until the first one of the new key.
func TestKeysOverReinvites(t *testing.T) {
	mine, theirs := NewCrypto(1, GCM128), NewCrypto(1, GCM128)
	a, errA := NewSDES(mine, theirs)
	b, errB := NewSDES(theirs, mine)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	defer a.Close()
	defer b.Close()
	pass := func(seq uint16) error {
		t.Helper()
		sent, err := a.Protect(nil, packetOf(t, 7, seq, 20), false)
		if err == nil {
			_, err = b.Unprotect(nil, sent, false)
		}
		return err
	}
	for seq := 0; seq <= 65000; seq += 1000 {
		if err := pass(uint16(seq)); err != nil {
			t.Fatal(err)
		}
	}
	if err := pass(10); err != nil { // the counter is 1 now
		t.Fatal(err)
	}
	if err := errors.Join(a.Agree(mine, theirs), b.Agree(theirs, mine), pass(11)); err != nil {
		t.Fatalf("after a re-INVITE with the same keys: %v", err)
	}
	if roc, _ := b.session.in.ctx.ROC(7); roc != 1 {
		t.Errorf("rollover counter %d, want 1", roc)
	}
	late, err := a.Protect(nil, packetOf(t, 7, 12, 20), false)
	if err != nil {
		t.Fatal(err)
	}
	later, err := a.Protect(nil, packetOf(t, 7, 13, 20), false)
	if err != nil {
		t.Fatal(err)
	}
	next := NewCrypto(1, GCM128)
	if err := b.Agree(theirs, next); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Unprotect(nil, late, false); err != nil {
		t.Errorf("a packet under the former key: %v", err)
	}
	if err := errors.Join(a.Agree(next, theirs), pass(14)); err != nil {
		t.Fatalf("under the new key: %v", err)
	}
	if _, err := b.Unprotect(nil, later, false); !errors.Is(err, ErrForged) {
		t.Errorf("the former key after the new one: %v", err)
	}
	if err := a.Agree(NewCrypto(1, CM80), theirs); err == nil {
		t.Error("two suites at once")
	}
	a.Close()
	if _, err := a.Protect(nil, packetOf(t, 7, 15, 20), false); !errors.Is(err, ErrNoKeys) {
		t.Errorf("after the end: %v", err)
	}
}

func TestSecretsHide(t *testing.T) {
	c := NewCrypto(1, CM80)
	secret := strings.TrimPrefix(c.Key.inline(), "inline:")[:20]
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("agreed", "crypto", c, "key", c.Key)
	slog.New(slog.NewTextHandler(&log, nil)).Info("agreed", "crypto", c, "key", &c.Key)
	asJSON, err := json.Marshal(map[string]any{"key": c.Key})
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(asJSON)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown += fmt.Sprintf(verb+verb+verb, c, c.Key, &c)
	}
	if strings.Contains(shown, secret) || strings.Contains(shown, fmt.Sprintf("%x", c.Key.b[:8])) || strings.Contains(shown, fmt.Sprint(c.Key.b[0], " ", c.Key.b[1], " ", c.Key.b[2])) {
		t.Errorf("a key is shown: %s", shown)
	}
	_, err = ParseCrypto(c.Attribute() + " KDR=1")
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("error %q", err)
	}
	c.Key.Wipe()
	if c.Key.b != [keySize + saltSize]byte{} {
		t.Error("a key is there after it was wiped")
	}
}
