package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"parley/internal/contract"
	"parley/internal/voice"
	"parley/server/provision"
)

type applyCmd struct {
	File   string `short:"f" required:"" help:"Provisioning file." placeholder:"FILE"`
	DryRun bool   `help:"Change nothing, print what would change."`
	Prune  bool   `help:"Also delete what the file does not name, within the tenants and kinds it names."`
	targetFlags
}

func (c applyCmd) Run(ctx context.Context, env Env) error {
	req, err := provision.Read(c.File)
	if err != nil {
		return err
	}
	p, err := c.platform(env)
	if err != nil {
		return err
	}
	req.DryRun, req.Prune = c.DryRun, c.Prune
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	res, err := p.Apply(ctx, req)
	if err != nil {
		return readable(err)
	}
	return printChanges(env.Stdout, res)
}

// readable spreads the fields at fault over lines, each with its place in the file.
func readable(err error) error {
	var e *voice.Error
	if !errors.As(err, &e) || len(e.Fields) == 0 {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "nothing was changed: %d %s\n", len(e.Fields), plural(len(e.Fields), "problem"))
	for _, f := range e.Fields {
		fmt.Fprintf(&b, "  %s\n", f.Error())
	}
	return errors.New(strings.TrimSuffix(b.String(), "\n"))
}

// marks show an operation at the beginning of a line.
var marks = map[voice.ChangeOp]string{voice.OpCreate: "+", voice.OpUpdate: "~", voice.OpDelete: "-"}

func printChanges(w io.Writer, res contract.ConfigApplyResponse) error {
	counts := map[voice.ChangeOp]int{}
	for _, c := range res.Changes {
		counts[c.Op]++
		if err := printf(w, "%s %s/%s/%s\n", marks[c.Op], c.Tenant, c.Kind, c.Key); err != nil {
			return err
		}
		for _, d := range c.Diff {
			if err := printf(w, "    %s\n", diffLine(d)); err != nil {
				return err
			}
		}
	}
	tense := ""
	if res.DryRun {
		tense = "would be "
	}
	return printf(w, "%s%d created, %d updated, %d deleted; %d unchanged\n", tense,
		counts[voice.OpCreate], counts[voice.OpUpdate], counts[voice.OpDelete], res.Unchanged)
}

// diffLine shows one field; long values (scripts) are cut.
func diffLine(d contract.FieldDiff) string {
	switch {
	case d.Before == "":
		return d.Field + ": " + cut(d.After)
	case d.After == "":
		return d.Field + ": " + cut(d.Before) + " (removed)"
	default:
		return d.Field + ": " + cut(d.Before) + " -> " + cut(d.After)
	}
}

func cut(s string) string {
	const longest = 80
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return s
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

type exportCmd struct {
	Tenant  string `help:"Only this tenant." placeholder:"NAME"`
	Secrets bool   `help:"With the hashes of passwords, so that an apply elsewhere keeps the passwords."`
	targetFlags
}

func (c exportCmd) Run(ctx context.Context, env Env) error {
	p, err := c.platform(env)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	res, err := p.Export(ctx, contract.ConfigExportRequest{Tenant: c.Tenant, Secrets: c.Secrets})
	if err != nil {
		return readable(err)
	}
	return printf(env.Stdout, "%s", res.YAML)
}

type checkCmd struct{ nodeFlags }

func (c checkCmd) Run(env Env) error {
	cfg, warnings, err := c.load(env)
	for _, w := range warnings {
		if err := printf(env.Stderr, "warning: %s\n", w); err != nil {
			return err
		}
	}
	if err != nil {
		return printProblems(env.Stderr, err)
	}
	from := "the defaults"
	if c.Config != "" {
		from = c.Config
	}
	return printf(env.Stdout, "%s: valid; node %s runs %s with data directory %s\n", from, cfg.Node.ID, strings.Join(cfg.Node.Running(), ", "), cfg.Node.DataDir)
}

// printProblems prints one problem a line and returns errReported.
func printProblems(w io.Writer, err error) error {
	if err := printf(w, "parley: %s\n", strings.ReplaceAll(err.Error(), "\n", "\nparley: ")); err != nil {
		return err
	}
	return errReported
}
