package voice

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// KVList is a list of keys and values as T-Library has it: a value is text, a whole number, or a list again. In JSON it
// is an object. Whatever else stands there is refused when it is read, and so is what is too large.
type KVList map[string]any

// Limits of a list that comes from outside.
const (
	maxKVDepth = 4
	maxKVKeys  = 200 // with those of the lists in it
	maxKVText  = 2048
)

// UnmarshalJSON reads an object.
func (l *KVList) UnmarshalJSON(b []byte) error {
	var raw map[string]any
	if err := json.Unmarshal(b, &raw); err != nil {
		return fmt.Errorf("a list of keys and values is a JSON object: %w", err)
	}
	if raw == nil {
		*l = nil
		return nil
	}
	keys := 0
	out, err := readKV(raw, 1, &keys)
	*l = out
	return err
}

func readKV(raw map[string]any, depth int, keys *int) (KVList, error) {
	if depth > maxKVDepth {
		return nil, fmt.Errorf("lists are nested more than %d deep", maxKVDepth)
	}
	out := make(KVList, len(raw))
	for key, v := range raw {
		if *keys++; *keys > maxKVKeys || len(key) > maxKVText {
			return nil, fmt.Errorf("a list has at most %d keys, of at most %d bytes each", maxKVKeys, maxKVText)
		}
		switch v := v.(type) {
		case string:
			if len(v) > maxKVText {
				return nil, fmt.Errorf("%.64q is longer than %d bytes", key, maxKVText)
			}
			out[key] = v
		case bool: // T-Library has none: 0 or 1
			out[key] = int64(0)
			if v {
				out[key] = int64(1)
			}
		case float64:
			if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
				return nil, fmt.Errorf("%.64q is not a whole number", key)
			}
			out[key] = int64(v)
		case map[string]any:
			list, err := readKV(v, depth+1, keys)
			if err != nil {
				return nil, err
			}
			out[key] = list
		default:
			return nil, fmt.Errorf("%.64q is neither text nor a whole number nor a list", key)
		}
	}
	return out, nil
}

// Has tells whether a key is there.
func (l KVList) Has(key string) bool { _, ok := l[key]; return ok }

// Text is a value as text, a number too; "" when it is not there or a list.
func (l KVList) Text(key string) string {
	switch v := l[key].(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case int:
		return strconv.Itoa(v)
	}
	return ""
}

// Int is a value as a number; text that is one counts. ok is false when the key is there and no number.
func (l KVList) Int(key string) (n int64, ok bool) {
	if !l.Has(key) {
		return 0, true
	}
	n, err := strconv.ParseInt(l.Text(key), 10, 64)
	return n, err == nil
}

// List is a value that is a list again; nil when there is none.
func (l KVList) List(key string) KVList {
	switch v := l[key].(type) {
	case KVList:
		return v
	case map[string]any:
		return KVList(v)
	}
	return nil
}

// Keys are the keys in order: numbers by their value before all others, as "1", "2", "10" number the parts of a list.
func (l KVList) Keys() []string {
	keys := make([]string, 0, len(l))
	for k := range l {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		x, errX := strconv.Atoi(a)
		y, errY := strconv.Atoi(b)
		switch {
		case errX == nil && errY == nil && x != y:
			return x - y
		case errX == nil && errY != nil:
			return -1
		case errX != nil && errY == nil:
			return 1
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	})
	return keys
}
