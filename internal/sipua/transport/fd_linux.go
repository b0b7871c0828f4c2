package transport

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// fdRead and fdWrite read and write a non-blocking descriptor as raw system calls; see udp_linux.go for why. An
// echo of 500 bytes over TCP costs 17 to 22 µs this way at 2,000/s and 7 µs at 20,000/s, against 31 to 54 and 9 to 12
// by ordinary calls. b is not empty.

func fdRead(fd uintptr, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func fdWrite(fd uintptr, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
