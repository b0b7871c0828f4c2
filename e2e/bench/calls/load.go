package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"parley/e2e/bench/rig"
)

// result is one step of load.
type result struct {
	rate, asked, ok, resent int
	p50, p99                float64 // milliseconds from INVITE to 200
	cpuMicros               float64 // CPU time of Parley a call
	cores                   float64
	rssMB                   float64
}

func (r result) good() bool { return r.ok == r.asked && float64(r.resent) <= 0.01*float64(r.asked) }

func (r result) String() string {
	mark := "good"
	if !r.good() {
		mark = "NOT GOOD"
	}
	return fmt.Sprintf("asked %5d/s  calls %6d  failed %5d  sent again %5d  set up p50 %3.0f p99 %4.0f ms  CPU %6.0f µs  core %4.2f  RSS %4.0f MB  %s",
		r.rate, r.asked, r.asked-r.ok, r.resent, r.p50, r.p99, r.cpuMicros, r.cores, r.rssMB, mark)
}

// sipp runs the load generator on its own core.
func sipp(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", rig.LoadCPU, "sipp", "-nostdin", "-timer_resol", "5", "-buff_size", "4194304"}, args...)...)
	cmd.Dir = dir
	return cmd
}

type phone struct{ cmd *exec.Cmd }

// startPhone answers calls until stop.
func startPhone(ctx context.Context, dir string) (*phone, error) {
	host, port, _ := strings.Cut(phoneAddr, ":")
	cmd := sipp(ctx, dir, "-sf", filepath.Join(sourceDir(), "uas.xml"), "-i", host, "-p", port, "-l", "100000")
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start sipp: %w", err)
	}
	return &phone{cmd}, nil
}

func (p *phone) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// load makes calls at rate for seconds and measures Parley meanwhile.
func (p *platform) load(ctx context.Context, dir, scenario string, rate, seconds int, o options) (result, error) {
	number := "2000"
	if scenario == "cancel.xml" {
		number = "2001"
	}
	total := rate * seconds
	stats := filepath.Join(dir, scenario+".csv")
	if err := os.Remove(stats); err != nil && !errors.Is(err, os.ErrNotExist) {
		return result{}, err
	}
	limit := time.Duration(seconds)*time.Second + o.talk + 40*time.Second
	stepCtx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := sipp(stepCtx, dir, p.Addr, "-sf", filepath.Join(sourceDir(), scenario), "-key", "number", number, "-i", "127.0.0.2",
		"-d", strconv.FormatInt(o.talk.Milliseconds(), 10), "-r", strconv.Itoa(rate), "-m", strconv.Itoa(total), "-l", "100000",
		"-trace_stat", "-stf", stats, "-fd", "1", "-trace_rtt", "-rtt_freq", "1", "-timeout", strconv.Itoa(int(limit.Seconds())-3))
	var out bytes.Buffer
	cmd.Stderr = &out
	cpuBefore, _ := p.Usage()
	began := time.Now()
	runErr := cmd.Run() // sipp exits with 1 when a call failed; the figures say so too
	wall := time.Since(began)
	cpuAfter, rss := p.Usage()
	if ctx.Err() != nil {
		return result{}, ctx.Err()
	}
	row, err := rig.LastRow(stats)
	if err != nil {
		return result{}, fmt.Errorf("sipp left no figures: %w: %w\n%s", err, runErr, out.String())
	}
	column := func(name string) int { n, _ := strconv.Atoi(row[name]); return n }
	used := cpuAfter - cpuBefore
	r := result{rate: rate, asked: total, ok: column("SuccessfulCall(C)"), resent: column("Retransmissions(C)"), rssMB: float64(rss) / 1e6, cores: used.Seconds() / wall.Seconds()}
	r.cpuMicros = float64(used.Microseconds()) / float64(max(total, 1))
	if scenario == "uac.xml" {
		r.p50, r.p99, err = percentiles(filepath.Join(dir, fmt.Sprintf("uac_%d_rtt.csv", cmd.Process.Pid)))
	}
	return r, err
}

// percentiles reads the response times that sipp leaves, in milliseconds, and removes the file.
func percentiles(path string) (p50, p99 float64, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, 0, nil // no call was answered
	}
	if err != nil {
		return 0, 0, fmt.Errorf("response times of sipp: %w", err)
	}
	var times []float64
	for line := range strings.Lines(string(b)) {
		if f := strings.Split(strings.TrimSpace(line), ";"); len(f) == 3 {
			if ms, err := strconv.ParseFloat(f[1], 64); err == nil {
				times = append(times, ms)
			}
		}
	}
	slices.Sort(times)
	if n := len(times); n > 0 {
		p50, p99 = times[n/2], times[n*99/100]
	}
	return p50, p99, os.Remove(path)
}

// mixture runs answered and abandoned calls side by side.
func (p *platform) mixture(ctx context.Context, dir string, rate int, o options) error {
	fmt.Printf("\nmixture of %d calls, a quarter abandoned, at %d/s\n\n", o.mixed, rate)
	seconds := max(o.mixed/rate, 1)
	var (
		wg   sync.WaitGroup
		errs [2]error
		got  [2]result
	)
	for i, scenario := range []string{"uac.xml", "cancel.xml"} {
		share := []int{3 * rate / 4, max(rate/4, 1)}[i]
		wg.Go(func() { got[i], errs[i] = p.load(ctx, dir, scenario, share, seconds, o) })
	}
	wg.Wait()
	for i, name := range []string{"answered", "abandoned"} {
		fmt.Printf("%-10s %6d of %6d as they should be\n", name, got[i].ok, got[i].asked)
	}
	return errors.Join(errs[:]...)
}

// books is what Parley counts.
type books struct{ created, calls, stored, goroutines, rss float64 }

// scrape reads the metrics of node and records.
func (p *platform) scrape(ctx context.Context) (books, error) {
	node, err := metrics(ctx, p.sip)
	if err != nil {
		return books{}, err
	}
	records, err := metrics(ctx, p.cdr)
	return books{node["sips_calls_created"], node["sips_calls"], records["parley_cdr_stored_total"], node["go_goroutines"], node["process_resident_memory_bytes"]}, err
}

func metrics(ctx context.Context, addr string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	out := map[string]float64{}
	for s := bufio.NewScanner(res.Body); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), " "); ok && !strings.HasPrefix(name, "#") {
			out[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return out, nil
}

// ready waits until the node takes calls.
func (p *platform) ready(ctx context.Context) error {
	for ctx.Err() == nil {
		res, err := http.Get("http://" + p.sip + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		rig.Pause(ctx, 50*time.Millisecond)
	}
	return ctx.Err()
}

// balance waits until no call is left, and checks that each attempt has exactly one record.
func (p *platform) balance(ctx context.Context, before books) error {
	deadline := time.Now().Add(90 * time.Second)
	for {
		now, err := p.scrape(ctx)
		if err != nil {
			return err
		}
		if now.calls == 0 && now.stored == now.created {
			fmt.Printf("\n%.0f attempts, %.0f records, no call left; goroutines %.0f before, %.0f after; RSS %.0f MB before, %.0f MB after\n",
				now.created, now.stored, before.goroutines, now.goroutines, before.rss/1e6, now.rss/1e6)
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the books do not balance: %.0f attempts, %.0f records, %.0f calls left", now.created, now.stored, now.calls)
		}
		rig.Pause(ctx, 200*time.Millisecond)
	}
}
