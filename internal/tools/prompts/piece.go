package main

// onHold is sixteen bars of four beats, sixty seconds, for a soft piano over a pad. It was written for this program and
// belongs to nobody. Notes are a name, an octave and a length in beats; "-" is a rest. What still sounds at the end goes on
// at the beginning, so the loop has no seam.
var onHold = piece{
	beatsPerMinute: 64,
	bars:           16,
	chords: []string{ // one a bar, from the lowest note
		"G3 B3 D4 F#4", "E3 G3 B3 D4", "C4 E4 G4 B4", "D4 F#4 A4 C5",
		"G3 B3 D4 F#4", "E3 G3 B3 D4", "A3 C4 E4 G4", "D4 F#4 A4 C5",
		"C4 E4 G4 B4", "B3 D4 F#4 A4", "A3 C4 E4 G4", "G3 B3 D4 F#4",
		"C4 E4 G4 B4", "B3 D4 F#4 A4", "A3 C4 E4 G4", "D4 F#4 A4 C5",
	},
	// the order in which a bar's notes are struck, in half beats
	figure: []int{0, 2, 1, 3, 2, 1, 3, 2},
	melody: []string{
		"D5 1.5  B4 .5  A4 1  B4 1", "G4 3  - 1", "E5 1.5  D5 .5  B4 1  G4 1", "A4 3  - 1",
		"D5 1.5  E5 .5  F#5 1  D5 1", "B4 2  G4 1  A4 1", "C5 1  B4 1  A4 1  G4 1", "A4 3  - 1",
		"E5 1  G5 1  E5 1  D5 1", "D5 2  F#5 1  D5 1", "C5 1  E5 1  C5 1  B4 1", "B4 3  - 1",
		"G5 1.5  F#5 .5  E5 1  D5 1", "D5 1.5  C5 .5  B4 1  A4 1", "C5 1  D5 1  E5 1  C5 1", "A4 2  F#4 1  A4 1",
	},
	piano: timbre{attack: .008, decay: 1.1, partials: []float64{1, .42, .16, .1, .05, .02}, level: .26},
	voice: timbre{attack: .03, decay: 1.8, partials: []float64{1, .3, .22, .07, .03}, level: .42},
	pad:   timbre{attack: .9, decay: 6, partials: []float64{1, .5, .3, .12, .06}, level: .075},
	room:  []echo{{.127, .32}, {.191, .26}, {.283, .2}, {.419, .14}},
}
