package obs

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// hidden is what is seen of a secret.
const hidden = "(secret)"

// Secret is text that must not be seen: a password, a key, a data source name with a password in it. However it is
// printed, logged or marshalled it shows as "(secret)", or as nothing when it is empty; only [Secret.Reveal] tells.
type Secret string

// Reveal returns the text itself, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// String hides the text from %v and %s.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format hides the text from every verb of package fmt, also %q, %x and %#v.
func (s Secret) Format(f fmt.State, _ rune) {
	// A formatter cannot report a failed write; fmt itself ignores it as well.
	_, _ = io.WriteString(f, s.String())
}

// LogValue hides the text from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON hides the text from JSON.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// MarshalText hides the text from YAML and from anything else that writes text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalJSON takes the text from a JSON string.
func (s *Secret) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, (*string)(s)) }

// UnmarshalText takes the text as it is.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = Secret(b)
	return nil
}
