package blocksync

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// Names nats-server gives to files.
const (
	metaFile = "meta.inf"
	metaSum  = "meta.sum"
	messages = "msgs"
	blockExt = ".blk"
)

// Store is the streams of one account of a server.
type Store struct {
	dirs  []string // from the streams' directory up to the store's
	fsync func(*os.File) error

	mu      sync.Mutex // guards what follows
	streams map[string]*stream
}

// stream is what is known to be on disk.
type stream struct {
	mu     sync.Mutex // guards what follows; held during a sync
	newest uint64     // index of the newest block at the last sync; 0 = there was none
	meta   fs.FileInfo
	failed error // of an fsync: nothing can be known of this stream any more
}

// New gives the streams of account in storeDir, the directory the server was configured with.
func New(storeDir, account string) *Store {
	jetstream := filepath.Join(storeDir, "jetstream")
	of := filepath.Join(jetstream, account)
	return &Store{
		dirs:    []string{filepath.Join(of, "streams"), of, jetstream, storeDir},
		fsync:   (*os.File).Sync,
		streams: map[string]*stream{},
	}
}

// SyncStream returns when everything that the server had acknowledged for the stream before the call is on disk.
// An error means that it may not be.
func (s *Store) SyncStream(name string) error {
	s.mu.Lock()
	st := s.streams[name]
	if st == nil {
		st = &stream{}
		s.streams[name] = st
	}
	s.mu.Unlock()
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.failed != nil {
		return fmt.Errorf("earlier fsync failed: %w", st.failed)
	}
	if err := s.sync(filepath.Join(s.dirs[0], name), st); err != nil {
		var failed *fsyncError
		if errors.As(err, &failed) {
			st.failed = err
		}
		return err
	}
	return nil
}

func (s *Store) sync(dir string, st *stream) error {
	meta, err := os.Stat(filepath.Join(dir, metaFile))
	if err != nil {
		return err
	}
	from, msgs := st.newest, filepath.Join(dir, messages)
	described := st.meta != nil && os.SameFile(meta, st.meta) && meta.ModTime().Equal(st.meta.ModTime())
	if !described {
		from = 0
	}
	newest := from
	blocks, err := os.ReadDir(msgs)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		index, ok := blockIndex(b.Name())
		if !ok || index < from {
			continue
		}
		newest = max(newest, index)
		if err := s.syncFile(filepath.Join(msgs, b.Name())); err != nil {
			return err
		}
	}
	if !described {
		err = s.syncPaths(append([]string{filepath.Join(dir, metaFile), filepath.Join(dir, metaSum), msgs, dir}, s.dirs...))
	} else if newest > from {
		err = s.syncFile(msgs)
	}
	if err != nil {
		return err
	}
	st.newest, st.meta = newest, meta
	return nil
}

func (s *Store) syncPaths(paths []string) error {
	for _, p := range paths {
		if err := s.syncFile(p); err != nil {
			return err
		}
	}
	return nil
}

func blockIndex(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, blockExt)
	if !ok {
		return 0, false
	}
	index, err := strconv.ParseUint(digits, 10, 64)
	return index, err == nil
}

// fsyncError tells a failed fsync from a file that could not be opened, which may pass.
type fsyncError struct {
	path string
	err  error
}

func (e *fsyncError) Error() string { return fmt.Sprintf("fsync %s: %v", e.path, e.err) }
func (e *fsyncError) Unwrap() error { return e.err }

// syncFile fsyncs the file or directory that path names when it returns: if another one was put there meanwhile, that
// one too. A path that names nothing any more needs no sync.
func (s *Store) syncFile(path string) error {
	for {
		again, err := s.syncOnce(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !again {
			return err
		}
	}
}

func (s *Store) syncOnce(path string) (replaced bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close() // after the comparison: an inode that is open is not given to another file
	opened, err := f.Stat()
	if err != nil {
		return false, err
	}
	if err := s.fsync(f); err != nil {
		return false, &fsyncError{path, err}
	}
	now, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	return !os.SameFile(opened, now), nil
}
