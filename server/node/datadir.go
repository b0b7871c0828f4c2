package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// dataDir is the directory of one running node, locked.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir makes the directory if need be, with rights for its owner only, and locks it. Errors name the key and
// the cure.
func openDataDir(path string) (*dataDir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("node.data_dir: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, dataDirError(path, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, dataDirError(path, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer func() { _ = lock.Close() }() // never written to
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("node.data_dir: another node%s is using %s; stop it, or give this node a directory of its own", holder(lock), path)
		}
		return nil, fmt.Errorf("node.data_dir: cannot lock %s: %w; use a local file system", path, err)
	}
	d := &dataDir{path: path, lock: lock}
	if err := d.sign(); err != nil {
		return nil, errors.Join(dataDirError(path, err), d.Close())
	}
	return d, nil
}

// sign writes our process id into the lock, for the message of whoever comes second.
func (d *dataDir) sign() error {
	if err := d.lock.Truncate(0); err != nil {
		return err
	}
	_, err := d.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// holder says which process signed the lock, as far as it can be read.
func holder(lock *os.File) string {
	b := make([]byte, 20)
	n, _ := lock.ReadAt(b, 0) // a short read is the rule: the file holds one number
	pid := strings.TrimSpace(string(b[:n]))
	if _, err := strconv.Atoi(pid); err != nil {
		return ""
	}
	return " (process " + pid + ")"
}

func dataDirError(path string, err error) error {
	cure := "name another directory"
	switch {
	case errors.Is(err, fs.ErrPermission):
		cure = "name a directory this account may write to, or chown this one"
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, fs.ErrExist):
		cure = "something that is no directory has that name; name another"
	case errors.Is(err, unix.ENOSPC):
		cure = "the disk is full; make room"
	case errors.Is(err, unix.EROFS):
		cure = "the file system is read-only; name a directory elsewhere"
	}
	return fmt.Errorf("node.data_dir: cannot use %s: %w; %s", path, err, cure)
}

// join is a path in the directory.
func (d *dataDir) join(elem ...string) string {
	return filepath.Join(append([]string{d.path}, elem...)...)
}

// Close gives the directory free.
func (d *dataDir) Close() error { return d.lock.Close() }
