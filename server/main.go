// Command parley is a contact-centre voice platform in one program; see package cli for its commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"parley/server/cli"
)

func main() {
	// Everything a node writes is its owner's alone: the store holds password hashes, the log names callers.
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cli.Main(ctx, os.Args[1:], cli.Env{
		Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(), Version: cli.BuildVersion(),
	}))
}
