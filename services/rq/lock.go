package rq

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockName is the file in StoreDir that a running server holds locked. The kernel lets go of it when the process ends,
// however it ends.
const lockName = "parley.lock"

// lockStore makes sure that no other server, in this process or another, writes to dir: JetStream itself does not
// notice, and destroys what is there.
func lockStore(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("fabric.store_dir: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("fabric.store_dir: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("fabric.store_dir: %s is in use by another node: each needs a data directory of its own", dir)
		}
		return nil, fmt.Errorf("fabric.store_dir: lock %s: %w", dir, err)
	}
	return f, nil
}
