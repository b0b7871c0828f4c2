package voice

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// MaxDialPattern is the longest text of a pattern, in bytes.
const MaxDialPattern = 128

// dialSymbols are what a dialled number consists of; the place of a symbol is its bit in a set.
const dialSymbols = "0123456789*#+"

// Sets of symbols.
const (
	setX dialSet = 1<<10 - 1          // 0-9
	setN         = setX &^ (1<<2 - 1) // 2-9
	setZ         = setX &^ 1          // 1-9
)

type dialSet uint16

// tail is what may follow the last set of a pattern.
type tail uint8

// The tails, the most specific first.
const (
	tailNone tail = iota
	tailSome      // '.': one symbol or more
	tailAny       // '!': any number of symbols
)

// DialPattern matches dialled numbers. The zero value matches the empty number only.
type DialPattern struct {
	text string
	sets []dialSet
	tail tail
}

// ParseDialPattern reads a pattern: digits, * # and + stand for themselves, X for 0-9, N for 2-9, Z for 1-9, [13-5] for
// one of a set, '.' at the end for one symbol or more, '!' at the end for any number of them. Letters may be small.
func ParseDialPattern(text string) (DialPattern, error) {
	p := DialPattern{text: text}
	if text == "" {
		return DialPattern{}, errors.New("is empty; want digits, * # +, X N Z, sets such as [1-4], and maybe '.' or '!' at the end")
	}
	if len(text) > MaxDialPattern {
		return DialPattern{}, fmt.Errorf("has %d bytes; want at most %d", len(text), MaxDialPattern)
	}
	for rest := text; rest != ""; {
		if p.tail != tailNone {
			return DialPattern{}, fmt.Errorf("%q has something after '.' or '!', which match all that follows", text)
		}
		c := rest[0]
		rest = rest[1:]
		set := dialSet(0)
		switch c {
		case '.':
			p.tail = tailSome
			continue
		case '!':
			p.tail = tailAny
			continue
		case 'X', 'x':
			set = setX
		case 'N', 'n':
			set = setN
		case 'Z', 'z':
			set = setZ
		case '[':
			inner, after, closed := strings.Cut(rest, "]")
			if !closed {
				return DialPattern{}, fmt.Errorf("%q has a set without ']'", text)
			}
			var err error
			if set, err = parseDialSet(inner); err != nil {
				return DialPattern{}, err
			}
			rest = after
		default:
			if set = symbolSet(c); set == 0 {
				return DialPattern{}, fmt.Errorf("%q has %q; want digits, * # +, X N Z, sets such as [1-4], and maybe '.' or '!' at the end", text, c)
			}
		}
		p.sets = append(p.sets, set)
	}
	return p, nil
}

// symbolSet is the set of one symbol, 0 when c is none.
func symbolSet(c byte) dialSet {
	switch {
	case c >= '0' && c <= '9':
		return 1 << (c - '0')
	case c == '*':
		return 1 << 10
	case c == '#':
		return 1 << 11
	case c == '+':
		return 1 << 12
	}
	return 0
}

// parseDialSet reads what stands between brackets: symbols, and spans of digits.
func parseDialSet(text string) (dialSet, error) {
	set := dialSet(0)
	for i := 0; i < len(text); i++ {
		first := symbolSet(text[i])
		if first == 0 {
			return 0, fmt.Errorf("the set [%s] has %q; want digits, spans such as 2-5, * # +", text, text[i])
		}
		if i+1 >= len(text) || text[i+1] != '-' {
			set |= first
			continue
		}
		if i+2 >= len(text) || first&setX == 0 || symbolSet(text[i+2])&setX == 0 || text[i+2] < text[i] {
			return 0, fmt.Errorf("the set [%s] has a span that is not one of rising digits, such as 2-5", text)
		}
		for c := text[i]; c <= text[i+2]; c++ {
			set |= symbolSet(c)
		}
		i += 2
	}
	if set == 0 {
		return 0, errors.New("the set [] is empty")
	}
	return set, nil
}

// String is the pattern as it was written.
func (p DialPattern) String() string { return p.text }

// Len is the length of the shortest number that matches.
func (p DialPattern) Len() int {
	if p.tail == tailSome {
		return len(p.sets) + 1
	}
	return len(p.sets)
}

// Match tells whether number is one that the pattern means. A number with anything but digits, * # and + is not.
func (p DialPattern) Match(number string) bool {
	if len(number) < p.Len() || p.tail == tailNone && len(number) > len(p.sets) {
		return false
	}
	for i, set := range p.sets {
		if symbolSet(number[i])&set == 0 {
			return false
		}
	}
	return DialSymbols(number[len(p.sets):])
}

// Literal is what every number that matches begins with: the symbols of the pattern before its first choice. Of two
// patterns that match a number, the one with the longer Literal is the more specific.
func (p DialPattern) Literal() string {
	var text []byte
	for _, set := range p.sets {
		if bits.OnesCount16(uint16(set)) > 1 {
			break
		}
		text = append(text, dialSymbols[bits.TrailingZeros16(uint16(set))])
	}
	return string(text)
}

// Compare is negative when p is more specific than q: at the first place where they differ it allows fewer symbols. The
// end of a pattern is more specific than a tail, and a symbol of any set is, too. So 911 comes before 9XX, before 9X.,
// before 9!.
func (p DialPattern) Compare(q DialPattern) int {
	for i := range max(len(p.sets), len(q.sets)) {
		if c := cmp.Compare(p.width(i), q.width(i)); c != 0 {
			return c
		}
	}
	return cmp.Compare(p.tail, q.tail)
}

// width is how many symbols place i allows; behind the last set, something wider than any set.
func (p DialPattern) width(i int) int {
	if i < len(p.sets) {
		return bits.OnesCount16(uint16(p.sets[i]))
	}
	return len(dialSymbols) + 1 + int(p.tail)
}

// Equal tells whether p and q match the same numbers.
func (p DialPattern) Equal(q DialPattern) bool {
	return p.tail == q.tail && slices.Equal(p.sets, q.sets)
}

// DialSymbols tells whether s holds nothing but digits, * # and +.
func DialSymbols(s string) bool {
	for i := range len(s) {
		if symbolSet(s[i]) == 0 {
			return false
		}
	}
	return true
}
