package peer

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a running program whose output a test can wait for.
type Process struct {
	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended and its output is read
	in   io.WriteCloser

	mu      sync.Mutex // guards what follows
	lines   []string
	skipped int           // lines that no longer count
	more    chan struct{} // closed and renewed with each line
	err     error         // how it ended; valid once done is closed
}

// Start runs a program and ends it with the test. env entries are added to the test's own environment.
func Start(t testing.TB, dir string, env []string, name string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, cmd: exec.Command(name, args...), done: make(chan struct{}), more: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = dir, append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that Kill finds what it started in its turn
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	p.in = in
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v (the test command installs it)", name, err)
	}
	w.Close()
	go p.read(r)
	t.Cleanup(p.Stop)
	return p
}

func (p *Process) read(r *os.File) {
	defer close(p.done)
	defer r.Close()
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, s.Text())
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
	err := p.cmd.Wait()
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
}

// Type writes a line to the program's standard input.
func (p *Process) Type(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Errorf("%s: %v", p.cmd.Path, err)
	}
}

// Skip leaves aside what was printed so far: only later lines count for Await and Saw.
func (p *Process) Skip() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.skipped = len(p.lines)
}

// Await returns the submatches of the first output line that matches, or fails the test with all output.
func (p *Process) Await(pattern string, within time.Duration) []string {
	p.t.Helper()
	m, why := p.Saw(pattern, within)
	if m == nil {
		p.t.Fatalf("%s %s before printing %q:\n%s", p.cmd.Path, why, pattern, p.Output())
	}
	return m
}

// Saw is Await without the failure: nil when the line did not come, and why it did not.
func (p *Process) Saw(pattern string, within time.Duration) (match []string, why string) {
	re, timeout, ended := regexp.MustCompile(pattern), time.After(within), false
	p.mu.Lock()
	seen := p.skipped
	p.mu.Unlock()
	for {
		p.mu.Lock()
		fresh, more := p.lines[seen:], p.more
		seen = len(p.lines)
		p.mu.Unlock()
		for _, l := range fresh {
			if m := re.FindStringSubmatch(l); m != nil {
				return m, ""
			}
		}
		if ended {
			return nil, "ended"
		}
		select {
		case <-more:
		case <-p.done:
			ended = true // one more look at the last lines
		case <-timeout:
			return nil, "was silent for " + within.String()
		}
	}
}

// Output is everything printed so far.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// Wait waits for the program to end by itself and returns its exit status.
func (p *Process) Wait(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(within):
		p.t.Fatalf("%s still runs after %v:\n%s", p.cmd.Path, within, p.Output())
	}
	return p.cmd.ProcessState.ExitCode()
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the program as a crash would, with all that it started: some, like Kamailio, are many processes, of which those
// left behind would keep the output open for ever.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // an error says that nobody is left
	<-p.done
}

// Terminate asks the program to stop, as an operator does, and does not wait.
func (p *Process) Terminate() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }

// Stop asks the program to end, and makes it after ten seconds.
func (p *Process) Stop() {
	p.Terminate()
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.Kill()
	}
}
