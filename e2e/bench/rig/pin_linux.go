package rig

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// PinLoad moves this process to the core of the load. Threads that are made later stay there too.
func PinLoad() error {
	core, err := strconv.Atoi(LoadCPU)
	if err != nil {
		return err
	}
	var set unix.CPUSet
	set.Set(core)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, &set); err != nil {
			return fmt.Errorf("move to core %d: %w", core, err)
		}
	}
	return nil
}
