//go:build !linux

package smtp

import "net"

// quickAck does nothing: only Linux can be asked.
func quickAck(net.Conn) {}
