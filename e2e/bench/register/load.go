package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"parley/e2e/bench/rig"
)

// result is one step of load against one server.
type result struct {
	server    string
	rate      int
	asked     int
	ok        int
	resent    int
	perSecond float64
	meanMs    float64
	cpuMicros float64 // CPU time of the server over good registrations
	cores     float64 // share of its core the server used
	rssMB     float64
}

func (r result) good() bool {
	return float64(r.asked-r.ok) <= 0.001*float64(r.asked) &&
		float64(r.resent) <= 0.01*float64(r.asked)*2 && r.perSecond >= 0.95*float64(r.rate)
}

func (r result) String() string {
	mark := "good"
	if !r.good() {
		mark = "NOT GOOD"
	}
	return fmt.Sprintf("%-9s asked %6d/s  done %7.0f/s  failed %5d  sent again %5d  mean %6.1f ms  CPU %5.1f µs  core %4.2f  RSS %4.0f MB  %s",
		r.server, r.rate, r.perSecond, r.asked-r.ok, r.resent, r.meanMs, r.cpuMicros, r.cores, r.rssMB, mark)
}

// load registers at rate for seconds and measures the server meanwhile.
func load(ctx context.Context, dir string, s *rig.Server, users string, rate, seconds int) (result, error) {
	total := rate * seconds
	stats := filepath.Join(dir, "stats.csv")
	if err := os.Remove(stats); err != nil && !errors.Is(err, os.ErrNotExist) {
		return result{}, err
	}
	// The step must end even when the server does not keep up.
	stepCtx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(stepCtx, "taskset", "-c", rig.LoadCPU, "sipp", s.Addr, "-nostdin",
		"-sf", filepath.Join(sourceDir(), "register.xml"), "-inf", users, "-key", "domain", "bench.test",
		"-i", "127.0.0.1", "-r", strconv.Itoa(rate), "-rp", "1000", "-m", strconv.Itoa(total), "-l", "100000",
		"-trace_stat", "-stf", stats, "-fd", "1", "-timer_resol", "5", "-buff_size", "4194304",
		"-timeout", strconv.Itoa(seconds+12))
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = nil, &out
	cpuBefore, _ := s.Usage()
	began := time.Now()
	runErr := cmd.Run() // sipp exits with 1 when a registration failed; the figures say so too
	wall := time.Since(began)
	cpuAfter, rss := s.Usage()
	if ctx.Err() != nil {
		return result{}, ctx.Err()
	}
	row, err := rig.LastRow(stats)
	if err != nil {
		return result{}, fmt.Errorf("sipp left no figures: %w: %w\n%s", err, runErr, out.String())
	}
	number := func(column string) int { n, _ := strconv.Atoi(row[column]); return n }
	r := result{server: s.Name, rate: rate, asked: total, ok: number("SuccessfulCall(C)"), resent: number("Retransmissions(C)"), rssMB: float64(rss) / 1e6}
	r.perSecond = float64(r.ok) / max(elapsed(row), 0.01)
	r.meanMs = millis(row["ResponseTime1(C)"])
	used := cpuAfter - cpuBefore
	r.cpuMicros = float64(used.Microseconds()) / float64(max(r.ok, 1))
	r.cores = used.Seconds() / wall.Seconds()
	return r, nil
}

// elapsed reads seconds between start and the last row; sipp writes date, time and epoch seconds in one cell.
func elapsed(row map[string]string) float64 {
	epoch := func(cell string) float64 {
		f := strings.Fields(cell)
		if len(f) == 0 {
			return 0
		}
		v, _ := strconv.ParseFloat(f[len(f)-1], 64)
		return v
	}
	return epoch(row["CurrentTime"]) - epoch(row["StartTime"])
}

// millis reads hh:mm:ss:uuuuuu.
func millis(cell string) float64 {
	p := strings.Split(strings.ReplaceAll(cell, ".", ":"), ":")
	if len(p) < 4 {
		return 0
	}
	n := func(s string) float64 { v, _ := strconv.ParseFloat(s, 64); return v }
	return (n(p[0])*3600+n(p[1])*60+n(p[2]))*1000 + n(p[3])/1000
}

// writeUsers makes the account list in the form sipp reads.
func writeUsers(dir string, n int) (string, error) {
	path := filepath.Join(dir, "users.csv")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "SEQUENTIAL")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(w, "u%06d;[authentication username=u%06d password=secret];\n", i, i)
	}
	return path, errors.Join(w.Flush(), f.Close())
}

// profileUnderLoad takes a CPU profile from Parley's control socket while a step runs.
func profileUnderLoad(ctx context.Context, dir string, s *rig.Server, users string, o options) error {
	done := make(chan error, 1)
	go func() {
		rig.Pause(ctx, time.Second)
		done <- rig.Profile(ctx, filepath.Join(dir, "data", "run", "parley.sock"), fmt.Sprintf("profile?seconds=%d", max(o.seconds-3, 2)), o.profile)
	}()
	if _, err := load(ctx, dir, s, users, o.rate, o.seconds); err != nil {
		return err
	}
	return <-done
}

// sourceDir is the folder of this file, where the scenario and the Kamailio configuration lie.
func sourceDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}
