package web

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/gofiber/fiber/v2"

	"parley/internal/voice"
	"parley/web/ui"
)

const spareRows = 2 // empty rows at the end of a table of a form, for browsers without script

// partitionForm is the form of a partition, as it was filled in. Tables end with rows that are empty.
type partitionForm struct {
	New            bool
	Action, Back   string
	Name, Timezone string
	Times          []timeRow
	Rules          []ruleRow
	Targets        []string
	Version        int64
	Problem        *ui.Problem
	Errors         map[string]string
}

type timeRow struct {
	Days, From, To string
	Errors         map[string]string
}

type ruleRow struct {
	Pattern, Action, Strip, Prepend, Target, Comment string
	Errors                                           map[string]string
}

func (t *timeRow) empty() bool { return t.Days == "" && t.From == "" && t.To == "" }

func (t *ruleRow) empty() bool {
	return t.Pattern == "" && t.Strip == "" && t.Prepend == "" && t.Target == "" && t.Comment == ""
}

// fill puts a partition into the form.
func (f *partitionForm) fill(p *voice.Partition) {
	f.Name, f.Timezone = p.Name, p.Timezone
	for _, t := range p.Times {
		f.Times = append(f.Times, timeRow{Days: strings.Join(t.Days, ", "), From: t.From, To: t.To})
	}
	for _, r := range p.Rules {
		row := ruleRow{Pattern: r.Pattern, Action: string(r.Action), Prepend: r.Prepend, Target: r.Target, Comment: r.Comment}
		if r.Strip > 0 {
			row.Strip = strconv.Itoa(r.Strip)
		}
		f.Rules = append(f.Rules, row)
	}
}

// read takes the form as it was sent, without its empty rows, and returns the partition it means.
func (f *partitionForm) read(r *request) (*voice.Partition, error) {
	f.Timezone = r.form("timezone")
	p := &voice.Partition{Name: f.Name, Timezone: f.Timezone, Rules: []voice.DialRule{}}
	column := func(name string) func(int) string {
		all := r.formAll(name)
		return func(i int) string {
			if i < len(all) {
				return strings.TrimSpace(all[i])
			}
			return ""
		}
	}
	days, from, to := column("days"), column("from"), column("to")
	for i := range r.formAll("days") {
		row := timeRow{Days: days(i), From: from(i), To: to(i)}
		if row.empty() {
			continue
		}
		f.Times = append(f.Times, row)
		p.Times = append(p.Times, voice.TimeSpan{Days: words(row.Days), From: row.From, To: row.To})
	}
	pattern, action, strip, prepend, target, comment := column("pattern"), column("action"), column("strip"), column("prepend"), column("target"), column("comment")
	var bad []voice.FieldError
	for i := range r.formAll("pattern") {
		row := ruleRow{Pattern: pattern(i), Action: action(i), Strip: strip(i), Prepend: prepend(i), Target: target(i), Comment: comment(i)}
		if row.empty() {
			continue
		}
		rule := voice.DialRule{Pattern: row.Pattern, Action: voice.RuleAction(row.Action), Prepend: row.Prepend, Target: row.Target, Comment: row.Comment}
		if row.Strip != "" {
			n, err := strconv.Atoi(row.Strip)
			if err != nil {
				bad = append(bad, voice.FieldError{Field: fmt.Sprintf("rules[%d].strip", len(f.Rules)), Reason: "is not a number of digits"})
			}
			rule.Strip = n
		}
		f.Rules = append(f.Rules, row)
		p.Rules = append(p.Rules, rule)
	}
	if len(bad) > 0 {
		return nil, voice.Invalid(bad...)
	}
	return p, nil
}

// words splits a list that people write with commas or blanks.
func words(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == ';' || unicode.IsSpace(c) })
}

var rowField = regexp.MustCompile(`\b(rules|times)\[(\d+)\]\.(\w+)`)

// again shows the form with what is wrong: in the row and field at fault, where it is in one.
func (f *partitionForm) again(r *request, err error) error {
	if ve, ok := errors.AsType[*voice.Error](err); ok && errors.Is(err, voice.ErrInvalid) {
		rest := *ve
		rest.Fields = nil
		for _, field := range ve.Fields {
			if !f.place(field) {
				rest.Fields = append(rest.Fields, field)
			}
		}
		if len(rest.Fields) < len(ve.Fields) {
			f.Problem, f.Errors = splitFields(&rest, []string{"name", "timezone"})
			f.Problem.Text = "Please check what is marked below. Nothing was saved."
			if len(rest.Fields) == 0 {
				f.Problem.Items = nil
			}
			r.c.Status(fiber.StatusUnprocessableEntity)
			return f.show(r)
		}
	}
	problem, errs, ok := formProblem(err, "name", "timezone")
	if !ok {
		return err
	}
	f.Problem, f.Errors = problem, errs
	r.c.Status(fiber.StatusUnprocessableEntity)
	return f.show(r)
}

// place puts a problem into the row it is about.
func (f *partitionForm) place(field voice.FieldError) bool {
	m := rowField.FindStringSubmatch(field.Field)
	if m == nil {
		return false
	}
	i, err := strconv.Atoi(m[2])
	if err != nil {
		return false
	}
	var into *map[string]string
	switch {
	case m[1] == "rules" && i < len(f.Rules):
		into = &f.Rules[i].Errors
	case m[1] == "times" && i < len(f.Times):
		into = &f.Times[i].Errors
	default:
		return false
	}
	if *into == nil {
		*into = map[string]string{}
	}
	(*into)[m[3]] = strings.TrimSpace((*into)[m[3]] + " " + sentence(field.Reason))
	return true
}

func (f *partitionForm) show(r *request) error {
	var err error
	if f.Targets, err = r.trunkNames(""); err != nil {
		return err
	}
	f.Times = append(f.Times, make([]timeRow, spareRows)...)
	f.Rules = append(f.Rules, make([]ruleRow, spareRows)...)
	title := "New partition"
	if !f.New {
		title = "Edit " + f.Name
	}
	return r.page("partition_form", title, "dialplan", f)
}

func (s *Server) newPartition(r *request) error {
	f := &partitionForm{New: true, Action: tenantPath(r.tenant, "dialplan", "partitions"), Back: tenantPath(r.tenant, "dialplan")}
	return f.show(r)
}

func (s *Server) createPartition(r *request) error {
	f := &partitionForm{New: true, Action: tenantPath(r.tenant, "dialplan", "partitions"), Back: tenantPath(r.tenant, "dialplan"), Name: r.form("name")}
	p, err := f.read(r)
	if err != nil {
		return f.again(r, err)
	}
	if f.Name == "" {
		return f.again(r, invalidField("name", "is missing"))
	}
	if err := r.put(r.tenant, voice.KindPartition, f.Name, 0, p); err != nil {
		return f.again(r, err)
	}
	return r.done(f.Back, "created")
}

func (s *Server) editPartition(r *request) error {
	var p voice.Partition
	res, err := r.read(r.tenant, voice.KindPartition, r.param("key"), &p)
	if err != nil {
		return err
	}
	f := &partitionForm{Action: tenantPath(r.tenant, "dialplan", "partitions", res.Key), Back: tenantPath(r.tenant, "dialplan"), Version: res.Version}
	f.fill(&p)
	return f.show(r)
}

func (s *Server) updatePartition(r *request) error {
	version, err := r.formVersion()
	if err != nil {
		return err
	}
	name := r.param("key")
	f := &partitionForm{Action: tenantPath(r.tenant, "dialplan", "partitions", name), Back: tenantPath(r.tenant, "dialplan"), Name: name, Version: version}
	p, err := f.read(r)
	if err != nil {
		return f.again(r, err)
	}
	if err := r.put(r.tenant, voice.KindPartition, name, version, p); err != nil {
		return f.again(r, err)
	}
	return r.done(f.Back, "saved")
}
