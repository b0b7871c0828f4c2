package httpapi

import (
	"strconv"
	"strings"

	"parley/internal/voice"
)

// PageParams are the query parameters of a list; embed them in the input of an operation.
type PageParams struct {
	After string `query:"after" maxLength:"512" doc:"Resume after this key: the next of the page before"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Entries on a page"`
}

// AnyVersion is the version that matches whatever there is.
const AnyVersion int64 = -1

// ETag renders a version as an entity tag (RFC 9110 §8.8.3).
func ETag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// MatchVersion reads the version that a write expects to replace from If-Match and If-None-Match (RFC 9110 §13.1):
// the version of the tag, [AnyVersion] for "If-Match: *", 0 for "If-None-Match: *" (it must not exist yet). given is false
// when neither header is there. Weak tags and lists are refused: a write names the one version it has seen.
func MatchVersion(ifMatch, ifNoneMatch string) (version int64, given bool, err error) {
	switch {
	case ifMatch == "" && ifNoneMatch == "":
		return 0, false, nil
	case ifMatch != "" && ifNoneMatch != "":
		return 0, false, badHeader("If-None-Match", "only one of If-Match and If-None-Match may be given")
	case ifNoneMatch != "":
		if strings.TrimSpace(ifNoneMatch) != "*" {
			return 0, false, badHeader("If-None-Match", `must be "*" on a write`)
		}
		return 0, true, nil
	case strings.TrimSpace(ifMatch) == "*":
		return AnyVersion, true, nil
	}
	tag := strings.TrimSpace(ifMatch)
	inner, ok := strings.CutPrefix(tag, `"`)
	inner, ok2 := strings.CutSuffix(inner, `"`)
	v, perr := strconv.ParseInt(inner, 10, 64)
	if !ok || !ok2 || perr != nil || v < 1 {
		return 0, false, badHeader("If-Match", `must be one ETag as it was given, like "3", or *`)
	}
	return v, true, nil
}

func badHeader(name, reason string) error {
	return voice.Invalid(voice.FieldError{Field: "header." + name, Reason: reason})
}
