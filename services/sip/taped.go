package sip

import (
	"time"

	sound "parley/internal/media/audio"
	"parley/internal/media/play"
	"parley/internal/media/prompt"
	"parley/internal/voice"
	"parley/services/sip/recording"
)

func (o *outside) tape(of recording.Call, done func(voice.RecordingLedger)) (taper, error) {
	t, err := o.tapes.Begin(of, done)
	if err != nil { // and not a nil of another type
		return nil, err
	}
	return t, nil
}

// warningTone is short, since nobody is heard by the other meanwhile.
const warningTone = 200 * time.Millisecond

func (o *outside) warning(tenant string, first bool) (src func() sound.Source, again time.Duration) {
	cfg := &o.cfg.Recording
	tone := func() sound.Source { return play.New(play.Beep(sound.Narrow, warningTone)) }
	switch {
	case !first && cfg.WarningEvery > 0, first && cfg.Warning == recording.WarnTone:
		src = tone
	case first && cfg.Warning == recording.WarnWords:
		clips, err := o.prompts.Clips(tenant, prompt.DefaultLanguage, "recording/started")
		if err != nil { // a tone says it as well
			o.log.Warn("the announcement of a recording", "tenant", tenant, "err", err)
			return tone, cfg.WarningEvery
		}
		src = func() sound.Source { return play.New(clips...) }
	}
	return src, cfg.WarningEvery
}
