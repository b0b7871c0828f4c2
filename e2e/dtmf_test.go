package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/e2e/phone"
	"parley/internal/media/audio"
	"parley/internal/media/codec/g711"
	"parley/internal/media/dtmf"
)

// tones are the keys that can be heard in the sound that came to a phone, as its ear would have it.
func tones(t *testing.T, a *phone.Audio) string {
	t.Helper()
	var keys []byte
	d, err := dtmf.NewDetector(audio.Narrow, func(d dtmf.Digit) { keys = append(keys, d.Key) })
	if err != nil {
		t.Fatal(err)
	}
	listen := func(pcm []int16) {
		if err := d.Write(pcm); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range a.Got() {
		if p.Type == phone.PCMU {
			listen(g711.AppendLinearU(nil, p.Payload))
		}
	}
	listen(make([]int16, audio.Narrow/10))
	return string(keys)
}

// A softphone presses keys as telephone-events. A phone that knows none of them, behind an old gateway say, hears tones.
func TestKeysOfASoftphoneBecomeTones(t *testing.T) {
	t.Parallel()
	p := house(t, "tones")
	bob := agent(t, p, "1002", "udp")
	bare := peer.Baresip(t, peer.Account{User: "1001", Password: nodeSecret, Domain: "demo.local", Transport: "tcp", Server: p.sip("tcp"),
		Plays: sine(t, filepath.Join(t.TempDir(), "tone.wav"), 500)})
	in := calledBy(t, bare, bob)
	ear := phone.OpenAudio(t)
	if err := in.Answer(withoutEvents(ear.Offer("sendrecv"))); err != nil {
		t.Fatal(err)
	}
	bare.Await(`Call established`, 20*time.Second)
	const keys = "1479*0#"
	for i := range keys {
		bare.Type(keys[i : i+1])
		peer.Poll(t, 20*time.Second, func() error {
			if got := tones(t, ear); got != keys[:i+1] {
				return fmt.Errorf("heard %q after %q were pressed", got, keys[:i+1])
			}
			return nil
		})
	}
	if got := digits(ear); len(got) > 0 {
		t.Errorf("the phone got telephone-events as well, which it does not know: %v", got)
	}
	bare.Type("/hangup")
	select {
	case <-in.Ended:
	case <-time.After(20 * time.Second):
		t.Errorf("the other phone was not told:\n%s", bare.Output())
	}
}

// withoutEvents is an SDP of a phone that knows G.711 alone.
func withoutEvents(sdp string) string {
	var lines []string
	for line := range strings.Lines(strings.Replace(sdp, fmt.Sprintf(" RTP/AVP %d %d\r\n", phone.PCMU, phone.Digits), fmt.Sprintf(" RTP/AVP %d\r\n", phone.PCMU), 1)) {
		if !strings.Contains(line, fmt.Sprintf(":%d ", phone.Digits)) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
