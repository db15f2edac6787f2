//go:build !linux

package smtp

import "net"

// Only Linux can be asked to acknowledge at once, and what has been said already.
type quickConn struct{}

func quick(nc net.Conn) (net.Conn, *quickConn) { return nc, nil }

func (*quickConn) attentive(bool) {}

func (*quickConn) early() bool { return false }
