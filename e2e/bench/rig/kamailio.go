package rig

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// Kamailio starts a Kamailio on the server core with the configuration in file, in which LISTEN becomes its address;
// replace are further pairs of old and new text.
func Kamailio(ctx context.Context, dir, file string, replace ...string) (*Server, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	addr, err := FreeUDP()
	if err != nil {
		return nil, err
	}
	cfg := filepath.Join(dir, "kamailio.cfg")
	if err := os.WriteFile(cfg, []byte(strings.NewReplacer(append(replace, "LISTEN", addr)...).Replace(string(text))), 0o600); err != nil {
		return nil, err
	}
	// The fast allocator: the one Kamailio starts with by default is for finding its own bugs.
	return Launch(ctx, true, "kamailio", addr, "kamailio", "-DD", "-E", "-f", cfg, "-x", "fm", "-X", "fm", "-m", "1024", "-M", "16",
		"-P", filepath.Join(dir, "kamailio.pid"), "-Y", dir, "-w", dir)
}
