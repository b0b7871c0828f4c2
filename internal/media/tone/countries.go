package tone

// Kind is what a tone says.
type Kind string

const (
	Dial        Kind = "dial"         // you may dial
	RingBack    Kind = "ring-back"    // the other phone rings
	Busy        Kind = "busy"         // the other phone is in use
	Congestion  Kind = "congestion"   // the network is; also known as reorder or fast busy
	CallWaiting Kind = "call-waiting" // somebody else calls you while you talk
	Information Kind = "information"  // the number is not in use, or an announcement follows
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{Dial, RingBack, Busy, Congestion, CallWaiting, Information} }

// anywhere is the name of what is not of one country.
const anywhere = ""

// countries are the tones by country (ISO 3166). A tone is a row of parts, repeated for ever. A part is frequencies in Hz and
// how long they sound in seconds, or only how long it is silent; without a time it lasts for ever. Two frequencies with
// "+" sound together, with "*" the second modulates the first. "-10dB" says how much quieter a part is than the others.
var countries = map[string]map[Kind]string{
	anywhere: {
		Dial:        "425",
		RingBack:    "425 1, 4",
		Busy:        "425 0.5, 0.5",
		Congestion:  "425 0.25, 0.25",
		CallWaiting: "425 0.2, 0.2, 425 0.2, 5",
		Information: "950 0.33, 1400 0.33, 1800 0.33, 1",
	},
	"AT": {
		Dial:        "420",
		RingBack:    "420 1, 5",
		Busy:        "420 0.4, 0.4",
		Congestion:  "420 0.2, 0.2",
		CallWaiting: "420 0.04, 1.96",
	},
	"AU": {
		Dial:        "425*25",
		RingBack:    "400*17 0.4, 0.2, 400*17 0.4, 2",
		Busy:        "425 0.375, 0.375",
		Congestion:  "425 0.375, 0.375, 425-10dB 0.375, 0.375",
		CallWaiting: "425 0.2, 0.2, 425 0.2, 4.4",
		Information: "425 2.5, 0.5",
	},
	"BE": {
		RingBack:    "425 1, 3",
		Congestion:  "425 0.167, 0.167",
		CallWaiting: "1400 0.175, 0.175, 1400 0.175, 3.5",
	},
	"BR": {
		Busy:        "425 0.25, 0.25",
		Congestion:  "425 0.25, 0.25, 425 0.75, 0.25",
		CallWaiting: "425 0.05, 1",
	},
	"CA": northAmerica,
	"CH": {
		Congestion:  "425 0.2, 0.2",
		CallWaiting: "425 0.2, 0.2, 425 0.2, 4",
	},
	"DE": {
		Busy:        "425 0.48, 0.48",
		Congestion:  "425 0.24, 0.24",
		CallWaiting: "425 0.2, 0.2, 425 0.2, 5",
	},
	"ES": {
		RingBack:    "425 1.5, 3",
		Busy:        "425 0.2, 0.2",
		Congestion:  "425 0.2, 0.2, 425 0.2, 0.2, 425 0.2, 0.6",
		CallWaiting: "425 0.175, 0.175, 425 0.175, 3.5",
	},
	"FR": {
		Dial:        "440",
		RingBack:    "440 1.5, 3.5",
		Busy:        "440 0.5, 0.5",
		Congestion:  "440 0.25, 0.25",
		CallWaiting: "440 0.3, 10",
	},
	"GB": {
		Dial:        "350+440",
		RingBack:    "400+450 0.4, 0.2, 400+450 0.4, 2",
		Busy:        "400 0.375, 0.375",
		Congestion:  "400 0.4, 0.35, 400-6dB 0.225, 0.525",
		CallWaiting: "400 0.1, 4",
	},
	"IN": {
		Dial:        "400*25",
		RingBack:    "400*25 0.4, 0.2, 400*25 0.4, 2",
		Busy:        "400 0.75, 0.75",
		Congestion:  "400 0.25, 0.25",
		CallWaiting: "400 0.2, 0.1, 400 0.2, 7.5",
	},
	"IT": {
		Dial:        "425 0.2, 0.2, 425 0.6, 1",
		RingBack:    "425 1, 4",
		Busy:        "425 0.5, 0.5",
		Congestion:  "425 0.2, 0.2",
		CallWaiting: "425 0.4, 0.1, 425 0.25, 0.1, 425 0.15, 14",
	},
	"JP": {
		Dial:        "400",
		RingBack:    "400*16 1, 2",
		Busy:        "400 0.5, 0.5",
		Congestion:  "400 0.5, 0.5",
		CallWaiting: "400*16 0.5, 8",
	},
	"NL": {
		Congestion:  "425 0.25, 0.25",
		CallWaiting: "425 0.5, 9.5",
	},
	"US": northAmerica,
}

// northAmerica are the tones of the precise tone plan.
var northAmerica = map[Kind]string{
	Dial:        "350+440",
	RingBack:    "440+480 2, 4",
	Busy:        "480+620 0.5, 0.5",
	Congestion:  "480+620 0.25, 0.25",
	CallWaiting: "440 0.3, 10",
}
