package cli

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// Version is what was built.
type Version struct {
	Module   string // the module's version, "(devel)" when built from a working copy
	Revision string // of the working copy; "" if unknown
	Modified bool   // the working copy had changes
	Time     string // of the revision, RFC 3339
	Go       string
	Platform string // operating system and architecture
}

// BuildVersion reads the version the linker put into the program.
func BuildVersion() Version {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Version{Module: "unknown"}
	}
	v := Version{Module: info.Main.Version, Go: info.GoVersion}
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	v.Revision, v.Time, v.Modified = set["vcs.revision"], set["vcs.time"], set["vcs.modified"] == "true"
	v.Platform = set["GOOS"] + "/" + set["GOARCH"]
	if v.Module == "" {
		v.Module = "(devel)"
	}
	return v
}

// Short is the version alone, for logs, metrics and the OpenAPI documents.
func (v Version) Short() string {
	if v.Module != "(devel)" {
		return v.Module
	}
	if v.Revision == "" {
		return "devel"
	}
	short := "devel-" + v.Revision[:min(12, len(v.Revision))]
	if v.Modified {
		short += "+changes"
	}
	return short
}

// String is a line for people.
func (v Version) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "parley %s", v.Short())
	if v.Time != "" {
		fmt.Fprintf(&b, " of %s", v.Time)
	}
	fmt.Fprintf(&b, " (%s, %s)", v.Go, v.Platform)
	return b.String()
}
