package fabric

// Names of the streams.
const (
	StreamCalls        = "CALLS"
	StreamAgents       = "AGENTS"
	StreamDevices      = "DEVICES"
	StreamInteractions = "INTERACTIONS"
	StreamWork         = "WORK"
	StreamConfig       = "CONFIG"
	StreamVoicemail    = "VOICEMAIL"
	StreamQuality      = "QUALITY"
	StreamCDR          = "CDR"
)

// Subject wildcards, for filters only.
const (
	Any  = "*" // one token
	Rest = ">" // one or more tokens, at the end
)

// Subject joins a literal first token and outside tokens into a subject; each token after the first is escaped,
// except the constants Any and Rest passed through Wild.
func Subject(first string, tokens ...string) string { panic("fabric: being built") }

// Filter is Subject for filters: tokens equal to Any or Rest stay wildcards.
func Filter(first string, tokens ...string) string { panic("fabric: being built") }

// Token escapes one token so that '*', '>', '.', blanks and control bytes can never widen a subject or a key.
// It is injective; Untoken is its inverse. The empty string has an escape of its own.
func Token(s string) string { panic("fabric: being built") }

// Untoken undoes Token. ok is false when s is not something Token returns.
func Untoken(s string) (plain string, ok bool) { panic("fabric: being built") }
