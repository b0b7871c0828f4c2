// Command testsum reads the output of `go test -json` and shows what a person wants of it: the packages as they
// finish, the whole output of what failed, and as its last line "N passed, N failed, N skipped".
//
// A test counts with each of its subtests. It exits 1 when anything failed, did not build, or was skipped: a skipped
// test looks like a passed one and proves nothing.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

func main() { os.Exit(run(os.Stdin, os.Stdout)) }

// event is a line of `go test -json` (see `go doc test2json`), or of `go build -json`, which shares the stream.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build events
	Test       string
	Elapsed    float64 // seconds
	Output     string
}

// summary is what has been seen so far.
type summary struct {
	out             io.Writer
	output          map[string][]string // test or package -> its lines, kept until it is known to have passed
	passed          int
	failed, skipped []string
}

func run(in io.Reader, out io.Writer) int {
	s := &summary{out: out, output: map[string][]string{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if strings.TrimSpace(line) != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil && e.Action != "" {
				s.take(e)
			} else {
				fmt.Fprint(out, line) // a message of the go command itself
			}
		}
		if err != nil {
			break
		}
	}
	return s.end()
}

func (s *summary) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "output":
		s.output[key] = append(s.output[key], e.Output)
	case "pass":
		if e.Test != "" {
			s.passed++
		} else {
			fmt.Fprintf(s.out, "ok    %-45s %6.1f s\n", e.Package, e.Elapsed)
		}
		delete(s.output, key)
	case "skip":
		if e.Test != "" { // a package is "skipped" when it has no tests
			s.skipped = append(s.skipped, key)
			s.show(key)
		}
		delete(s.output, key)
	case "fail":
		if e.Test == "" {
			fmt.Fprintf(s.out, "FAIL  %-45s %6.1f s\n", e.Package, e.Elapsed)
			if s.failsIn(e.Package) > 0 {
				delete(s.output, key) // its tests have told why
				break
			}
		}
		s.failed = append(s.failed, key)
		s.show(key)
		delete(s.output, key)
	}
}

// failsIn counts the failed tests of a package.
func (s *summary) failsIn(pkg string) (n int) {
	for _, f := range s.failed {
		if strings.HasPrefix(f, pkg+" ") {
			n++
		}
	}
	return n
}

func (s *summary) show(key string) {
	fmt.Fprintf(s.out, "----- %s\n%s", strings.TrimSpace(key), strings.Join(s.output[key], ""))
}

// end prints the lists and the counts, and returns the exit status.
func (s *summary) end() int {
	sort.Strings(s.failed)
	sort.Strings(s.skipped)
	for _, f := range s.failed {
		fmt.Fprintf(s.out, "failed:  %s\n", strings.TrimSpace(f))
	}
	for _, f := range s.skipped {
		fmt.Fprintf(s.out, "skipped: %s (a test that cannot run must fail and say what it needs)\n", f)
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", s.passed, len(s.failed), len(s.skipped))
	if s.passed == 0 || len(s.failed) > 0 || len(s.skipped) > 0 {
		return 1
	}
	return 0
}
