//go:build unix && !linux

package transport

import "golang.org/x/sys/unix"

func fdRead(fd uintptr, b []byte) (int, error) { return unix.Read(int(fd), b) }

func fdWrite(fd uintptr, b []byte) (int, error) { return unix.Write(int(fd), b) }
