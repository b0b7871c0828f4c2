package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/e2e/phone"
	"parley/internal/media/dtmf"
	"parley/internal/voice"
)

// A phone that sends each press twice, as an event of RFC 4733 and in INFO, has pressed it once; a key that is pressed twice
// counts twice.
func TestAPressThatComesInTwoWaysIsOne(t *testing.T) {
	t.Parallel()
	p := queues(t, "twoways")
	mine := phone.OpenAudio(t)
	call := agent(t, p, "1001", "tcp").Dial("9000", mine.Offer("sendrecv"))
	if status := call.Final(20 * time.Second); status != http.StatusOK {
		t.Fatalf("the call ended with %d", status)
	}
	p.waiting("9000")
	to, _ := ends(t, call)
	p.treat("9000", "CollectDigits", `{"MAX_DIGITS": 4, "START_TIMEOUT": 30, "DIGIT_TIMEOUT": 20, "TOTAL_TIMEOUT": 60}`)
	for _, key := range "8850" {
		mine.Press(to, byte(strings.IndexRune(dtmf.Keys, key)))
		res, err := call.Request("INFO", "Content-Type: application/dtmf-relay\r\n", fmt.Sprintf("Signal=%c\r\nDuration=160\r\n", key))
		if err != nil || res.Status != http.StatusOK {
			t.Fatalf("INFO: %+v, %v", res, err)
		}
	}
	p.idle("9000")
	if err := call.Bye(); err != nil {
		t.Error(err)
	}
	recorded(t, p, "1001", voice.OutcomeAbandoned)
	if got := p.ends("twoways"); len(got) != 1 || got[0].CollectedDigits != "8850" {
		t.Errorf("ends of treatments: %+v, want one with 8850", got)
	}
}
