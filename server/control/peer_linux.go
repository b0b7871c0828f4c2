package control

import (
	"net"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// caller names the account at the other end of a unix socket, as the kernel knows it.
func caller(c net.Conn) string {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return unknownCaller
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return unknownCaller
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || credErr != nil {
		return unknownCaller
	}
	uid := strconv.FormatUint(uint64(cred.Uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return "uid " + uid // an account without a name, as in many containers
}
