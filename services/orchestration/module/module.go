package module

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"parley/internal/scxml"
)

// Module is one namespace of actions.
type Module struct {
	Name    string // last word of its namespace, and the first of its events unless an action says otherwise
	Actions []Action
}

// Action is an element of a module.
type Action struct {
	Name   string
	Events string   // first word of its events; "" = the module's name
	Attrs  []string // besides requestid and interactionid
	Needs  []string // those of Attrs that must be there
	// Inside compiles what stands inside of the element; nil = nothing may.
	Inside func(b *scxml.Builder) (Fill, error)
	// Check says whether the request can be asked for; nil = always.
	Check func(r *Request) error
	// Alone says that it is not about an interaction.
	Alone bool
}

// Fill adds to the arguments of a request what stands inside of its element.
type Fill func(h *scxml.Handle, args map[string]any) error

// Host owns a session: it is what [scxml.StartOptions] calls the owner.
type Host interface {
	// Ask takes a request that could be asked for. It returns at once, and answers by events, then or later. An error
	// answers too.
	Ask(h *scxml.Handle, r *Request) error
	// Interactions are those of the session, the one that it was started for first.
	Interactions() []*Interaction
	// About is the session itself, as _parley.session shows it.
	About() About
	// Function answers functions of object roots, such as "session.getListItemValue".
	Function(name string, args []any) (any, error)
}

// Spaces are the namespaces of a module; the first is the one people know.
func (m *Module) Spaces() []string {
	return []string{
		"www.genesyslab.com/modules/" + m.Name, "http://www.genesyslab.com/modules/" + m.Name, "urn:parley:" + m.Name,
	}
}

// Elements are the actions of modules, for [scxml.Options].
func Elements(modules []Module) []scxml.Element {
	var out []scxml.Element
	for i := range modules {
		m := &modules[i]
		for j := range m.Actions {
			a := &m.Actions[j]
			for _, space := range m.Spaces() {
				out = append(out, scxml.Element{Space: space, Name: a.Name, Compile: func(b *scxml.Builder) (scxml.Execute, error) {
					return m.compile(a, b)
				}})
			}
		}
	}
	return out
}

func (m *Module) compile(a *Action, b *scxml.Builder) (scxml.Execute, error) {
	b.Only(append([]string{"requestid", "interactionid"}, a.Attrs...)...)
	id, interaction := b.Location("requestid"), b.Value("interactionid")
	values := map[string]*scxml.Value{}
	for _, name := range a.Attrs {
		if v := b.Value(name); v != nil {
			values[name] = v
		} else if slices.Contains(a.Needs, name) {
			return nil, fmt.Errorf("attribute %s is missing", name)
		}
	}
	fill := Fill(func(*scxml.Handle, map[string]any) error { return nil })
	if a.Inside != nil {
		var err error
		if fill, err = a.Inside(b); err != nil {
			return nil, err
		}
	} else if len(b.Node().Elements()) > 0 {
		return nil, fmt.Errorf("nothing can stand inside of it")
	}
	return func(h *scxml.Handle) error {
		r := &Request{ID: h.NewID(m.Name), Module: m.Name, Action: a.Name, Events: m.Name, Args: map[string]any{}}
		if a.Events != "" {
			r.Events = a.Events
		}
		if err := h.Assign(id, r.ID); err != nil {
			return err
		}
		for name, v := range values {
			value, err := h.Eval(v)
			if err != nil {
				return err
			}
			if value != scxml.Undefined && value != nil {
				r.Args[name] = value
			}
		}
		if err := fill(h, r.Args); err != nil {
			return err
		}
		var err error
		if r.Interaction, err = h.Text(interaction); err != nil {
			return err
		}
		return give(h, a, r)
	}, nil
}

// give hands a request to the host of the session.
func give(h *scxml.Handle, a *Action, r *Request) error {
	host, ok := h.Owner().(Host)
	if !ok {
		return fmt.Errorf("nobody answers <%s> here", r.Name())
	}
	err := placed(host, a, r)
	if err == nil && a.Check != nil {
		err = a.Check(r)
	}
	if err == nil {
		err = host.Ask(h, r)
	}
	if err != nil {
		return h.Post(r.Failed(err))
	}
	return nil
}

// placed finds the interaction that a request is about: the one it names, else the session's first.
func placed(host Host, a *Action, r *Request) error {
	if a.Alone {
		return nil
	}
	all := host.Interactions()
	if r.Interaction == "" && len(all) > 0 {
		r.Interaction = all[0].ID
	}
	if !slices.ContainsFunc(all, func(i *Interaction) bool { return i.ID == r.Interaction }) {
		return Refuse(InvalidInteraction, "the session has no interaction %q", r.Interaction)
	}
	return nil
}

// Values compiles attributes of an element inside of an action and tells them as arguments.
func Values(b *scxml.Builder, attrs ...string) Fill {
	b.Only(attrs...)
	values := map[string]*scxml.Value{}
	for _, name := range attrs {
		if v := b.Value(name); v != nil {
			values[name] = v
		}
	}
	return func(h *scxml.Handle, args map[string]any) error {
		for name, v := range values {
			value, err := h.Eval(v)
			if err != nil {
				return err
			}
			if value != scxml.Undefined && value != nil {
				args[name] = value
			}
		}
		return nil
	}
}

// Inside refuses elements that are not among names, and gives those that are to fn.
func Inside(b *scxml.Builder, fn func(name string, b *scxml.Builder), names ...string) {
	for _, n := range b.Node().Elements() {
		child := b.Child(n)
		if n.Space != b.Node().Space || !slices.Contains(names, n.Name) {
			child.Errorf("it has no place in <%s>", b.Node().Name)
			continue
		}
		fn(n.Name, child)
	}
}

// Payload is an Inside of actions that take <param> or <content>, as <send> does; the argument has that name.
func Payload(argument string) func(b *scxml.Builder) (Fill, error) {
	return func(b *scxml.Builder) (Fill, error) {
		payload := b.Payload()
		return func(h *scxml.Handle, args map[string]any) error {
			v, err := payload(h)
			if err == nil && v != nil && v != scxml.Undefined {
				args[argument] = v
			}
			return err
		}, nil
	}
}

func number(v any, otherwise float64) (float64, bool) {
	switch v := v.(type) {
	case nil:
		return otherwise, true
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	case int64:
		return float64(v), true
	case int:
		return float64(v), true
	case bool:
		return 0, false
	case string:
		n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		return n, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
	}
	return 0, false
}

func flag(v any, otherwise bool) bool {
	switch v := v.(type) {
	case nil:
		return otherwise
	case bool:
		return v
	case string:
		switch strings.ToLower(v) {
		case "false", "no", "off", "0", "":
			return false
		}
		return true
	case float64:
		return v != 0
	}
	return true
}

// Number reads a value as a number, as [Request.Number] does.
func Number(v any, otherwise float64) (float64, bool) { return number(v, otherwise) }

// Flag reads a value as a truth value, as [Request.Flag] does.
func Flag(v any, otherwise bool) bool { return flag(v, otherwise) }
