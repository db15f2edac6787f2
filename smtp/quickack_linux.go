package smtp

import (
	"net"
	"syscall"
)

// quickAck makes the kernel acknowledge what has arrived at once. It does not
// last, so it is asked for again before each read.
func quickAck(nc net.Conn) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
		})
	}
}
