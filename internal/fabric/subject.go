package fabric

import "strings"

// Names of the streams.
const (
	StreamCalls        = "CALLS"
	StreamAgents       = "AGENTS"
	StreamDevices      = "DEVICES"
	StreamInteractions = "INTERACTIONS"
	StreamWork         = "WORK"
	StreamConfig       = "CONFIG"
	StreamVoicemail    = "VOICEMAIL"
	StreamQuality      = "QUALITY"
	StreamCDR          = "CDR"
)

// Subject wildcards, for filters only.
const (
	Any  = "*" // one token
	Rest = ">" // one or more tokens, at the end
)

// maxSubject bounds a subject or key, in bytes after escaping. The server's control line is 4,096 bytes and holds
// a reply subject and numbers beside it.
const maxSubject = 1024

// Subject joins a literal first token and outside tokens into a subject; each token after the first is escaped,
// so Any and Rest among them lose their meaning: see Filter.
func Subject(first string, tokens ...string) string {
	return join(first, tokens, false)
}

// Filter is Subject for filters: tokens equal to Any or Rest stay wildcards. Use it only with tokens of the
// program itself; a token from outside that happens to be "*" would match everything.
func Filter(first string, tokens ...string) string {
	return join(first, tokens, true)
}

func join(first string, tokens []string, wild bool) string {
	n := len(first)
	for _, t := range tokens {
		n += 1 + len(t)
	}
	b := make([]byte, 0, n+8)
	b = append(b, first...)
	for i, t := range tokens {
		if i > 0 || first != "" {
			b = append(b, '.')
		}
		if wild && (t == Any || t == Rest) {
			b = append(b, t...)
			continue
		}
		b = appendToken(b, t)
	}
	return string(b)
}

const hexDigits = "0123456789ABCDEF"

// plain tells the bytes that a token keeps: those the NATS tools accept in a key, without '=' and '.'.
func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '/'
}

// Token escapes one token so that '*', '>', '.', blanks and control bytes can never widen a subject or a key.
// It is injective; Untoken is its inverse. The empty string has an escape of its own.
//
// Letters, digits, '-', '_' and '/' stay; every other byte becomes "=XX" in upper-case hex; "" becomes "=".
func Token(s string) string {
	if s == "" {
		return "="
	}
	for i := 0; i < len(s); i++ {
		if !plain(s[i]) {
			return string(appendToken(make([]byte, 0, len(s)+8), s))
		}
	}
	return s
}

func appendToken(b []byte, s string) []byte {
	if s == "" {
		return append(b, '=')
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '=', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}

// Untoken undoes Token. ok is false when s is not something Token returns.
func Untoken(s string) (plainText string, ok bool) {
	if s == "=" {
		return "", true
	}
	if s == "" {
		return "", false
	}
	if strings.IndexByte(s, '=') < 0 {
		for i := 0; i < len(s); i++ {
			if !plain(s[i]) {
				return "", false
			}
		}
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '=' {
			if !plain(c) {
				return "", false
			}
			b = append(b, c)
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		c := byte(hi<<4 | lo)
		if plain(c) {
			return "", false // Token would have kept it
		}
		b = append(b, c)
		i += 2
	}
	return string(b), true
}

// Key joins outside tokens into a key; each is escaped.
func Key(tokens ...string) string {
	if len(tokens) == 1 {
		return Token(tokens[0])
	}
	return join("", tokens, false)
}

// SplitKey undoes Key. A token that Key did not make is returned as it is.
func SplitKey(key string) []string {
	if key == "" {
		return nil
	}
	return untokens(key)
}

// untokens splits at dots and unescapes what is escaped.
func untokens(s string) []string {
	parts := strings.Split(s, ".")
	for i, p := range parts {
		if t, ok := Untoken(p); ok {
			parts[i] = t
		}
	}
	return parts
}
