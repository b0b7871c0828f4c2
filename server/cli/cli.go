package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
)

// Env is what a command uses of the process.
type Env struct {
	Stdout, Stderr io.Writer
	Environ        []string // NAME=value
	Version        Version
}

// commands is the command line, as kong reads it.
type commands struct {
	Serve   serveCmd   `cmd:"" default:"withargs" help:"Run a node (the default)."`
	Apply   applyCmd   `cmd:"" help:"Make the configuration what a file says; prints what changed."`
	Export  exportCmd  `cmd:"" help:"Print the configuration in the form apply takes."`
	Check   checkCmd   `cmd:"" help:"Validate a configuration file and say what is wrong, and where."`
	Status  statusCmd  `cmd:"" help:"Show services, health, addresses and registrations of the running nodes."`
	Token   tokenCmd   `cmd:"" help:"Make an API token for a person."`
	Dial    dialCmd    `cmd:"" help:"Explain, step by step, where a call to a number would go; no call is made."`
	Script  scriptCmd  `cmd:"" help:"Check, play, draw and publish routing scripts."`
	Treat   treatCmd   `cmd:"" help:"Say what a caller who waits at a route point shall hear."`
	Request requestCmd `cmd:"" help:"Make a T-Library request, such as MakeCall ThisDN=1001 OtherDN=1002."`
	Route   routeCmd   `cmd:"" help:"Send a call that waits at a route point to a number."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// errReported stands for a failure whose message has been printed.
var errReported = errors.New("reported")

// Main runs one command and returns the exit status. The command ends early when ctx ends.
func Main(ctx context.Context, args []string, env Env) int {
	var c commands
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("parley"),
		kong.Description("A contact-centre voice platform. Run `parley serve` and open the address it prints."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(env.Stdout, env.Stderr),
		kong.Exit(func(code int) { exit = code }), // of --help; the parser goes on and finds no command, see below
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(env),
	)
	if err != nil {
		fmt.Fprintln(env.Stderr, "parley:", err)
		return exitFailure
	}
	run, err := parser.Parse(args)
	if exit >= 0 {
		return exit
	}
	if err != nil {
		fmt.Fprintf(env.Stderr, "parley: %v; see `parley --help`\n", err)
		return exitUsage
	}
	switch err := run.Run(); {
	case err == nil:
		return exitOK
	case errors.Is(err, errReported):
		return exitFailure
	default:
		fmt.Fprintf(env.Stderr, "parley: %v\n", err)
		return exitFailure
	}
}

// printf is fmt.Fprintf for commands, which return its error: a full disk or a closed pipe behind standard output is a
// failure like any other.
func printf(w io.Writer, format string, args ...any) error {
	_, err := fmt.Fprintf(w, format, args...)
	return err
}
