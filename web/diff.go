package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"parley/internal/contract"
)

// maxValue is how much of a value the history shows, in characters.
const maxValue = 200

// diffOf compares two bodies field by field, in order of their paths. A missing body has no fields.
func diffOf(before, after json.RawMessage) []contract.FieldDiff {
	was, is := flatten(before), flatten(after)
	paths := slices.Sorted(maps.Keys(was))
	for _, p := range slices.Sorted(maps.Keys(is)) {
		if _, both := was[p]; !both {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	var out []contract.FieldDiff
	for _, p := range paths {
		if was[p] != is[p] {
			out = append(out, contract.FieldDiff{Field: p, Before: cut(was[p]), After: cut(is[p])})
		}
	}
	return out
}

// flatten turns a JSON object into paths and values: {"a":{"b":1}} is a.b = 1. Lists of plain values are one value.
func flatten(body json.RawMessage) map[string]string {
	out := map[string]string{}
	if len(body) == 0 {
		return out
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		out["(unreadable)"] = err.Error()
		return out
	}
	flattenInto(out, "", v)
	return out
}

func flattenInto(out map[string]string, path string, v any) {
	join := func(name string) string {
		if path == "" {
			return name
		}
		return path + "." + name
	}
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			flattenInto(out, join(name), inner)
		}
	case []any:
		var parts []string
		for i, inner := range v {
			switch inner.(type) {
			case map[string]any, []any:
				flattenInto(out, fmt.Sprintf("%s[%d]", path, i), inner)
			default:
				parts = append(parts, fmt.Sprint(inner))
			}
		}
		if len(parts) > 0 {
			out[path] = strings.Join(parts, ", ")
		}
	case nil:
	default:
		out[path] = fmt.Sprint(v)
	}
}

func cut(s string) string {
	runes := []rune(s)
	if len(runes) <= maxValue {
		return s
	}
	return string(runes[:maxValue]) + " …"
}
