//go:build unix

package smtp

import (
	"crypto/tls"
	"net"
	"syscall"
)

// peek looks, without waiting, whether a connection is as it was left: open, with
// nothing to read. sure is false where that cannot be told: outside TCP and Unix
// sockets, and within TLS, where what there is to read need not be for us.
func peek(conn net.Conn) (quiet, sure bool) {
	t, inTLS := conn.(*tls.Conn)
	if inTLS {
		conn = t.NetConn()
	}
	s, ok := conn.(syscall.Conn)
	if !ok {
		return false, false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false, false
	}
	var n int
	var one [1]byte
	err2 := raw.Read(func(fd uintptr) bool {
		n, _, err = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	switch {
	case err2 != nil:
		return false, true
	case err == syscall.EAGAIN:
		return true, true
	case n > 0:
		return false, !inTLS
	}
	return false, true
}
