//go:build unix

package backend

import (
	"errors"
	"net"
	"syscall"
)

// peek looks at a connection's socket without reading from it or waiting:
// quiet, when it is open and nothing has come; pending, when something has;
// neither, when the other side has closed it.
func peek(c net.Conn) (quiet, pending bool) {
	sys, ok := c.(syscall.Conn)
	if !ok {
		return true, false
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return false, false
	}
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = errors.Is(err, syscall.EAGAIN)
		pending = err == nil && n > 0
		return true // never wait
	})
	if err != nil {
		return false, false
	}
	return quiet, pending
}
