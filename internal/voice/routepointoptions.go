package voice

import "time"

// Options of a route point, in section TServer.
const (
	OptionAnswer        = "answer"         // answer: its calls are answered at once; early: they are kept unanswered, in early media
	OptionRouterTimeout = "router-timeout" // seconds that a call waits for somebody to treat or route it
	OptionDefaultDN     = "default-dn"     // number that the call goes to then
)

// AnswerMode says whether a call is answered when it comes to a route point.
type AnswerMode string

// The values of option answer.
const (
	AnswerAtOnce AnswerMode = "answer"
	AnswerEarly  AnswerMode = "early"
)

// Defaults and limits of the options of a route point.
const (
	DefaultRouterTimeout = 10 * time.Second
	maxRouterTimeout     = 24 * 3600
)

// RoutePointOptions is what the options of a route point mean to the SIP node.
type RoutePointOptions struct {
	Answer        AnswerMode
	RouterTimeout time.Duration
	DefaultDN     string // "" = none
}

// ParseRoutePointOptions reads section TServer of a route point. It always returns something to work with; problems names
// each option whose value cannot be used, which then has its default.
func ParseRoutePointOptions(o map[string]string) (RoutePointOptions, []FieldError) {
	p := optionParser{o: o}
	r := RoutePointOptions{
		Answer:        AnswerMode(p.word(OptionAnswer, string(AnswerAtOnce), string(AnswerEarly))),
		RouterTimeout: time.Duration(p.number(OptionRouterTimeout, int(DefaultRouterTimeout/time.Second), 1, maxRouterTimeout)) * time.Second,
		DefaultDN:     p.symbols(OptionDefaultDN, maxPlanNumber),
	}
	return r, p.problems
}
