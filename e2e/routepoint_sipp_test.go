package e2e

import (
	bits "encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/e2e/phone"
	"parley/internal/media/audio"
	"parley/internal/media/codec/g711"
	"parley/internal/media/dtmf"
	"parley/internal/porttest"
	"parley/internal/voice"
)

// rtpOf is a packet of a stream that nobody else has.
func rtpOf(pt byte, marker bool, seq uint16, stamp uint32, payload []byte) []byte {
	const version2, ours = 0x80, 0x70617264
	if marker {
		pt |= 0x80
	}
	b := bits.BigEndian.AppendUint16([]byte{version2, pt}, seq)
	b = bits.BigEndian.AppendUint32(bits.BigEndian.AppendUint32(b, stamp), ours)
	return append(b, payload...)
}

// eventsOf are keys as telephone-events of payload type 101, 20 ms apart: 100 ms each, the end three times (RFC 4733 §2.5.1).
func eventsOf(keys string) (packets [][]byte) {
	const steps, again, pause, step = 5, 2, 5, 160
	seq, stamp := uint16(1), uint32(1000)
	for _, key := range keys {
		for i := 1; i <= steps+again; i++ {
			volume := byte(10)
			if i >= steps {
				volume |= 0x80 // the end
			}
			payload := bits.BigEndian.AppendUint16([]byte{byte(strings.IndexRune(dtmf.Keys, key)), volume}, uint16(step*min(i, steps)))
			packets = append(packets, rtpOf(phone.Digits, i == 1, seq, stamp, payload))
			seq++
		}
		stamp += (steps + again + pause) * step
	}
	return packets
}

// soundOf are keys as they sound, in G.711.
func soundOf(t *testing.T, keys string) (packets [][]byte) {
	t.Helper()
	tones, err := dtmf.NewSound(audio.Narrow, keys, dtmf.DefaultShape())
	if err != nil {
		t.Fatal(err)
	}
	frame := make([]int16, audio.Frame(audio.Narrow))
	const quiet = 10 // frames at the end
	for i, left := 0, quiet; left > 0; i++ {
		n, _ := tones.Read(frame)
		clear(frame[n:])
		if n == 0 {
			left--
		}
		packets = append(packets, rtpOf(phone.PCMU, i == 0, uint16(i), uint32(i*len(frame)), g711.AppendU(nil, frame)))
	}
	return packets
}

// infoOf are the steps of a scenario that tell keys in INFO.
func infoOf(keys string) string {
	var b strings.Builder
	for i, key := range keys {
		fmt.Fprintf(&b, `  <send retrans="500"><![CDATA[

INFO [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[routes]
From: <sip:1001@demo.local>;tag=[pid]c[call_number]
To: <sip:[service]@demo.local>[peer_tag_param]
Call-ID: [call_id]
CSeq: %d INFO
Max-Forwards: 70
Content-Type: application/dtmf-relay
Content-Length: [len]

Signal=%c
Duration=160

]]></send>
  <recv response="200"/>
`, 3+i, key)
	}
	return b.String()
}

// sipp calls a route point, and presses keys in each of the ways there are. Its audio goes to a socket of the test, which compares
// what it hears with the prompt. The keys count whenever they come, so nothing here depends on who is quicker.
func TestSippAtARoutePoint(t *testing.T) {
	t.Parallel()
	p := queues(t, "sippqueue")
	const keys = "4711#"
	file := func(name string, packets [][]byte) string {
		path := filepath.Join(t.TempDir(), name)
		peer.Pcap(t, path, 20*time.Millisecond, packets)
		return fmt.Sprintf("  <nop><action><exec play_pcap_audio=%q/></action></nop>\n", path)
	}
	ways := []struct {
		name, keys string
		formats    string // payload types in the offer; G.711 u-law is 0
		event      string // of these that for telephone-events; "" = none
	}{
		{"play_dtmf", fmt.Sprintf("  <nop><action><exec play_dtmf=%q/></action></nop>\n", keys), "0 96", "96"},
		{"events of a file", file("events.pcap", eventsOf(keys)), "0 101", "101"},
		{"INFO", infoOf(keys), "0", ""},
		{"sound of a file", file("sound.pcap", soundOf(t, keys)), "0", ""},
	}
	announced := []string{"queue/all_busy", "queue/next"}
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			here := *p
			here.t = t
			p := &here
			ear := phone.OpenAudio(t)
			at, _, err := phone.Ends(ear.Offer("sendrecv"))
			if err != nil {
				t.Fatal(err)
			}
			ports := porttest.TCP(t, 2) // nobody has them for UDP either
			sipPort, own := strings.TrimPrefix(ports[0], "127.0.0.1:"), strings.TrimPrefix(ports[1], "127.0.0.1:")
			base, err := strconv.Atoi(own)
			if err != nil {
				t.Fatal(err)
			}
			maps := "a=rtpmap:0 PCMU/8000"
			if w.event != "" {
				maps += "\na=rtpmap:" + w.event + " telephone-event/8000\na=fmtp:" + w.event + " 0-15"
			}
			scenario, err := os.ReadFile(filepath.Join("testdata", "treated_uac.xml"))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			path := filepath.Join(dir, "uac.xml")
			_, steps, _ := strings.Cut(string(scenario), "-->")
			writeFile(t, path, `<?xml version="1.0" encoding="UTF-8"?>`+strings.NewReplacer("PORT", strconv.Itoa(at.Port-base), "FORMATS", w.formats, "RTPMAPS", maps, "KEYS\n", w.keys).Replace(steps))
			sipp := peer.Start(t, dir, nil, "sipp", p.sip("udp"), "-sf", path, "-s", "9000", "-i", "127.0.0.1", "-p", sipPort, "-mi", "127.0.0.1", "-mp", own,
				"-ap", nodeSecret, "-m", "1", "-nostdin", "-timeout", "120", "-trace_err", "-trace_msg")
			p.waiting("9000")
			p.treat("9000", "PlayAnnouncementAndDigits", `{"PROMPT":{"1":{"ID":"queue/all_busy"},"2":{"ID":"queue/next"}},"MAX_DIGITS":9,"TERM_DIGITS":"#","START_TIMEOUT":60,"DIGIT_TIMEOUT":60}`)
			p.idle("9000")
			p.treat("9000", "CancelCall", "")
			if code := sipp.Wait(60 * time.Second); code != 0 {
				t.Errorf("sipp ended with %d:\n%s", code, sipp.Output())
			}
			heard := heardBy(ear)
			for _, name := range announced {
				r := likeness(heard, said(t, name))
				if t.Logf("%s was heard with a correlation of %.4f", name, r); r < 0.95 {
					t.Errorf("what was heard correlates with %s by %.3f", name, r)
				}
			}
		})
	}
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeRejected: len(ways)})
	got := p.ends("sippqueue")
	if len(got) != len(ways) {
		t.Fatalf("%d treatments ended, want %d", len(got), len(ways))
	}
	for i, e := range got {
		if e.CollectedDigits != strings.TrimSuffix(keys, "#") || e.LastCollectedDigit != "#" || e.Extensions.Text("COMPLETION_STATUS") != "NORMAL" || e.Extensions.Text("INTERRUPTED") != "NO" {
			t.Errorf("%s: %+v", ways[i].name, e)
		}
	}
}

// heardBy is the sound that came to a phone, in its order.
func heardBy(a *phone.Audio) (pcm []int16) {
	got := a.Got()
	slices.SortFunc(got, func(x, y phone.Packet) int { return int(int16(x.Seq - y.Seq)) })
	for _, p := range got {
		if p.Type == phone.PCMU {
			pcm = g711.AppendLinearU(pcm, p.Payload)
		}
	}
	return pcm
}
