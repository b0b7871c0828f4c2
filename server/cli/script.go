package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"parley/internal/scxml/chart"
	"parley/services/orchestration/script"
)

// scriptCmd is the commands for who writes routing scripts; docs/scxml.md is the guide.
type scriptCmd struct {
	Check    scriptCheckCmd    `cmd:"" help:"Say what is wrong with scripts, and run the tests beside them (NAME.test.yaml)."`
	Run      scriptRunCmd      `cmd:"" help:"Play a script in virtual time and print what it does."`
	Draw     scriptDrawCmd     `cmd:"" help:"Draw the state chart of a script as SVG."`
	Publish  scriptPublishCmd  `cmd:"" help:"Check a script and make it the one that new calls get."`
	Versions scriptVersionsCmd `cmd:"" help:"List the versions of a script, or print the text of one (NAME@VERSION)."`
	Rollback scriptRollbackCmd `cmd:"" help:"Publish an older version of a script again."`
}

// maxScript bounds what is read of a script.
const maxScript = 4 << 20

// readScript reads a script and gives the loader of what it refers to, which are files of its folder.
func readScript(file string) ([]byte, func(base, src string) ([]byte, error), error) {
	src, err := readFile(file)
	if err != nil {
		return nil, nil, err
	}
	return src, script.FileLoader(os.DirFS(filepath.Dir(file))), nil
}

func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxScript+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if len(text) > maxScript {
		return nil, fmt.Errorf("%s has more than %d bytes", file, maxScript)
	}
	return text, nil
}

type scriptCheckCmd struct {
	Files  []string `arg:"" help:"Scripts." name:"file"`
	Strict bool     `help:"Fail for warnings too."`
	JSON   bool     `name:"json" help:"Print JSON."`
}

// checked is what a check of one script came to.
type checked struct {
	*script.Report
	Tests []script.Outcome `json:"tests"`
}

func (c *checked) failed() (tests int) {
	for _, o := range c.Tests {
		if len(o.Problems) > 0 {
			tests++
		}
	}
	return tests
}

func (c scriptCheckCmd) Run(env Env) error {
	bad := false
	var all []*checked
	for _, file := range c.Files {
		one, err := checkScript(file)
		if err != nil {
			return err
		}
		all = append(all, one)
		bad = bad || one.Errors() > 0 || one.failed() > 0 || c.Strict && len(one.Problems) > 0
		if c.JSON {
			continue
		}
		if err := one.print(env.Stdout); err != nil {
			return err
		}
	}
	if c.JSON {
		if err := printJSON(env.Stdout, all); err != nil {
			return err
		}
	}
	if bad {
		return errReported
	}
	return nil
}

// checkScript checks a script and runs the tests beside it, if it can be run.
func checkScript(file string) (*checked, error) {
	src, load, err := readScript(file)
	if err != nil {
		return nil, err
	}
	one := &checked{Report: script.Check(file, src, load), Tests: []script.Outcome{}}
	if one.Program() == nil {
		return one, nil
	}
	tests, err := readFile(script.TestsOf(file))
	if errors.Is(err, os.ErrNotExist) {
		return one, nil
	}
	if err != nil {
		return nil, err
	}
	outcomes, problems := script.RunTests(file, src, script.TestsOf(file), tests, load)
	one.Problems = append(one.Problems, problems...)
	one.Tests = append(one.Tests, outcomes...)
	return one, nil
}

func (c *checked) print(w io.Writer) error {
	for _, p := range c.Problems {
		if err := printf(w, "%s\n", p); err != nil {
			return err
		}
	}
	for _, o := range c.Tests {
		for _, p := range o.Problems {
			if err := printf(w, "%s\n", p); err != nil {
				return err
			}
		}
	}
	errs := c.Errors()
	line := fmt.Sprintf("%s: %d %s, %d %s, %d %s", c.File, c.States, plural(c.States, "state"), errs, plural(errs, "error"),
		len(c.Problems)-errs, plural(len(c.Problems)-errs, "warning"))
	if n := len(c.Tests); n > 0 {
		line += fmt.Sprintf("; %d of %d tests passed", n-c.failed(), n)
	}
	return printf(w, "%s\n", line)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

type scriptRunCmd struct {
	File   string `arg:"" help:"Script."`
	Events string `help:"YAML or JSON file with the caller, answers and events (docs/scxml.md); without it a caller is patient, presses nothing, and nobody is free." placeholder:"FILE"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (c scriptRunCmd) Run(env Env) error {
	src, load, err := readScript(c.File)
	if err != nil {
		return err
	}
	var sc script.Scenario
	if c.Events != "" {
		text, err := readFile(c.Events)
		if err != nil {
			return err
		}
		read, err := script.ReadScenario(c.Events, text)
		if err != nil {
			return err
		}
		sc = *read
	}
	r, err := script.Run(c.File, src, sc, load)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(env.Stdout, r)
	} else {
		err = r.Print(env.Stdout)
	}
	if err == nil && r.Error != "" {
		return fmt.Errorf("the session was stopped: %s", r.Error)
	}
	return err
}

type scriptDrawCmd struct {
	File string `arg:"" help:"Script."`
}

func (c scriptDrawCmd) Run(env Env) error {
	src, load, err := readScript(c.File)
	if err != nil {
		return err
	}
	r := script.Check(c.File, src, load)
	if r.Program() == nil {
		for _, p := range r.Problems {
			if err := printf(env.Stderr, "%s\n", p); err != nil {
				return err
			}
		}
		return errReported
	}
	svg, err := chart.Draw(r.Program(), chart.Options{Style: true})
	if err != nil {
		return err
	}
	return printf(env.Stdout, "%s\n", svg)
}
