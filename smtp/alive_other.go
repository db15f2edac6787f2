//go:build !unix

package smtp

import "net"

// peek cannot tell here.
func peek(net.Conn) (quiet, sure bool) { return false, false }
