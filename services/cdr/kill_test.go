package cdr

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/store/cdrs"
)

// childEnv makes TestChildOfKill a node that another test can kill; its value is the data directory, the first call and
// the DSN, apart by commas.
const childEnv = "PARLEY_TEST_CDR"

// TestChildOfKill is nothing by itself. In a child process it publishes calls for ever, one after the other, prints the
// number of each that the stream has taken, and runs the service beside.
func TestChildOfKill(t *testing.T) {
	given := strings.SplitN(os.Getenv(childEnv), ",", 3)
	if len(given) != 3 {
		return
	}
	first, err := strconv.Atoi(given[1])
	if err != nil {
		t.Fatal(err)
	}
	f := fabrictest.Connect(t, fabrictest.Server(t, filepath.Join(given[0], "jetstream")), "n1")
	start(t, f, openStore(t, given[2], given[0]), nil)
	for i := first; ; i++ {
		r := record(0)
		r.CallUUID = fmt.Sprintf("call-%06d", i)
		if _, err := f.PublishSync(t.Context(), fabric.Event{Subject: fabric.Subject("cdr", "demo", r.CallUUID), MsgID: r.CallUUID, Payload: r}); err != nil {
			t.Fatal(err)
		}
		fmt.Println("taken", i)
	}
}

// runAndKill runs a child until it has been told of so many calls more, kills it, and returns the number of the last
// call the stream has taken for certain.
func runAndKill(t *testing.T, dir, dsn string, first, more int) (last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChildOfKill$")
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{dir, strconv.Itoa(first), dsn}, ","))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(patience, func() { cmd.Process.Kill() }) //nolint:errcheck // the scan below then ends too early
	defer stuck.Stop()
	last = first - 1
	for lines := bufio.NewScanner(out); lines.Scan(); {
		number, ok := strings.CutPrefix(lines.Text(), "taken ")
		if !ok {
			continue
		}
		if last, err = strconv.Atoi(number); err != nil {
			t.Fatal(err)
		}
		if last == first+more {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || last < first+more {
		t.Fatalf("the child ended with %v after call %d, want it killed after %d", err, last, first+more)
	}
	return last
}

// TestKilledAgainAndAgain kills a whole node (kill -9) at several moments and lets a last one finish: every record the
// stream has taken is in the database, once.
func TestKilledAgainAndAgain(t *testing.T) {
	onBothDSN(t, func(t *testing.T, dsn string) {
		dir := t.TempDir()
		taken := map[string]bool{}
		next := 0
		for _, more := range []int{3, 150, 411, 777} {
			last := runAndKill(t, dir, dsn, next, more)
			for i := next; i <= last; i++ {
				taken[fmt.Sprintf("call-%06d", i)] = true
			}
			next = last + 1000 // what was under way when the child died may be there or not
		}
		f := fabrictest.Connect(t, fabrictest.Server(t, filepath.Join(dir, "jetstream")), "n1")
		store := openStore(t, dsn, dir)
		n := start(t, f, store, nil)
		eventually(t, func() error {
			b, err := f.Backlog(context.Background(), fabric.StreamCDR, n.place.Name)
			if err == nil && b != (fabric.Backlog{}) {
				err = fmt.Errorf("backlog %+v, want none", b)
			}
			return err
		})
		seen := map[string]int{}
		for q := (cdrs.Query{Tenant: "demo", Limit: cdrs.MaxPage}); ; {
			p, err := store.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range p.Records {
				seen[r.CallUUID]++
			}
			if q.After = p.Next; q.After == "" {
				break
			}
		}
		for call := range taken {
			if seen[call] != 1 {
				t.Errorf("%s was taken by the stream and is there %d times", call, seen[call])
			}
		}
		for call, times := range seen {
			if times != 1 {
				t.Errorf("%s is there %d times", call, times)
			}
		}
		if added := len(seen) - len(taken); added < 0 || added > 4 {
			t.Errorf("%d records, %d of them taken for certain; one a kill may have been under way", len(seen), len(taken))
		}
	})
}

// onBothDSN is onBoth for those that open the database themselves.
func onBothDSN(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "") })
	t.Run("postgres", func(t *testing.T) { test(t, postgres.Database(t)) })
}

// BenchmarkThroughput is the whole way: published, on disk in the stream, taken, committed, confirmed.
func BenchmarkThroughput(b *testing.B) {
	for _, kind := range []string{"sqlite", "postgres"} {
		b.Run(kind, func(b *testing.B) {
			dsn := ""
			if kind == "postgres" {
				dsn = postgres.Database(b)
			}
			f := fabrictest.New(b)
			n := start(b, f, openStore(b, dsn, b.TempDir()), func(s *Service) { s.cfg, s.place.Linger = DefaultConfig(), DefaultConfig().Linger })
			b.ResetTimer()
			for i := range b.N {
				r := record(i)
				publish(b, f, r, r.CallUUID)
				if i%10_000 == 9_999 { // within the fabric's buffer
					if err := f.Flush(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
			}
			eventually(b, func() error {
				if got := n.metric("parley_cdr_stored_total"); got < float64(b.N) {
					return fmt.Errorf("%v of %d are stored", got, b.N)
				}
				return nil
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
