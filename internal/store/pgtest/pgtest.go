// Package pgtest runs a PostgreSQL server of its own for the tests of a package: a fresh cluster in a temporary
// directory, reachable over a Unix socket only, gone when the test process ends, however it ends.
//
// It needs the server programs of the distribution (Debian: postgresql). A machine without them fails the tests; it
// does not skip them.
package pgtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"
)

const startTime = 30 * time.Second

// Server is a server that starts when the first database is asked for, so that a test process which needs none (one
// test, a fuzz worker) does not wait for it. The zero value is ready; call Stop in the end, from TestMain.
type Server struct {
	once sync.Once
	err  error // of the start

	dir   string
	cmd   *exec.Cmd
	stdin io.Closer
	log   bytes.Buffer // read only after cmd has ended
	next  atomic.Int64 // number of the next database
}

// begin makes a cluster and runs its server.
func (s *Server) begin() error {
	bin, err := programs()
	if err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "parley-pg-"); err != nil {
		return err
	}
	if err := s.start(bin); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	return nil
}

// programs finds the newest server programs installed.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		path, err := exec.LookPath("initdb")
		if err != nil {
			return "", errors.New("no PostgreSQL server programs found: install the package postgresql")
		}
		return filepath.Dir(path), nil
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

func (s *Server) start(bin string) error {
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 { // the server refuses to run as root
		cred, err := owner("postgres")
		if err != nil {
			return err
		}
		attr.Credential = cred
		if err := os.Chown(s.dir, int(cred.Uid), int(cred.Gid)); err != nil {
			return err
		}
	}
	data := filepath.Join(s.dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "parley", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	// The shell holds our pipe: when this process is gone, however, its read ends and so does the server with its files.
	const script = `dir=$0; "$@" & pid=$!; read -r _; kill -INT $pid; wait $pid; code=$?; rm -rf "$dir"/*; exit $code`
	s.cmd = exec.Command("/bin/sh", "-c", script, s.dir, filepath.Join(bin, "postgres"), "-D", data, "-k", s.dir,
		"-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=40", "-c", "shared_buffers=32MB")
	s.cmd.SysProcAttr, s.cmd.Dir = attr, s.dir
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return err
	}
	s.stdin = stdin
	if err := s.cmd.Start(); err != nil {
		return err
	}
	return s.wait()
}

func owner(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// wait polls until the server answers.
func (s *Server) wait() error {
	db, err := sql.Open("pgx", s.dsn("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w", err)
		case <-tick.C:
		}
	}
}

func (s *Server) dsn(database string) string {
	v := url.Values{"host": {s.dir}, "sslmode": {"disable"}}
	return "postgres://parley@/" + database + "?" + v.Encode()
}

// Database makes an empty database and returns its address. It is dropped with the server.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	if s.once.Do(func() { s.err = s.begin() }); s.err != nil {
		t.Fatal(s.err)
	}
	db, err := sql.Open("pgx", s.dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("test%d", s.next.Add(1))
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("make database: %v", err)
	}
	return s.dsn(name)
}

// Stop ends the server and removes everything of it.
func (s *Server) Stop() error {
	var err error
	if s.stdin != nil {
		err = s.stdin.Close()
	}
	if s.cmd != nil && s.cmd.Process != nil {
		if werr := s.cmd.Wait(); werr != nil {
			err = errors.Join(err, fmt.Errorf("PostgreSQL ended with %w: %s", werr, s.log.Bytes()))
		}
	}
	if s.dir == "" {
		return err
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
