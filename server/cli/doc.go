// Package cli is the command line `parley`: what each command takes, does and prints.
//
// [Main] reads arguments and returns an exit status: 0 for success, 1 for a failure with one message on standard
// error, 2 for a command line that cannot be understood. `serve`, the command when none is given, runs a node; the
// others ask a running one, over its control socket or, with --url, over REST.
//
// It holds no state: main gives it the streams and the environment.
package cli
