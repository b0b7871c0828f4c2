package workspace

import (
	"encoding/json"
	"fmt"

	"parley/internal/voice"
)

// kvPair is how desktops write an entry of a list: a key, what kind of value, and the value.
type kvPair struct {
	Key   string `json:"key"`
	Type  string `json:"type"` // str, int or kvlist
	Value any    `json:"value"`
}

// kvPairs is a list of keys and values as desktops write it. When a key stands twice the later one holds.
type kvPairs []kvPair

// UnmarshalJSON takes entries, as in [{"key":"a","type":"str","value":"b"}].
func (l *kvPairs) UnmarshalJSON(b []byte) error {
	var plain []struct {
		Key   string          `json:"key"`
		Type  string          `json:"type"`
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(b, &plain); err != nil {
		return fmt.Errorf("a list is an array of {key, type, value}: %w", err)
	}
	out := make(kvPairs, 0, len(plain))
	for _, p := range plain {
		if p.Key == "" {
			return fmt.Errorf("an entry of a list has no key")
		}
		e := kvPair{Key: p.Key, Type: p.Type}
		if p.Type == "kvlist" {
			var inner kvPairs
			if err := json.Unmarshal(p.Value, &inner); err != nil {
				return err
			}
			e.Value = inner
		} else if len(p.Value) > 0 {
			if err := json.Unmarshal(p.Value, &e.Value); err != nil {
				return err
			}
		}
		out = append(out, e)
	}
	*l = out
	return nil
}

// list is l as the rest of the platform has it, within the limits of voice.KVList.
func (l kvPairs) list() (voice.KVList, error) {
	if len(l) == 0 {
		return nil, nil
	}
	plain, err := l.object()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(plain)
	if err != nil {
		return nil, err
	}
	var out voice.KVList
	err = json.Unmarshal(text, &out) // checks depth, keys, lengths and kinds
	return out, err
}

func (l kvPairs) object() (map[string]any, error) {
	out := make(map[string]any, len(l))
	for _, p := range l {
		value := p.Value
		switch v := value.(type) {
		case string:
			if p.Type == "int" {
				return nil, fmt.Errorf("%.64q is of type int and has text", p.Key)
			}
		case kvPairs:
			inner, err := v.object()
			if err != nil {
				return nil, err
			}
			value = inner
		}
		out[p.Key] = value
	}
	return out, nil
}

// pairsOf is a list as desktops read it, in order of its keys.
func pairsOf(l voice.KVList) kvPairs {
	out := make(kvPairs, 0, len(l))
	for _, key := range l.Keys() {
		switch v := l[key].(type) {
		case string:
			out = append(out, kvPair{key, "str", v})
		case int64, int, float64:
			out = append(out, kvPair{key, "int", v})
		default:
			out = append(out, kvPair{key, "kvlist", pairsOf(l.List(key))})
		}
	}
	return out
}
