package config

import "parley/internal/voice"

// checkAudio checks the options of section TServer that say how the audio of a device is carried.
func checkAudio(r *report, d *voice.DN) {
	_, problems := voice.ParseAudioOptions(d.Options["TServer"])
	for _, p := range problems {
		r.bad(trunkSection+p.Field, "of %s %q: %s", d.Type, d.Number, p.Reason)
	}
}
