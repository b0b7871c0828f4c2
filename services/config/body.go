package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"unicode/utf8"

	"parley/internal/contract"
	"parley/internal/voice"
)

// decodeBody reads a body from a request, strictly: a misspelt field must not pass for one that was left out.
func decodeBody(k *kind, raw json.RawMessage) (any, error) {
	body := k.empty()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(body); err != nil {
		return nil, voice.Invalid(jsonProblem(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, voice.Invalid(voice.FieldError{Field: "body", Reason: "holds more than one JSON value"})
	}
	if emptyPassword(raw) {
		return nil, voice.Invalid(voice.FieldError{Field: "password", Reason: "must not be empty; leave it out to keep the one there is"})
	}
	return body, nil
}

func jsonProblem(err error) voice.FieldError {
	at := voice.FieldError{Field: "body", Reason: "is not valid JSON for this kind"}
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrongType):
		if wrongType.Field != "" {
			at.Field = wrongType.Field
		}
		at.Reason = fmt.Sprintf("is a JSON %s; want %s", wrongType.Value, wanted(wrongType.Type))
	case errors.As(err, &syntax):
		at.Reason = fmt.Sprintf("is not valid JSON at byte %d", syntax.Offset)
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		at.Field = strings.Trim(strings.TrimPrefix(err.Error(), "json: unknown field "), `"`)
		at.Reason = "is not a field of this kind"
	}
	return at
}

// emptyPassword tells whether raw says "password": "".
func emptyPassword(raw json.RawMessage) bool {
	var p struct {
		Password *string `json:"password"`
	}
	return json.Unmarshal(raw, &p) == nil && p.Password != nil && *p.Password == ""
}

// stored reads a body back from the store.
func stored(k *kind, r voice.Resource) (any, error) {
	body := k.empty()
	if err := json.Unmarshal(r.Body, body); err != nil {
		return nil, fmt.Errorf("%s %q of tenant %q in the store: %w", r.Kind, r.Key, r.Tenant, err)
	}
	return body, nil
}

// encode is the stored form of a body; equal bodies have equal forms.
func encode(body any) (json.RawMessage, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", body, err)
	}
	return raw, nil
}

// secretOf returns what of a body must not be seen, "" when it has nothing of the kind.
func secretOf(body any) string {
	switch b := body.(type) {
	case *voice.DN:
		if b.Auth != nil {
			return b.Auth.MD5 + b.Auth.SHA256
		}
	case *voice.Person:
		return b.PasswordHash
	}
	return ""
}

// redacted returns body without its secrets.
func redacted(body any) any {
	switch b := body.(type) {
	case *voice.DN:
		c := *b
		c.Auth, c.Password = nil, ""
		if trunkPassword(b) != "" {
			setTrunkPassword(&c, "")
		}
		return &c
	case *voice.Person:
		c := *b
		c.PasswordHash, c.Password = "", ""
		return &c
	}
	return body
}

// What stands for a password where one may be seen to be there.
const (
	passwordSet     = "(set)"
	passwordChanged = "(changed)"
)

// shown returns body for the history: without secrets, with a word about the password where the kind has one, and with another
// about the one that a trunk shows to its carrier.
func shown(body any, word, trunkWord string) (json.RawMessage, error) {
	if body == nil {
		return nil, nil
	}
	seen := redacted(body)
	if d, ok := body.(*voice.DN); ok && trunkPassword(d) != "" {
		setTrunkPassword(seen.(*voice.DN), trunkWord)
	}
	if secretOf(body) != "" {
		switch b := seen.(type) {
		case *voice.DN:
			b.Password = word
		case *voice.Person:
			b.Password = word
		}
	}
	return encode(seen)
}

// history returns before and after of a change as the history keeps them.
func history(before, after any) (b, a json.RawMessage, err error) {
	word, trunkWord := passwordSet, passwordSet
	if before != nil && after != nil && secretOf(before) != secretOf(after) {
		word = passwordChanged
	}
	was, trunk := before.(*voice.DN)
	is, still := after.(*voice.DN)
	if trunk && still && trunkPassword(was) != trunkPassword(is) {
		trunkWord = passwordChanged
	}
	if b, err = shown(before, passwordSet, passwordSet); err == nil {
		a, err = shown(after, word, trunkWord)
	}
	return b, a, err
}

// withoutSecrets is a stored body as callers see it who have not asked for secrets.
func withoutSecrets(k *kind, r voice.Resource) (voice.Resource, error) {
	if k.name != voice.KindDN && k.name != voice.KindPerson {
		return r, nil
	}
	body, err := stored(k, r)
	if err == nil {
		r.Body, err = encode(redacted(body))
	}
	return r, err
}

// maxDiffValue is where a value in a diff is cut, in bytes: scripts are long.
const maxDiffValue = 256

// diff lists the fields that differ between two bodies in the form of the history.
func diff(before, after json.RawMessage) ([]contract.FieldDiff, error) {
	b, err := flatten(before)
	if err != nil {
		return nil, err
	}
	a, err := flatten(after)
	if err != nil {
		return nil, err
	}
	var out []contract.FieldDiff
	for field, is := range a {
		if was := b[field]; was != is {
			out = append(out, contract.FieldDiff{Field: field, Before: cut(was), After: cut(is)})
		}
	}
	for field, was := range b {
		if _, still := a[field]; !still {
			out = append(out, contract.FieldDiff{Field: field, Before: cut(was)})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Field < out[j].Field })
	return out, nil
}

func cut(s string) string {
	if len(s) <= maxDiffValue {
		return s
	}
	end := maxDiffValue
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d bytes)", s[:end], len(s))
}

// flatten turns a body into field paths and values: {"options":{"TServer":{"contact":"*"}}} into
// options.TServer.contact = *. A list of plain values is one value; of a list of mappings each is gone into.
func flatten(raw json.RawMessage) (map[string]string, error) {
	out := map[string]string{}
	if len(raw) == 0 {
		return out, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("compare bodies: %w", err)
	}
	flattenInto(out, "", v)
	return out, nil
}

func flattenInto(out map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if path != "" {
				name = path + "." + name
			}
			flattenInto(out, name, inner)
		}
	case []any:
		words := make([]string, 0, len(v))
		for i, item := range v {
			if _, nested := item.(map[string]any); nested {
				flattenInto(out, index(path, i), item)
				continue
			}
			words = append(words, fmt.Sprint(item))
		}
		if len(words) == len(v) {
			out[path] = strings.Join(words, ", ")
		}
	case nil:
	default:
		out[path] = fmt.Sprint(v)
	}
}
