package passwd

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestSealedPasswords(t *testing.T) {
	s, err := NewSealer(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	const plain = "c4rrier-s3cret"
	a, b := s.Seal("demo/gw1", plain), s.Seal("demo/gw1", plain)
	if a == b || strings.Contains(a, plain) || !strings.HasPrefix(a, SealedPrefix) {
		t.Errorf("sealed as %q and %q", a, b)
	}
	if got, err := s.Open("demo/gw1", a); err != nil || got != plain {
		t.Errorf("Open = %q, %v", got, err)
	}
	other, err := NewSealer(bytes.Repeat([]byte{8}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() (string, error){
		"another number":   func() (string, error) { return s.Open("demo/gw2", a) },
		"another platform": func() (string, error) { return other.Open("demo/gw1", a) },
		"changed":          func() (string, error) { return s.Open("demo/gw1", a[:len(a)-2]+"AA") },
		"cut":              func() (string, error) { return s.Open("demo/gw1", a[:12]) },
		"plain":            func() (string, error) { return s.Open("demo/gw1", plain) },
	} {
		if got, err := open(); got != "" || !errors.Is(err, ErrSealed) {
			t.Errorf("%s: Open = %q, %v", name, got, err)
		}
	}
	if _, err := NewSealer(nil); err == nil {
		t.Error("an empty key was taken")
	}
}
