package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/server/control"
)

// scriptFlags say whose script it is.
type scriptFlags struct {
	Tenant string `help:"Tenant that the script belongs to." placeholder:"NAME" required:""`
	targetFlags
}

// ask puts a request about a script to the platform.
func (f scriptFlags) ask(ctx context.Context, env Env, req control.ScriptRequest) (control.ScriptAnswer, error) {
	req.Tenant = f.Tenant
	p, err := f.platform(env)
	if err != nil {
		return control.ScriptAnswer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	a, err := p.Script(ctx, req)
	if err != nil {
		err = readable(err)
	}
	return a, err
}

type scriptPublishCmd struct {
	File    string `arg:"" help:"Script."`
	Name    string `help:"Name of the script; without it that of the file." placeholder:"NAME"`
	Comment string `help:"What is new, for the list of versions." placeholder:"TEXT"`
	Force   bool   `help:"Publish in spite of errors and failing tests."`
	scriptFlags
}

func (c scriptPublishCmd) Run(ctx context.Context, env Env) error {
	one, err := checkScript(c.File)
	if err != nil {
		return err
	}
	if err := one.print(env.Stdout); err != nil {
		return err
	}
	if (one.Errors() > 0 || one.failed() > 0) && !c.Force {
		return fmt.Errorf("%s is not published: see above, or use --force", c.File)
	}
	src, err := readFile(c.File)
	if err != nil {
		return err
	}
	name := c.Name
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(c.File), filepath.Ext(c.File))
	}
	a, err := c.ask(ctx, env, control.ScriptRequest{Op: control.ScriptPublish, ScriptRef: contract.ScriptRef{Name: name}, SCXML: string(src), Comment: c.Comment})
	if err != nil {
		return err
	}
	return published(env, a)
}

// published says which version is the published one now.
func published(env Env, a control.ScriptAnswer) error {
	for _, v := range a.Versions {
		return printf(env.Stdout, "published: %s\n", contract.ScriptRef{Name: v.Name, Version: v.Version})
	}
	return nil
}

type scriptVersionsCmd struct {
	Script string `arg:"" help:"Name of the script, or NAME@VERSION for the text of that version."`
	scriptFlags
}

func (c scriptVersionsCmd) Run(ctx context.Context, env Env) error {
	ref, err := contract.ParseScriptRef(c.Script)
	if err != nil {
		return err
	}
	op := control.ScriptVersions
	if ref.Version > 0 {
		op = control.ScriptText
	}
	a, err := c.ask(ctx, env, control.ScriptRequest{Op: op, ScriptRef: ref})
	if err != nil {
		return err
	}
	for _, v := range a.Versions {
		if op == control.ScriptText {
			return printf(env.Stdout, "%s", v.SCXML)
		}
		mark := " "
		if v.Current {
			mark = "*"
		}
		line := fmt.Sprintf("%s %4d  %s  %-12s %.8s  %s", mark, v.Version, v.Time.Local().Format(time.DateTime), v.User, v.Digest, v.Comment)
		if err := printf(env.Stdout, "%s\n", strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

type scriptRollbackCmd struct {
	Script  string `arg:"" help:"Name of the script; NAME@VERSION names the version to go back to, else it is the text before the present one."`
	Comment string `help:"Why, for the list of versions." placeholder:"TEXT"`
	scriptFlags
}

func (c scriptRollbackCmd) Run(ctx context.Context, env Env) error {
	ref, err := contract.ParseScriptRef(c.Script)
	if err != nil {
		return err
	}
	a, err := c.ask(ctx, env, control.ScriptRequest{Op: control.ScriptRollback, ScriptRef: ref, Comment: c.Comment})
	if err != nil {
		return err
	}
	return published(env, a)
}
