package model

import (
	"encoding/json"
	"errors"
	"fmt"

	"parley/internal/voice"
)

// Limits of an event that is believed.
const (
	maxEvent = 1 << 20
	maxName  = 512 // bytes of an identifier, a DN or a name
)

// Read reads an event as it is on the stream. What it returns has all that every event of a call has.
func Read(data []byte) (*voice.CallEvent, error) {
	if len(data) > maxEvent {
		return nil, fmt.Errorf("%d bytes are more than an event has", len(data))
	}
	var e voice.CallEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("not the JSON of a call event: %w", err)
	}
	for _, must := range [...]struct{ name, value string }{
		{"id", string(e.ID)}, {"ConnID", e.ConnID}, {"CallUUID", e.CallUUID}, {"CallThreadID", e.CallThreadID},
		{"ThisDN", e.ThisDN}, {"tenant", e.Tenant}, {"node", e.Node},
	} {
		if must.value == "" {
			return nil, fmt.Errorf("an event without %s", must.name)
		}
		if len(must.value) > maxName {
			return nil, fmt.Errorf("%s is longer than %d bytes", must.name, maxName)
		}
	}
	for _, may := range [...]string{
		string(e.ThisDNRole), e.ThisQueue, e.ThisTrunk, e.OtherDN, string(e.OtherDNRole), e.ThirdPartyDN,
		string(e.ThirdPartyDNRole), e.PreviousConnID, e.TransferConnID, e.ConferenceConnID, e.ANI, e.DNIS,
	} {
		if len(may) > maxName {
			return nil, fmt.Errorf("a name is longer than %d bytes", maxName)
		}
	}
	if e.Seq == 0 {
		return nil, errors.New("an event without seq, its number in the call")
	}
	if e.Time.IsZero() {
		return nil, errors.New("an event without time")
	}
	return &e, nil
}
