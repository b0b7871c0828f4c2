package voice

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// TreatmentType is what a caller at a route point hears or is asked; the numbers are those of T-Library.
type TreatmentType int

// The treatments of T-Library. Which of them the platform applies is said by services/sip/treatment.
const (
	TreatmentUnknown                   TreatmentType = 0
	TreatmentIVR                       TreatmentType = 1
	TreatmentMusic                     TreatmentType = 2
	TreatmentRingBack                  TreatmentType = 3
	TreatmentSilence                   TreatmentType = 4
	TreatmentBusy                      TreatmentType = 5
	TreatmentCollectDigits             TreatmentType = 6
	TreatmentPlayAnnouncement          TreatmentType = 7
	TreatmentPlayAnnouncementAndDigits TreatmentType = 8
	TreatmentVerifyDigits              TreatmentType = 9
	TreatmentRecordUserAnnouncement    TreatmentType = 10
	TreatmentDeleteUserAnnouncement    TreatmentType = 11
	TreatmentCancelCall                TreatmentType = 12
	TreatmentPlayApplication           TreatmentType = 13
	TreatmentSetDefaultRoute           TreatmentType = 14
	TreatmentTextToSpeech              TreatmentType = 15
	TreatmentTextToSpeechAndDigits     TreatmentType = 16
	TreatmentFastBusy                  TreatmentType = 17
	TreatmentRAN                       TreatmentType = 18
)

// treatmentNames are the names by number, without their prefix.
var treatmentNames = [...]string{
	"Unknown", "IVR", "Music", "RingBack", "Silence", "Busy", "CollectDigits", "PlayAnnouncement", "PlayAnnouncementAndDigits",
	"VerifyDigits", "RecordUserAnnouncement", "DeleteUserAnnouncement", "CancelCall", "PlayApplication", "SetDefaultRoute",
	"TextToSpeech", "TextToSpeechAndDigits", "FastBusy", "RAN",
}

const treatmentPrefix = "Treatment"

// String is the name as T-Library documents write it, without the prefix.
func (t TreatmentType) String() string {
	if t < 0 || int(t) >= len(treatmentNames) {
		return "Treatment" + strconv.Itoa(int(t))
	}
	return treatmentNames[t]
}

// ParseTreatmentType reads a name, with or without the prefix Treatment and in any case, or a number.
func ParseTreatmentType(s string) (TreatmentType, error) {
	if n, err := strconv.Atoi(s); err == nil && n > 0 && n < len(treatmentNames) {
		return TreatmentType(n), nil
	}
	name := s
	if len(name) > len(treatmentPrefix) && strings.EqualFold(name[:len(treatmentPrefix)], treatmentPrefix) {
		name = name[len(treatmentPrefix):]
	}
	for n, known := range treatmentNames {
		if n > 0 && strings.EqualFold(name, known) {
			return TreatmentType(n), nil
		}
	}
	return TreatmentUnknown, fmt.Errorf("%.64q is not a treatment; want one of %s", s, strings.Join(treatmentNames[1:], ", "))
}

// UnmarshalJSON takes a name or a number. It is written as a number, as T-Library clients read it.
func (t *TreatmentType) UnmarshalJSON(b []byte) (err error) {
	var name string
	if json.Unmarshal(b, &name) == nil {
		*t, err = ParseTreatmentType(name)
		return err
	}
	var n int
	if err := json.Unmarshal(b, &n); err != nil {
		return fmt.Errorf("a treatment is a name or a number: %w", err)
	}
	*t = TreatmentType(n)
	return nil
}

// TError is why a request of T-Library was refused: what EventError carries.
type TError struct {
	Code    TErrorCode `json:"ErrorCode"`
	Message string     `json:"ErrorMessage"` // a sentence for a person
}

// TErrorf makes a TError.
func TErrorf(code TErrorCode, format string, args ...any) *TError {
	return &TError{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (e *TError) Error() string { return e.Message }

// TErrorCode is a number of EventError.
type TErrorCode int

// The error codes of T-Library that the platform gives.
const (
	TErrNotRegistered       TErrorCode = 41
	TErrAlreadyInState      TErrorCode = 43
	TErrUnknown             TErrorCode = 50
	TErrUnsupported         TErrorCode = 51
	TErrInternal            TErrorCode = 52
	TErrInvalidValue        TErrorCode = 53
	TErrNoSwitch            TErrorCode = 54
	TErrInvalidConnID       TErrorCode = 56
	TErrTimeout             TErrorCode = 57
	TErrOutOfService        TErrorCode = 58
	TErrDNNotConfigured     TErrorCode = 59
	TErrInvalidCallingDN    TErrorCode = 61
	TErrInvalidCalledDN     TErrorCode = 71
	TErrDestinationState    TErrorCode = 93
	TErrCannotConference    TErrorCode = 96
	TErrCannotInitiate      TErrorCode = 97
	TErrCannotTransfer      TErrorCode = 98
	TErrTooManyRequests     TErrorCode = 111
	TErrServiceUnavailable  TErrorCode = 118
	TErrNoSuchDN            TErrorCode = 123
	TErrResourceUnavailable TErrorCode = 166
	TErrTargetInvalid       TErrorCode = 177
	TErrWrongState          TErrorCode = 185
	TErrBadParameter        TErrorCode = 223
	TErrBusy                TErrorCode = 231
	TErrNoAnswer            TErrorCode = 232
	TErrRejected            TErrorCode = 233
	TErrInvalidDestination  TErrorCode = 415 // oneself
)
