package sip

import (
	"testing"
	"time"

	"parley/internal/voice"
	"parley/services/sip/recording"
)

// recorded has the options of some numbers say that their calls are recorded.
func (s *stage) recorded(numbers ...string) {
	s.devices = map[string]device{}
	for _, n := range numbers {
		s.devices[n] = device{record: true}
	}
}

// private asks for a recording to begin, end, pause or go on.
func private(id int) func(*voice.Request) {
	return func(r *voice.Request) { r.PrivateID, r.User = id, "alice" }
}

func TestRecordedByOption(t *testing.T) {
	s := stageOfCalls(t)
	s.recorded("1002")
	s.warns = time.Minute
	a, _ := s.twoTalk()
	s.ask(voice.RequestHoldCall, "1002", "c1", nil) // what the holder says meanwhile concerns nobody
	s.ask(voice.RequestRetrieveCall, "1002", "c1", nil)
	s.pass(61 * time.Second)
	s.phoneSays(a, "BYE", 7, "")
	s.gone("b")
	s.check("record-option")
	if r := s.records[0]; r.Events != uint64(len(s.events)) {
		t.Errorf("the record counts %d events of %d", r.Events, len(s.events))
	}
}

func TestRecordedByRequest(t *testing.T) {
	s := stageOfCalls(t)
	a, _ := s.twoTalk()
	s.ask(voice.RequestPrivateService, "1002", "c1", private(voice.PrivateRecordPause))
	s.ask(voice.RequestPrivateService, "1002", "c1", private(voice.PrivateRecordStart))
	s.ask(voice.RequestPrivateService, "1001", "c1", private(voice.PrivateRecordStart))
	s.ask(voice.RequestPrivateService, "1002", "c1", private(voice.PrivateRecordPause))
	s.ask(voice.RequestSetMuteOn, "1001", "c1", nil)
	s.ask(voice.RequestPrivateService, "1002", "c1", private(voice.PrivateRecordResume))
	s.ask(voice.RequestPrivateService, "1002", "c1", private(voice.PrivateRecordResume))
	s.ask(voice.RequestSetMuteOff, "1001", "c1", nil)
	s.ask(voice.RequestPrivateService, "1002", "c1", private(voice.PrivateRecordStop))
	s.ask(voice.RequestPrivateService, "1002", "c1", private(1))
	s.phoneSays(a, "BYE", 7, "")
	s.gone("b")
	s.check("record-request")
}

// The recording follows the conversation to whom it is transferred; what is said in the consultation is recorded by itself.
func TestRecordingOfATransfer(t *testing.T) {
	s := stageOfCalls(t)
	s.recorded("1002")
	a, _ := s.twoTalk()
	s.ask(voice.RequestInitiateTransfer, "1002", "c1", to("1003"))
	s.takes("c")
	s.ask(voice.RequestCompleteTransfer, "1002", "c2", func(r *voice.Request) { r.HeldConnID = "c1" })
	s.gone("b")
	s.pass(time.Minute)
	s.phoneSays(a, "BYE", 7, "")
	s.gone("c")
	s.check("record-transfer")
	if len(s.tapes) != 2 || s.tapes[0].heard != [2]string{"1001", "1003"} {
		t.Errorf("%d recordings, the first heard %q last", len(s.tapes), s.tapes[0].heard)
	}
}

// When the one who called transfers the call, the one who stays keeps the right channel, and the new one gets the left.
func TestRecordingKeepsItsChannels(t *testing.T) {
	s := stageOfCalls(t)
	s.recorded("1001")
	_, b := s.twoTalk()
	s.ask(voice.RequestSingleStepTransfer, "1001", "c1", to("1003"))
	s.gone("a")
	s.takes("c")
	s.phoneSays(b, "BYE", 7, "")
	s.gone("c")
	s.check("record-channels")
	if got := s.tapes[0].heard; got != [2]string{"1003", "1002"} {
		t.Errorf("left is %q and right %q last", got[0], got[1])
	}
}

func TestRecordingOfAConference(t *testing.T) {
	s := stageOfCalls(t)
	s.meets()
	s.recorded("1001")
	a, b := s.twoTalk()
	s.ask(voice.RequestSingleStepConference, "1002", "c1", to("1003"))
	s.takes("c")
	if got := s.tapes[0].heard; got != [2]string{"1001", "1002 and 1003"} {
		t.Errorf("left is %q and right %q", got[0], got[1])
	}
	s.phoneSays(b, "BYE", 7, "")
	s.phoneSays(a, "BYE", 8, "")
	s.gone("c")
	s.check("record-conference")
}

// A disk that refuses costs the recording and not the call; one that fails later neither, and nothing begins anew.
func TestRecordingFails(t *testing.T) {
	s := stageOfCalls(t)
	s.recorded("1001", "1002")
	s.noDisk = "no room is left on the disk"
	a, _ := s.twoTalk()
	s.noDisk = ""
	s.ask(voice.RequestPrivateService, "1002", "c1", private(voice.PrivateRecordStart))
	s.tapes[0].fails("the disk: write: no space left on device")
	s.settle()
	s.ask(voice.RequestHoldCall, "1002", "c1", nil)
	s.ask(voice.RequestRetrieveCall, "1002", "c1", nil)
	s.phoneSays(a, "BYE", 7, "")
	s.gone("b")
	s.check("record-fails")
	if len(s.tapes) != 1 {
		t.Errorf("%d recordings were begun", len(s.tapes))
	}
}

// With media.mode direct a call that is recorded goes through the node.
func TestRecordedCallsGoThroughTheNode(t *testing.T) {
	for _, number := range []string{"1001", "1002"} {
		s := newStage(t)
		s.legs, s.body, s.config = &fakeLegs{}, offer, func(cfg *Config) { cfg.Direct = true }
		s.phone("1002", "b")
		s.recorded(number)
		s.call("1002")
		if got := says(s.last("INVITE", "b").req.Body()); got != "192.0.2.5:20002" {
			t.Errorf("%s is recorded, and the phone is told to send to %s", number, got)
		}
	}
}

var _ taper = (*recording.Tape)(nil)
