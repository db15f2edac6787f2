// Package listen opens what servers listen on, and knows who can reach it. An address is HOST:PORT, or unix: and the path
// of a socket.
package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// unix begins the address of a socket in the file system.
const unix = "unix:"

// config asks for no probes of connections that are silent (RFC 9293, 3.8.4), which are four system calls for each that
// comes: whoever serves here has limits of its own for silence.
var config = net.ListenConfig{KeepAlive: -1}

// Check says what is wrong with an address; nil: nothing that can be seen without opening it.
func Check(addr string) error {
	if path, ok := strings.CutPrefix(addr, unix); ok {
		if path == "" {
			return errors.New("a path follows unix:")
		}
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil {
		return fmt.Errorf("%q is no address: give HOST:PORT, or unix:PATH", addr)
	}
	return nil
}

// Open listens on an address. The socket that a server left behind which was killed is replaced; one that somebody
// listens on is not.
func Open(addr string) (net.Listener, error) {
	path, ok := strings.CutPrefix(addr, unix)
	if !ok {
		return config.Listen(context.Background(), "tcp", addr)
	}
	l, err := net.Listen("unix", path)
	if !errors.Is(err, syscall.EADDRINUSE) || !abandoned(path) {
		return l, err
	}
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return net.Listen("unix", path)
}

// abandoned tells whether path is a socket that nobody listens on.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// String returns the address of an open port in the form that Open takes.
func String(a net.Addr) string {
	if a.Network() == "unix" {
		return unix + a.String()
	}
	return a.String()
}

// Private tells whether an address can be reached from this machine only: who may use a socket in the file system is
// decided by its directory. A name other than localhost may be anything, today or after the next change of a DNS record,
// and an empty host is every address there is.
func Private(addr string) bool {
	if strings.HasPrefix(addr, unix) {
		return true
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
