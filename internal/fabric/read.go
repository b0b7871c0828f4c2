package fabric

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"parley/internal/voice"
)

// Read returns the events of stream that match filter and are there now, in stream order, at most limit of them. Each
// costs a question to the JetStream: it is for the few events of one call or device, [Fabric.Subscribe] is for many.
func (f *Fabric) Read(ctx context.Context, stream, filter string, limit int) ([]Message, error) {
	if stream == StreamWork || f.streamSpec(stream) == nil {
		return nil, voice.Errorf(voice.ErrInvalid, "stream %q cannot be read", stream)
	}
	var out []Message
	for next := uint64(1); len(out) < limit; {
		m, ok, err := f.readNext(ctx, stream, filter, next)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", stream, err)
		}
		if !ok {
			break
		}
		out = append(out, m)
		next = m.Seq + 1
	}
	return out, nil
}

// ReadLast returns the last event of stream that matches filter; ok is false when there is none.
func (f *Fabric) ReadLast(ctx context.Context, stream, filter string) (m Message, ok bool, err error) {
	if stream == StreamWork || f.streamSpec(stream) == nil {
		return Message{}, false, voice.Errorf(voice.ErrInvalid, "stream %q cannot be read", stream)
	}
	req, err := json.Marshal(map[string]string{"last_by_subj": filter})
	if err != nil {
		return Message{}, false, err
	}
	if m, ok, err = f.readOne(ctx, stream, req); err != nil {
		err = fmt.Errorf("read %s: %w", stream, err)
	}
	return m, ok, err
}

// readNext returns the first event from a stream sequence on that matches; ok is false when there is none.
func (f *Fabric) readNext(ctx context.Context, stream, filter string, from uint64) (m Message, ok bool, err error) {
	req, err := json.Marshal(struct {
		Seq    uint64 `json:"seq"`
		Filter string `json:"next_by_subj"`
	}{from, filter})
	if err != nil {
		return Message{}, false, err
	}
	return f.readOne(ctx, stream, req)
}

// readOne asks for one event.
func (f *Fabric) readOne(ctx context.Context, stream string, req []byte) (m Message, ok bool, err error) {
	var resp struct {
		Error   *apiError `json:"error"`
		Message struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := f.api(ctx, "STREAM.MSG.GET."+stream, req, &resp); err != nil {
		return Message{}, false, err
	}
	if resp.Error != nil {
		if resp.Error.ErrCode == jsMessageNotFound {
			return Message{}, false, nil
		}
		return Message{}, false, resp.Error
	}
	return Message{Subject: untokens(resp.Message.Subject), Data: resp.Message.Data, Seq: resp.Message.Seq, Time: resp.Message.Time}, true, nil
}
