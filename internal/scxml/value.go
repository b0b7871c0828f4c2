package scxml

import (
	"time"

	"parley/internal/scxml/markup"
)

// Values outside of a runtime are what encoding/json makes (nil, bool, float64, string, []any, map[string]any), and
// besides these: Undefined, time.Time for a Date, Pattern for a RegExp, *markup.Node for XML.

type undefined struct{}

// Undefined is ECMAScript's undefined, where nil is its null.
var Undefined any = undefined{}

// MarshalJSON writes undefined as null, as it becomes in an array of JSON.
func (undefined) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// Pattern is a regular expression as a value.
type Pattern struct{ Source, Flags string }

// sizeOf estimates the bytes that a value holds.
func sizeOf(v any) int {
	const word = 16
	switch v := v.(type) {
	case string:
		return word + len(v)
	case []any:
		n := 3 * word
		for _, e := range v {
			n += sizeOf(e)
		}
		return n
	case map[string]any:
		n := 3 * word
		for k, e := range v {
			n += word + len(k) + sizeOf(e)
		}
		return n
	case *markup.Node:
		n := 8*word + len(v.Text) + len(v.Name)
		for _, a := range v.Attrs {
			n += 3*word + len(a.Name) + len(a.Value)
		}
		for _, c := range v.Children {
			n += sizeOf(c)
		}
		return n
	case time.Time, Pattern:
		return 2 * word
	}
	return word
}
