// Package queue is the module that looks for somebody who takes an interaction: directly named numbers, or whoever a router
// chooses by skills, groups and statistics. [Targets] reads what a script asks for.
package queue

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"parley/internal/contract"
	"parley/internal/scxml"
	"parley/services/orchestration/module"
)

// Name is that of the module.
const Name = "queue"

// The actions.
const (
	Submit = "submit"
	Cancel = "cancel"
	Update = "update"
	Query  = "query"
)

// Module is the module.
func Module() module.Module {
	wants := []string{"queue", "priority", "ordertype", "orderstat", "timeout", "route"}
	return module.Module{Name: Name, Actions: []module.Action{
		{Name: Submit, Attrs: append(wants, "targets"), Inside: inside, Check: check},
		{Name: Update, Attrs: append(wants, "submitid", "reqid", "targets"), Inside: inside, Check: checkUpdate},
		{Name: Cancel, Attrs: []string{"submitid", "reqid"}},
		{Name: Query, Attrs: []string{"submitid", "reqid"}},
	}}
}

// maxTargets bounds what one submit asks for.
const maxTargets = 50

func inside(b *scxml.Builder) (module.Fill, error) {
	var lists []module.Fill
	module.Inside(b, func(_ string, b *scxml.Builder) { lists = append(lists, targets(b)) }, "targets")
	return func(h *scxml.Handle, args map[string]any) error {
		for _, fill := range lists {
			if err := fill(h, args); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// targets compiles <targets> to the argument targets: a list of objects.
func targets(b *scxml.Builder) module.Fill {
	b.Only("type", "statserver")
	of := []*scxml.Value{b.Value("type"), b.Value("statserver")}
	var each []module.Fill
	module.Inside(b, func(name string, b *scxml.Builder) {
		if name == "targetid" {
			each = append(each, module.Values(b, "expr"))
		} else {
			each = append(each, module.Values(b, "name", "type", "statserver", "weight", "threshold", "skillexpr"))
		}
	}, "target", "targetid")
	return func(h *scxml.Handle, args map[string]any) error {
		list, _ := args["targets"].([]any)
		for _, fill := range each {
			target := map[string]any{}
			for i, name := range []string{"type", "statserver"} {
				v, err := h.Eval(of[i])
				if err != nil {
					return err
				}
				if v != scxml.Undefined && v != nil {
					target[name] = v
				}
			}
			if err := fill(h, target); err != nil {
				return err
			}
			list = append(list, target)
		}
		args["targets"] = list
		return nil
	}
}

func check(r *module.Request) error {
	_, err := Asks(r)
	return err
}

func checkUpdate(r *module.Request) error {
	if r.Args["targets"] == nil {
		return nil
	}
	_, err := Targets(r.Args["targets"])
	return err
}

// Asks reads what a submit asks for.
func Asks(r *module.Request) (*contract.QueueSubmitRequest, error) {
	list, err := Targets(r.Args["targets"])
	if err != nil {
		return nil, err
	}
	q := &contract.QueueSubmitRequest{
		Request: r.ID, Interaction: r.Interaction, Queue: r.Text("queue"), OrderType: r.Text("ordertype"), OrderStat: r.Text("orderstat"),
		Targets: list, Route: r.Flag("route", true),
	}
	priority, ok := r.Number("priority", 0)
	if !ok {
		return nil, module.Refuse(module.InvalidParameter, "priority %q is no number", r.Text("priority"))
	}
	q.Priority = int(priority)
	switch q.OrderType {
	case "", "max", "min", "any", "percentage":
	default:
		return nil, module.Refuse(module.InvalidParameter, "ordertype %q is none of max, min, any and percentage", q.OrderType)
	}
	timeout, ok := r.Number("timeout", 0)
	if !ok || timeout < 0 || timeout > 7*24*3600 {
		return nil, module.Refuse(module.InvalidParameter, "timeout %q is no time in seconds up to a week", r.Text("timeout"))
	}
	q.Timeout = timeout
	return q, nil
}

// kinds are the types of targets, and letters the short forms that end a target string.
var (
	kinds = map[string]bool{
		"agent": true, "place": true, "agentgroup": true, "placegroup": true, "queue": true, "dn": true, "skill": true,
		"campaigngroup": true, "routepoint": true, "label": true, "queuegroup": true,
	}
	letters = map[string]string{
		"A": "agent", "AP": "place", "GA": "agentgroup", "GP": "placegroup", "Q": "queue", "DN": "dn", "RP": "routepoint", "DL": "label",
		"GC": "campaigngroup", "C": "campaigngroup", "GQ": "queuegroup",
	}
)

// Targets reads the targets of a submit: objects, or strings such as "?:english>5@stat.GA" and "1001.DN".
func Targets(v any) ([]contract.QueueTarget, error) {
	list, ok := v.([]any)
	if !ok && v != nil {
		list = []any{v}
	}
	if len(list) == 0 || len(list) > maxTargets {
		return nil, module.Refuse(module.InvalidParameter, "there are %d targets, want 1 to %d", len(list), maxTargets)
	}
	var out []contract.QueueTarget
	for n, entry := range list {
		t, err := target(entry)
		if err != nil {
			return nil, module.Refuse(module.InvalidParameter, "target %d: %v", n+1, err)
		}
		out = append(out, t)
	}
	return out, nil
}

func target(entry any) (contract.QueueTarget, error) {
	o, ok := entry.(map[string]any)
	if !ok {
		return ParseTarget(scxml.Text(entry))
	}
	text := func(name string) string {
		if v, ok := o[name]; ok {
			return scxml.Text(v)
		}
		return ""
	}
	if expr := text("expr"); expr != "" {
		return ParseTarget(expr)
	}
	t := contract.QueueTarget{
		Type: strings.ToLower(text("type")), Name: text("name"), StatServer: text("statserver"), Threshold: text("threshold"), Skills: text("skillexpr"),
	}
	weight, ok := module.Number(o["weight"], 0)
	if !ok {
		return t, fmt.Errorf("weight %q is no number", text("weight"))
	}
	t.Weight = int(weight)
	switch {
	case t.Type == "" && t.Skills != "":
		t.Type = "skill"
	case !kinds[t.Type]:
		return t, fmt.Errorf("type %q is unknown", t.Type)
	}
	if t.Name == "" && t.Skills == "" {
		return t, fmt.Errorf("it has neither name nor skillexpr")
	}
	return t, nil
}

// targetForm is {threshold}[weight]name@server.type, where name may be ?group:expression.
var targetForm = regexp.MustCompile(`^(?:\{([^{}]*)\})?(?:\[(\d{1,6})\])?(.+?)(?:@([^@.]*))?\.([A-Za-z]{1,2})$`)

// ParseTarget reads a target string.
func ParseTarget(s string) (contract.QueueTarget, error) {
	var t contract.QueueTarget
	m := targetForm.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil || len(s) > 1000 {
		return t, fmt.Errorf("%.100q is no target such as 1001.DN, 7001@stat.A or ?:english>5@stat.GA", s)
	}
	t.Threshold, t.StatServer = m[1], m[4]
	t.Weight, _ = strconv.Atoi(m[2]) // digits only
	kind, ok := letters[strings.ToUpper(m[5])]
	if !ok {
		return t, fmt.Errorf("%.100q ends in %q, which is no type of targets", s, m[5])
	}
	t.Type, t.Name = kind, m[3]
	if group, expr, ok := strings.Cut(m[3], ":"); ok && strings.HasPrefix(group, "?") {
		t.Name, t.Skills = strings.TrimPrefix(group, "?"), expr
		if t.Type == "agentgroup" && t.Name == "" {
			t.Type = "skill"
		}
	}
	return t, nil
}

// Direct tells whether the interaction can be sent there without a router: to a number, whatever it is.
func Direct(t contract.QueueTarget) bool {
	switch t.Type {
	case "dn", "routepoint", "label":
		return true
	}
	return false
}
