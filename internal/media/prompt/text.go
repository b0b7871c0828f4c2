package prompt

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"parley/internal/voice"
)

// Music is the text of an entry that is not spoken.
const Music = "(music)"

// Line is an entry of a list of texts.
type Line struct{ Name, Text string }

// ParseList reads lines "name = text"; empty ones and those that begin with # say nothing.
func ParseList(list string) ([]Line, error) {
	var out []Line
	var errs []error
	seen := map[string]int{}
	for i, s := range strings.Split(list, "\n") {
		s = strings.TrimSpace(s)
		if s == "" || s[0] == '#' {
			continue
		}
		name, text, ok := strings.Cut(s, " = ")
		line := Line{strings.TrimSpace(name), strings.TrimSpace(text)}
		switch {
		case !ok || line.Text == "":
			errs = append(errs, fmt.Errorf("line %d: want \"name = text\"", i+1))
		case !validName(line.Name):
			errs = append(errs, fmt.Errorf("line %d: %q is no name for a prompt", i+1, line.Name))
		case seen[line.Name] > 0:
			errs = append(errs, fmt.Errorf("line %d: %s is in line %d already", i+1, line.Name, seen[line.Name]))
		}
		seen[line.Name] = i + 1
		out = append(out, line)
	}
	return out, errors.Join(errs...)
}

// Text finds the prompts that say a text, the longest that fit, so that "For an agent, press 1" is a choice and a key.
// There is no synthesizer in the program: all words must be those of built-in prompts, but for case, punctuation and
// the way numbers are written. The error tells which are not.
func (l *Library) Text(text string) ([]string, error) {
	words := strings.Fields(simplified(text))
	if len(words) == 0 || len(words) > maxWords {
		return nil, fmt.Errorf("a text of %d words, want 1 to %d: %w", len(words), maxWords, voice.ErrInvalid)
	}
	var names []string
	for len(words) > 0 {
		n := min(len(words), l.longest)
		for n > 0 && l.said[strings.Join(words[:n], " ")] == "" {
			n--
		}
		if n == 0 {
			return nil, fmt.Errorf("no prompt says %q: %w; record one and play it by its name", strings.Join(words[:min(len(words), 8)], " "), voice.ErrNotFound)
		}
		names = append(names, l.said[strings.Join(words[:n], " ")])
		words = words[n:]
	}
	return names, nil
}

const maxWords = 500

// simplified is what two texts that sound alike have in common.
func simplified(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\''
	})
	for i, w := range words {
		if n, err := strconv.Atoi(w); err == nil && n >= 0 && n <= 9 {
			words[i] = units[n]
		}
	}
	return strings.Join(words, " ")
}

var units = [...]string{"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
