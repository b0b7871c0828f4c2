package sip

import (
	"fmt"
	"time"

	sound "parley/internal/media/audio"
	"parley/internal/media/play"
	"parley/internal/media/prompt"
	"parley/internal/media/tone"
	"parley/internal/voice"
	"parley/services/sip/treatment"
)

// What callers at route points hear, as the world gives it: prompts, music, tones, and what users recorded.

// optionCountry of a tenant is the country whose tones its callers hear.
const optionCountry = "country"

// silenceFrame is what silence is made of: it is sent, so that whoever is silent is heard to be there.
const silenceFrame = time.Second

// tones of treatments.
var tones = map[voice.TreatmentType]tone.Kind{
	voice.TreatmentRingBack: tone.RingBack, voice.TreatmentBusy: tone.Busy, voice.TreatmentFastBusy: tone.Congestion,
}

func (o *outside) tone(tenant string, t voice.TreatmentType) sound.Source {
	kind, ok := tones[t]
	if !ok {
		return play.New(play.Silence(sound.Narrow, silenceFrame)).Loop(play.Forever)
	}
	country := ""
	if tn, ok := o.dir.Tenant(tenant); ok {
		country = tn.Options[optionCountry]
	}
	return tone.New(country, kind, sound.Narrow)
}

func (o *outside) musicNamed(tenant, language, name string) (sound.Source, error) {
	if name == "" {
		name = prompt.OnHold
	}
	clip, err := o.prompts.Clip(tenant, languageOr(language), name)
	if err != nil {
		return nil, err
	}
	return play.New(clip).Loop(play.Forever), nil
}

func (o *outside) piece(tenant, language string, p *treatment.Piece) (sound.Source, error) {
	if p.User != "" {
		clip, err := o.announcements.clip(tenant, p.User, p.Announcement)
		if err != nil {
			return nil, err
		}
		return play.New(clip), nil
	}
	names := []string{p.Prompt}
	var err error
	switch {
	case p.Digits != "":
		names, err = prompt.Number(p.Digits)
	case p.Text != "":
		if names, err = o.prompts.Text(p.Text); err != nil {
			err = fmt.Errorf("TEXT: there is no speech synthesis, and no prompt of these words: %w", err)
		}
	}
	if err != nil {
		return nil, err
	}
	clips, err := o.prompts.Clips(tenant, languageOr(language), names...)
	if err != nil {
		return nil, err
	}
	return play.New(clips...), nil
}

// regrets are the prompts for a caller whom nobody helps.
var regrets = []string{"error/cannot_complete", prompt.Pause, "error/later", prompt.Pause, "goodbye"}

func (o *outside) sorry(tenant string) (sound.Source, error) {
	clips, err := o.prompts.Clips(tenant, prompt.DefaultLanguage, regrets...)
	if err != nil {
		return nil, err
	}
	return play.New(clips...), nil
}

const beepTime = 300 * time.Millisecond

func (o *outside) beep() sound.Source { return play.New(play.Beep(sound.Narrow, beepTime)) }

func languageOr(language string) string {
	if language == "" {
		return prompt.DefaultLanguage
	}
	return language
}

func (o *outside) mayRecord(tenant, user string) error { return o.announcements.room(tenant, user) }

func (o *outside) tapeUser(tenant string, r *treatment.Recording, done func(time.Duration, bool, error)) (*tape, error) {
	return o.announcements.record(o.run, tenant, r, done)
}
