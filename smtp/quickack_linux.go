package smtp

import (
	"io"
	"net"
	"syscall"
)

// A quickConn is a TCP connection that knows when it is about to wait. Then, and no
// sooner, the replies are written that the client may be waiting for: one that is still
// sending is not woken for a part of them.
//
// Within a message it asks the kernel, too, to acknowledge what has arrived at once. A
// client with Nagle's algorithm holds the rest back until then, and would lose 40 ms on
// each message. The kernel forgets the wish, so it is repeated. A client that sends
// faster than it is read never makes it wait, and costs nothing; nor does one whose
// message comes in one piece, because nothing of it is held back before the first.
type quickConn struct {
	*net.TCPConn
	raw    syscall.RawConn
	attend func(fd uintptr) bool // reads, or has the runtime wait
	buf    []byte
	n      int
	err    error
	on     bool // within a message
	begun  bool // something of it has been read
}

// quick makes nc call flush before it waits, and ask for acknowledgements while on is
// true; it returns nc itself if that is no TCP connection.
func quick(nc net.Conn, flush func() error) (net.Conn, *quickConn) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nc, nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nc, nil
	}
	q := &quickConn{TCPConn: tcp, raw: raw}
	// One function for the connection's life: a closure for each read would be garbage.
	q.attend = func(fd uintptr) bool {
		for {
			if q.n, q.err = syscall.Read(int(fd), q.buf); q.err != syscall.EINTR {
				break
			}
		}
		if q.err != syscall.EAGAIN {
			return true
		}
		// Nothing is there.
		if q.err = flush(); q.err != nil {
			return true
		}
		// The acknowledgement that the kernel holds back in the hope of a reply to send it
		// with (RFC 9293, 3.8.6.3) goes out now.
		if q.on && q.begun {
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
		}
		return false
	}
	return q, q
}

// attentive says whether a message is being read.
func (q *quickConn) attentive(on bool) {
	if q != nil {
		q.on, q.begun = on, false
	}
}

// is tells whether nc is q, and not TLS over it.
func (q *quickConn) is(nc net.Conn) bool { return q != nil && nc == net.Conn(q) }

// Read implements io.Reader by a system call of its own: the runtime would wait without
// saying so.
func (q *quickConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	q.buf = p
	err := q.raw.Read(q.attend)
	q.buf, q.begun = nil, q.on
	switch {
	case err != nil:
		return 0, err
	case q.err != nil:
		return 0, q.err
	case q.n == 0:
		return 0, io.EOF
	}
	return q.n, nil
}

// early tells whether the client has said something already. It looks and takes nothing:
// what is there may be a handshake.
func (q *quickConn) early() bool {
	if q == nil {
		return false
	}
	said := false
	q.raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		said = err == nil && n > 0
		return true
	})
	return said
}
