//go:build !linux

package smtp

import "net"

// Only Linux can be asked to acknowledge at once, and what has been said already.
type quickConn struct{}

func quick(nc net.Conn, _ func() error) (net.Conn, *quickConn) { return nc, nil }

func (*quickConn) attentive(bool) {}

func (*quickConn) early() bool { return false }

func (*quickConn) is(net.Conn) bool { return false }
