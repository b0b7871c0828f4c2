package voice

// The kinds of the dial plan. What numbers are (extensions, trunks) is said by the DNs themselves.
const (
	KindPartition      Kind = "partitions"
	KindCallingProfile Kind = "calling_profiles"
)

// Partition is a set of dialling rules that hold at the same times. It has effect for those whose calling profile
// names it.
type Partition struct {
	Name     string     `json:"name"`
	Timezone string     `json:"timezone,omitempty"` // IANA name such as Europe/Berlin, for Times; default UTC
	Times    []TimeSpan `json:"times,omitempty"`    // when the rules are in force; none = always
	Rules    []DialRule `json:"rules"`
}

// TimeSpan is a part of the week on the wall clock. One that ends at or before its beginning ends on the next day; Days
// are those on which it begins.
type TimeSpan struct {
	Days []string `json:"days,omitempty"` // mon to sun, or spans such as mon-fri; none = every day
	From string   `json:"from,omitempty"` // HH:MM; default 00:00
	To   string   `json:"to,omitempty"`   // HH:MM up to 24:00, not included; default 24:00
}

// RuleAction is whether a matching number may be dialled.
type RuleAction string

// The actions of a rule.
const (
	RuleAllow RuleAction = "allow"
	RuleBlock RuleAction = "block"
)

// DialRule says what becomes of the numbers a pattern matches. Digits are stripped first, then others put before.
type DialRule struct {
	Pattern string     `json:"pattern"`           // see ParseDialPattern
	Action  RuleAction `json:"action,omitempty"`  // default allow
	Strip   int        `json:"strip,omitempty"`   // leading digits to take away
	Prepend string     `json:"prepend,omitempty"` // digits to put before the rest
	Target  string     `json:"target,omitempty"`  // DN the call goes to; a trunk takes the number there
	Comment string     `json:"comment,omitempty"` // for people
}

// OutsideCalls says which calls may leave by a trunk.
type OutsideCalls string

// The values of OutsideCalls.
const (
	OutsideAllow OutsideCalls = "allow" // all that no rule blocks
	OutsideRules OutsideCalls = "rules" // those that a rule allows
	OutsideBlock OutsideCalls = "block" // none
)

// ProfileUse names a group of callers that have a profile unless their own DN names another.
type ProfileUse string

// The groups of callers.
const (
	ProfileInternal ProfileUse = "internal" // the tenant's own extensions
	ProfileInbound  ProfileUse = "inbound"  // whoever calls from outside, by a trunk
)

// CallingProfile is what a caller may dial. The most specific matching rule of all its partitions in force counts;
// of equal ones that of the partition named first.
type CallingProfile struct {
	Name         string       `json:"name"`
	Partitions   []string     `json:"partitions"`
	DefaultFor   []ProfileUse `json:"default_for,omitempty"`   // of the tenant; one profile each
	OutsideCalls OutsideCalls `json:"outside_calls,omitempty"` // default: allow to callers inside, block to those outside
}

// Options of a DN, in section TServer, that the dial plan reads. The value of a forwarding is a number,
// ForwardVoicemail for the mailbox of the DN's own number, or that word, a colon and another mailbox.
const (
	OptionCallingProfile  = "calling-profile"           // name of a calling profile
	OptionForwardAlways   = "forward-always"            //
	OptionForwardBusy     = "forward-on-busy"           //
	OptionForwardNoAnswer = "forward-on-no-answer"      //
	OptionForwardOffline  = "forward-on-not-registered" //
	OptionNoAnswerTimeout = "no-answer-timeout"         // seconds to ring
	OptionPrefix          = "prefix"                    // of a trunk: leading digits of the numbers that go there
	OptionReplacePrefix   = "replace-prefix"            // of a trunk: digits sent in place of the prefix, maybe none
	OptionPriority        = "priority"                  // of a trunk, among those with the same prefix; lowest first
	OptionAutoAnswer      = "auto-answer"               // false: the phone is not asked to answer by itself when a call is made for it
	OptionCTIControl      = "sip-cti-control"           // talk: the phone answers when it is told to by NOTIFY
	OptionContact         = "contact"                   //
	OptionContactBackup   = "contact-backup"            // of a trunk: SIP URIs to try after contact, with commas between
	OptionDoNotDisturb    = "do-not-disturb"            // true: calls to it are busy, and go where its busy calls go

	ForwardVoicemail = "voicemail"
)
