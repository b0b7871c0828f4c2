package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"parley/internal/voice"
)

// Sources are where the values of a node come from besides [Default].
type Sources struct {
	File  string   // path of the YAML file; "" = none
	Env   []string // NAME=value, as os.Environ gives them
	Flags []Flag   // values of command line flags that were given
}

// Flag is a value from the command line.
type Flag struct {
	Name  string // as typed, e.g. --data-dir
	Key   string // what it sets, e.g. node.data_dir
	Value string // a list is comma separated
}

// Problems is all that is wrong with a configuration.
type Problems []voice.FieldError

// Error lists the problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, e := range p {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Load reads the configuration from its sources and checks it. The error is a [Problems] with everything that is
// wrong; warnings are sentences about what was ignored.
func Load(src Sources) (cfg Config, warnings []string, err error) {
	cfg = Default()
	d := newDecoder(&cfg)
	if src.File != "" {
		text, err := os.ReadFile(src.File)
		if err != nil {
			return cfg, nil, Problems{{File: src.File, Field: "--config", Reason: unreadable(err)}}
		}
		d.file(src.File, text)
	}
	warnings = d.environment(src.Env)
	for _, f := range src.Flags {
		d.text(f.Key, f.Value, f.Name)
	}
	if cfg.Node.ID == "" {
		host, err := os.Hostname()
		if err != nil {
			d.problem("node.id", "not set, and the machine does not tell its host name ("+err.Error()+"); set it")
		}
		cfg.Node.ID = host
	}
	for _, e := range flatten(cfg.Validate()) {
		d.report(e)
	}
	if len(d.problems) > 0 {
		return cfg, warnings, d.problems
	}
	return cfg, warnings, nil
}

// unreadable says why a file cannot be read, and the cure.
func unreadable(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file; check the path, or leave the flag out to run with defaults"
	case errors.Is(err, fs.ErrPermission):
		return "no permission to read the file; run as its owner or chmod it"
	default:
		return "cannot read the file: " + err.Error()
	}
}

// envPrefix is what the variables of a node begin with.
const envPrefix = "PARLEY_"

// EnvName is the variable that overrides key.
func EnvName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// notKeys are variables of ours that are no configuration keys: flags have them.
var notKeys = []string{"PARLEY_CONFIG", "PARLEY_PROVISION", "PARLEY_URL", "PARLEY_TOKEN"}

func (d *decoder) environment(env []string) (warnings []string) {
	keys := map[string]string{}
	for _, key := range d.keys() {
		keys[EnvName(key)] = key
	}
	env = slices.Clone(env)
	slices.Sort(env) // so that problems come in a fixed order
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(notKeys, name) {
			continue
		}
		key, ok := keys[name]
		if !ok {
			warnings = append(warnings, fmt.Sprintf("%s names no configuration key and is ignored", name))
			continue
		}
		d.text(key, value, name)
	}
	return warnings
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, flatten(e)...)
		}
		return out
	}
	return []error{err}
}

// report turns an error "key: reason" of some Validate into a problem at the place where the key got its value.
func (d *decoder) report(err error) {
	key, reason, ok := strings.Cut(err.Error(), ": ")
	if !ok {
		key, reason = "configuration", err.Error()
	}
	d.problem(key, reason)
}

// problem records that the value of key is wrong, where it was set.
func (d *decoder) problem(key, reason string) {
	at := d.where(key)
	at.Field, at.Reason = key, reason
	d.problems = append(d.problems, at)
}

// where finds the place that set key, or the nearest thing around it. Nothing set it: the default is at fault, and
// the place stays empty.
func (d *decoder) where(key string) voice.FieldError {
	for key != "" {
		if at, ok := d.places[key]; ok {
			return at
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return voice.FieldError{}
}

// Keys lists every key there is.
func Keys() []string {
	cfg := Default()
	return newDecoder(&cfg).keys()
}
