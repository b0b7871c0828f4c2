package script

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/goccy/go-yaml"

	"parley/internal/voice"
)

// Scenario is what happens to a script: who calls and when, how requests are answered, what else happens. Times are spans such
// as 3s and 2m30s.
type Scenario struct {
	At            string         `yaml:"at"`             // when the session starts, as 2026-11-02T12:00:00Z, which is also what absent means: a Monday
	Interaction   *Caller        `yaml:"interaction"`    // absent = a call of +49301234567 to 9000
	None          bool           `yaml:"no_interaction"` // the session has no interaction
	Params        map[string]any `yaml:"params"`         // of the application
	BusinessHours []any          `yaml:"business_hours"` // as provisioning files have them
	Lists         []any          `yaml:"lists"`          //
	Functions     map[string]any `yaml:"functions"`      // values of functions of the object roots, such as statistic.sData
	Answers       []Answer       `yaml:"answers"`        // to requests; those that none fits are answered as usual
	Events        []Happening    `yaml:"events"`         //
	Until         time.Duration  `yaml:"until"`          // the run ends; absent = 1h
}

// Caller is the interaction of a scenario.
type Caller struct {
	ID       string         `yaml:"id"`
	Media    string         `yaml:"media"` // absent = voice
	ANI      string         `yaml:"ani"`
	DNIS     string         `yaml:"dnis"`
	UserData map[string]any `yaml:"udata"`
}

// Answer is what a request comes to. Of several that fit, each is used once in their order, and the last from then on.
type Answer struct {
	Request     string         `yaml:"request"` // such as dialog.playandcollect
	If          map[string]any `yaml:"if"`      // only if the request has these arguments
	After       time.Duration  `yaml:"after"`
	Done        map[string]any `yaml:"done"`  // data of the event; absent = done without data
	Error       string         `yaml:"error"` // word of an error event, in place of done
	Description string         `yaml:"description"`
	Nothing     bool           `yaml:"nothing"` // it is never answered
	used        bool
}

// Happening is an event of a scenario.
type Happening struct {
	At     time.Duration  `yaml:"at"`    // since the start
	After  time.Duration  `yaml:"after"` // since the event before, or the start
	Event  string         `yaml:"event"`
	Data   map[string]any `yaml:"data"`
	Hangup bool           `yaml:"hangup"` // the caller hangs up
}

// maxScenario bounds the bytes of a file of events or tests.
const maxScenario = 1 << 20

// ReadScenario reads a file of events: YAML, or JSON, which is YAML too.
func ReadScenario(file string, text []byte) (*Scenario, error) {
	var s Scenario
	if err := decode(text, &s); err != nil {
		return nil, fmt.Errorf("%s:%w", file, err)
	}
	return &s, s.check()
}

// decode reads YAML strictly. Its errors begin with line and column where the parser knows them.
func decode(text []byte, into any) (err error) {
	if len(text) > maxScenario {
		return fmt.Errorf(" it has %d bytes, at most %d are read", len(text), maxScenario)
	}
	defer func() { // a parser of outside text; what it does not survive is the text's fault
		if p := recover(); p != nil {
			err = fmt.Errorf(" this is no YAML that can be read: %v", p)
		}
	}()
	err = yaml.UnmarshalWithOptions(text, into, yaml.Strict())
	var placed yaml.Error
	if errors.As(err, &placed) && placed.GetToken() != nil {
		at := placed.GetToken().Position
		return &placedError{at.Line, at.Column, placed.GetMessage()}
	}
	if err != nil {
		return fmt.Errorf(" %w", err)
	}
	return nil
}

// placedError is an error at a place of a file.
type placedError struct {
	line, column int
	text         string
}

func (e *placedError) Error() string { return fmt.Sprintf("%d:%d: %s", e.line, e.column, e.text) }

func (s *Scenario) check() error {
	var errs []error
	for i, e := range s.Events {
		if (e.Event == "") == !e.Hangup {
			errs = append(errs, fmt.Errorf("events[%d]: want either event, with its name, or hangup: true", i))
		}
		if e.At < 0 || e.After < 0 {
			errs = append(errs, fmt.Errorf("events[%d]: a time is negative", i))
		}
	}
	for i, a := range s.Answers {
		if a.Request == "" {
			errs = append(errs, fmt.Errorf("answers[%d]: request is missing, such as dialog.play", i))
		}
		if a.Error != "" && a.Done != nil || a.Nothing && (a.Done != nil || a.Error != "") {
			errs = append(errs, fmt.Errorf("answers[%d]: want one of done, error and nothing", i))
		}
		if a.After < 0 {
			errs = append(errs, fmt.Errorf("answers[%d]: after is negative", i))
		}
	}
	if _, err := s.start(); err != nil {
		errs = append(errs, err)
	}
	if s.None && s.Interaction != nil {
		errs = append(errs, errors.New("interaction and no_interaction exclude each other"))
	}
	if _, _, err := s.tables(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// start is when the session starts.
func (s *Scenario) start() (time.Time, error) {
	if s.At == "" {
		return defaultStart, nil
	}
	at, err := time.Parse(time.RFC3339, s.At)
	if err != nil {
		return at, fmt.Errorf("at: %.64q is no time such as 2026-11-02T12:00:00+01:00", s.At)
	}
	return at, nil
}

// over is the scenario with what base says where it says nothing itself; its answers go before those of base.
func (s Scenario) over(base Scenario) Scenario {
	if s.At == "" {
		s.At = base.At
	}
	if s.Interaction == nil && !s.None {
		s.Interaction, s.None = base.Interaction, base.None
	}
	s.Params, s.Functions = merged(base.Params, s.Params), merged(base.Functions, s.Functions)
	if s.BusinessHours == nil {
		s.BusinessHours = base.BusinessHours
	}
	if s.Lists == nil {
		s.Lists = base.Lists
	}
	answered := map[string]bool{}
	for _, a := range s.Answers {
		answered[a.Request] = true
	}
	for _, a := range base.Answers {
		if !answered[a.Request] {
			s.Answers = append(s.Answers, a)
		}
	}
	if s.Events == nil {
		s.Events = base.Events
	}
	if s.Until == 0 {
		s.Until = base.Until
	}
	return s
}

func merged(base, over map[string]any) map[string]any {
	if len(base) == 0 {
		return over
	}
	out := map[string]any{}
	for k, v := range base {
		out[k] = v
	}
	for k, v := range over {
		out[k] = v
	}
	return out
}

// tables are the business hours and lists of the scenario.
func (s *Scenario) tables() (hours []voice.BusinessHours, lists []voice.List, err error) {
	if err = convert("business_hours", s.BusinessHours, &hours); err == nil {
		err = convert("lists", s.Lists, &lists)
	}
	return hours, lists, err
}

// convert reads what YAML made of resources as their types, whose fields JSON names.
func convert(field string, from []any, into any) error {
	raw, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

// FileLoader reads what documents refer to from a tree of files and from nowhere else; base is a path in it.
func FileLoader(tree fs.FS) func(base, src string) ([]byte, error) {
	return func(_, src string) ([]byte, error) { return fs.ReadFile(tree, src) }
}
