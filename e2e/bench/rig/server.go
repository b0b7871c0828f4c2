// Package rig starts servers for load runs: pinned to one core, in a process group of their own, with their CPU time
// and memory read from the kernel.
package rig

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ServerCPU and LoadCPU are the cores of the two sides.
const (
	ServerCPU = "0"
	LoadCPU   = "1"
)

// Server is a registrar under test, with its processes in a process group of their own.
type Server struct {
	Name   string
	Addr   string // host:port, SIP over UDP
	args   []string
	pinned bool
	cmd    *exec.Cmd
	out    *bytes.Buffer
}

// Launch starts args, on the server core if pinned, and waits until the port answers a REGISTER.
func Launch(ctx context.Context, pinned bool, name, addr string, args ...string) (*Server, error) {
	s := &Server{Name: name, Addr: addr, pinned: pinned, args: args, out: &bytes.Buffer{}}
	if pinned {
		s.cmd = exec.Command("taskset", append([]string{"-c", ServerCPU}, args...)...)
	} else {
		s.cmd = exec.Command(args[0], args[1:]...)
	}
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	deadline := time.Now().Add(3 * time.Minute)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		if answers(addr) {
			return s, nil
		}
		Pause(ctx, 20*time.Millisecond)
	}
	s.Stop()
	return nil, errors.Join(ctx.Err(), fmt.Errorf("%s does not answer on %s:\n%s", name, addr, s.out))
}

// answers sends one REGISTER without credentials and tells whether anything comes back.
func answers(addr string) bool {
	c, err := net.Dial("udp", addr)
	if err != nil {
		return false
	}
	defer c.Close()
	fmt.Fprintf(c, "REGISTER sip:bench.test SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKprobe%d\r\nMax-Forwards: 70\r\n"+
		"From: <sip:u000001@bench.test>;tag=p\r\nTo: <sip:u000001@bench.test>\r\nCall-ID: probe-%d\r\nCSeq: 1 REGISTER\r\n"+
		"Contact: <sip:u000001@%s>\r\nContent-Length: 0\r\n\r\n", c.LocalAddr(), time.Now().UnixNano(), time.Now().UnixNano(), c.LocalAddr())
	_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	_, err = c.Read(make([]byte, 4096))
	return err == nil
}

// Kill ends the process group at once, as a power cut would end the program.
func (s *Server) Kill() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	_ = s.cmd.Wait()
}

// Again starts a server that has ended once more, with the same arguments.
func (s *Server) Again(ctx context.Context) (*Server, error) {
	return Launch(ctx, s.pinned, s.Name, s.Addr, s.args...)
}

// Stop ends the whole process group, kindly first.
func (s *Server) Stop() {
	if s.cmd.Process == nil {
		return
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-done
	}
}

// Usage sums CPU time and resident memory over the process group.
func (s *Server) Usage() (cpu time.Duration, rssBytes int64) {
	group := strconv.Itoa(s.cmd.Process.Pid)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // gone meanwhile
		}
		// Fields after the command name, which may hold blanks: state is field 0, pgrp 2, utime 11, stime 12, rss 21.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(fields) < 22 || fields[2] != group {
			continue
		}
		user, _ := strconv.ParseInt(fields[11], 10, 64)
		system, _ := strconv.ParseInt(fields[12], 10, 64)
		pages, _ := strconv.ParseInt(fields[21], 10, 64)
		cpu += time.Duration(user+system) * (time.Second / 100) // the kernel counts in 1/100 s on every Linux port Go has
		rssBytes += pages * int64(os.Getpagesize())
	}
	return cpu, rssBytes
}

// Parley builds the platform if binary is "", gives it users accounts u000001... with the password "secret" in the
// domain bench.test, and starts it with its data under dir, on one core if pinned.
func Parley(ctx context.Context, dir, binary string, users int, pinned bool) (*Server, error) {
	if binary == "" {
		var err error
		if binary, err = Build(ctx, dir); err != nil {
			return nil, err
		}
	}
	addr, err := FreeUDP()
	if err != nil {
		return nil, err
	}
	provision := filepath.Join(dir, "provision.yaml")
	if err := writeProvision(provision, users); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "parley.yaml")
	text := fmt.Sprintf(parleyConfig, filepath.Join(dir, "data"), addr)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	serve := []string{binary, "serve", "--config", config}
	s, err := Launch(ctx, pinned, "parley", addr, append(serve, "--provision", provision)...)
	if err != nil {
		return nil, err
	}
	s.args = serve // what is provisioned stays
	return s, nil
}

// Build builds the platform into dir and returns the path of the binary.
func Build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "parley")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "parley/server")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build parley: %w\n%s", err, out)
	}
	return binary, nil
}

// parleyConfig leaves everything at its default but what two programs on one machine cannot share.
const parleyConfig = `
node: {id: bench, data_dir: %s}
sip: {listen: ["udp://%s"]}
http: {ports: {config: 0, registrar: 0, sipproxy: 0, rq: 0, tenant: 0, dialplan: 0, callstate: 0, cdr: 0, sip: 0, frontend: 0, orchestration: 0}}
web: {listen: "127.0.0.1:0"}
log: {level: warn}
`

// FreeUDP returns a loopback address whose UDP port was free a moment ago.
func FreeUDP() (string, error) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.LocalAddr().String(), nil
}

// Pause waits for d or the end of ctx.
func Pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// writeProvision makes the accounts as a provisioning file.
func writeProvision(path string, n int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprint(w, "tenants:\n  - name: bench\n    domains: [bench.test]\n    default: true\n    dns:\n")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(w, "      - {number: u%06d, type: extension, password: secret}\n", i)
	}
	return errors.Join(w.Flush(), f.Close())
}
