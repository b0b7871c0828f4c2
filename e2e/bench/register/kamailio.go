package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"

	"parley/e2e/bench/rig"
)

func startKamailio(ctx context.Context, dir string) (*rig.Server, error) {
	text, err := os.ReadFile(filepath.Join(sourceDir(), "kamailio.cfg"))
	if err != nil {
		return nil, err
	}
	addr, err := rig.FreeUDP()
	if err != nil {
		return nil, err
	}
	cfg := filepath.Join(dir, "kamailio.cfg")
	if err := os.WriteFile(cfg, bytes.Replace(text, []byte("LISTEN"), []byte(addr), 1), 0o600); err != nil {
		return nil, err
	}
	// The fast allocator: the one Kamailio starts with by default is for finding its own bugs.
	return rig.Launch(ctx, true, "kamailio", addr, "kamailio", "-DD", "-E", "-f", cfg, "-x", "fm", "-X", "fm", "-m", "1024", "-M", "16",
		"-P", filepath.Join(dir, "kamailio.pid"), "-Y", dir, "-w", dir)
}
