package blocksync

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// rig is a store as a server would lay it out, and what was synced in it.
type rig struct {
	*Store
	t      *testing.T
	root   string
	dir    string // of stream S
	synced []string
	fail   error
	hook   func(path string) // called in the next sync of a file
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, root: t.TempDir()}
	r.Store = New(r.root, "$G")
	r.dir = filepath.Join(r.root, "jetstream", "$G", "streams", "S")
	if err := os.MkdirAll(filepath.Join(r.dir, "msgs"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.Store.fsync = func(f *os.File) error {
		rel, err := filepath.Rel(r.root, f.Name())
		if err != nil {
			return err
		}
		r.synced = append(r.synced, strings.TrimPrefix(rel, "jetstream/$G/streams/"))
		if r.hook != nil {
			hook := r.hook
			r.hook = nil
			hook(f.Name())
		}
		if r.fail != nil {
			return r.fail
		}
		return f.Sync()
	}
	r.write("meta.inf", "{}")
	r.write("meta.sum", "0")
	return r
}

// write puts a new file in place of the one of that name, as the server does.
func (r *rig) write(name, data string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path+".new", []byte(data), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) remove(path string) {
	r.t.Helper()
	if err := os.RemoveAll(filepath.Join(r.dir, path)); err != nil {
		r.t.Fatal(err)
	}
}

// expect syncs and compares what was synced with want, in any order.
func (r *rig) expect(what string, want ...string) {
	r.t.Helper()
	r.synced = nil
	if err := r.SyncStream("S"); err != nil {
		r.t.Errorf("%s: %v", what, err)
	}
	slices.Sort(r.synced)
	slices.Sort(want)
	if !slices.Equal(r.synced, want) {
		r.t.Errorf("%s: synced %q, want %q", what, r.synced, want)
	}
}

var described = []string{"S/meta.inf", "S/meta.sum", "S/msgs", "S", ".", "jetstream", "jetstream/$G", "jetstream/$G/streams"}

func TestWhatIsSynced(t *testing.T) {
	r := newRig(t)
	r.expect("an empty stream, first time", described...)
	r.expect("an empty stream")
	for i := 8; i <= 11; i++ {
		r.write(fmt.Sprintf("msgs/%d.blk", i), "x")
	}
	r.write("msgs/index.db", "x")
	r.expect("new blocks", "S/msgs/8.blk", "S/msgs/9.blk", "S/msgs/10.blk", "S/msgs/11.blk", "S/msgs")
	r.expect("the newest", "S/msgs/11.blk")
	r.write("msgs/13.blk", "x") // 12 came and went
	r.remove("msgs/8.blk")
	r.expect("the newest before and now", "S/msgs/11.blk", "S/msgs/13.blk", "S/msgs")
	r.remove("msgs/13.blk")
	r.write("msgs/14.blk", "x")
	r.expect("the newest is gone", "S/msgs/14.blk", "S/msgs")
	r.write("meta.inf", `{"changed":true}`)
	blocks := []string{"S/msgs/9.blk", "S/msgs/10.blk", "S/msgs/11.blk", "S/msgs/14.blk"}
	r.expect("another description", append(blocks, described...)...)
	r.expect("the newest again", "S/msgs/14.blk")
}

// TestReplacedMeanwhile: the file that is there at the end is the one that was synced.
func TestReplacedMeanwhile(t *testing.T) {
	r := newRig(t)
	r.write("msgs/1.blk", "x")
	r.expect("first time", append(slices.Clone(described), "S/msgs/1.blk")...)
	r.hook = func(string) { r.write("msgs/1.blk", "smaller") }
	r.expect("replaced", "S/msgs/1.blk", "S/msgs/1.blk")
	r.hook = func(string) { r.remove("msgs/1.blk") }
	r.expect("removed", "S/msgs/1.blk")
}

// TestFailures: what cannot be found may be there again; a failed fsync is for good, for its stream alone.
func TestFailures(t *testing.T) {
	r := newRig(t)
	r.write("msgs/1.blk", "x")
	if err := r.SyncStream("other"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such stream: %v", err)
	}
	r.remove("msgs")
	if err := r.SyncStream("S"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no blocks: %v", err)
	}
	if err := os.Mkdir(filepath.Join(r.dir, "msgs"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.write("msgs/1.blk", "x")
	if err := r.SyncStream("S"); err != nil {
		t.Errorf("back again: %v", err)
	}
	r.fail = syscall.EIO
	if err := r.SyncStream("S"); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "1.blk") {
		t.Errorf("broken: %v", err)
	}
	r.fail = nil
	if err := r.SyncStream("S"); !errors.Is(err, syscall.EIO) {
		t.Errorf("after a failed fsync: %v", err)
	}
	if err := os.CopyFS(filepath.Join(filepath.Dir(r.dir), "T"), os.DirFS(r.dir)); err != nil {
		t.Fatal(err)
	}
	if err := r.SyncStream("T"); err != nil {
		t.Errorf("another stream: %v", err)
	}
}

func TestTogether(t *testing.T) {
	r := newRig(t)
	r.Store.fsync = (*os.File).Sync
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				if err := os.WriteFile(filepath.Join(r.dir, "msgs", fmt.Sprintf("%d.blk", 100*j+i)), []byte("x"), 0o600); err != nil {
					t.Error(err)
				}
				if err := r.SyncStream("S"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
