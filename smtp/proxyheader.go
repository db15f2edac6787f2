package smtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The PROXY protocol (haproxy.org, proxy-protocol.txt): a header before anything
// else, in which a load balancer says whom it speaks for. It is read before TLS,
// so not an octet beyond it may be taken, and only from peers that are trusted:
// anybody else's would be a lie that costs nothing.
//
// A trusted peer must send one. Were it taken only where it is there, a client could
// connect through the balancer's host past the balancer, or the balancer lose its
// setting, and every limit that goes by address would fall on one address.

const (
	// proxyWait is for all of the header, however it trickles in: a balancer has it ready
	// when it connects. Until it is there the connection counts for nobody.
	proxyWait = 5 * time.Second
	// proxyMax bounds what follows the fixed part of a header of version 2. The
	// addresses take 36 octets; the rest are extras that nobody here reads.
	proxyMax = 4 << 10
	// proxyLine bounds a header of version 1, CRLF included: two IPv6 addresses and two
	// ports at their longest (proxy-protocol.txt, 2.1).
	proxyLine = 107
)

var errProxy = errors.New("smtp: malformed PROXY header")

// proxySignature begins a header of version 2.
var proxySignature = []byte("\r\n\r\n\x00\r\nQUIT\n")

// readProxy reads a header. The addresses are nil if the proxy speaks for itself
// (LOCAL) or does not know (UNKNOWN, UNSPEC, unix sockets).
func readProxy(r io.Reader) (remote, local net.Addr, err error) {
	// The shortest header of version 1, "PROXY UNKNOWN" CRLF, has 15 octets.
	head := make([]byte, 15, proxyLine)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, nil, err
	}
	if bytes.HasPrefix(head, proxySignature) {
		return readProxy2(r, head)
	}
	if !bytes.HasPrefix(head, []byte("PROXY ")) {
		return nil, nil, errProxy
	}
	// Octet by octet: what follows the line is the client's, and TLS may be first in it.
	for !bytes.HasSuffix(head, crlf) {
		if len(head) == proxyLine {
			return nil, nil, errProxy
		}
		head = head[:len(head)+1]
		if _, err := io.ReadFull(r, head[len(head)-1:]); err != nil {
			return nil, nil, err
		}
	}
	return parseProxy1(string(head[:len(head)-2]))
}

var crlf = []byte("\r\n")

// parseProxy1 reads "PROXY TCP4 192.0.2.1 192.0.2.2 56324 25".
func parseProxy1(line string) (remote, local net.Addr, err error) {
	words := strings.Split(line, " ")
	if words[1] == "UNKNOWN" {
		return nil, nil, nil // whatever follows is to be ignored
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return nil, nil, errProxy
	}
	from, err1 := headerAddr(words[2], words[4])
	to, err2 := headerAddr(words[3], words[5])
	if err1 != nil || err2 != nil || from.Addr().Is4() != (words[1] == "TCP4") || to.Addr().Is4() != from.Addr().Is4() {
		return nil, nil, errProxy
	}
	return net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(to), nil
}

// headerAddr reads an address and a port as they are to be written: no zone, no
// sign, no zeros in front.
func headerAddr(addr, port string) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(addr)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil || ip.Zone() != "" || strconv.FormatUint(n, 10) != port {
		return netip.AddrPort{}, errProxy
	}
	return netip.AddrPortFrom(ip, uint16(n)), nil
}

// readProxy2 reads a header of version 2 of which head has been read.
func readProxy2(r io.Reader, head []byte) (remote, local net.Addr, err error) {
	head = head[:16]
	if _, err := io.ReadFull(r, head[15:]); err != nil {
		return nil, nil, err
	}
	// The length that it says is that of everything behind it, extras included, so that
	// extras need not be understood to be stepped over.
	command, family, size := head[12], head[13], int(binary.BigEndian.Uint16(head[14:]))
	if command != 0x20 && command != 0x21 || size > proxyMax {
		return nil, nil, errProxy
	}
	rest := make([]byte, size)
	if _, err := io.ReadFull(r, rest); err != nil {
		return nil, nil, err
	}
	length := map[byte]int{0x11: 4, 0x21: 16}[family]
	switch {
	case command == 0x20, length == 0: // LOCAL, or a family that has no ports
		return nil, nil, nil
	case len(rest) < 2*length+4: // it promises addresses and has no room for them
		return nil, nil, errProxy
	}
	addr := func(at, port int) net.Addr {
		ip, _ := netip.AddrFromSlice(rest[at : at+length])
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, binary.BigEndian.Uint16(rest[port:])))
	}
	return addr(0, 2*length), addr(length, 2*length+2), nil
}

// proxied reads the header that a trusted proxy must send, and reports whether
// the session may go on.
func (c *Conn) proxied() bool {
	if !among(c.policy.Proxies, c.remote) {
		return true
	}
	c.raw.SetReadDeadline(time.Now().Add(proxyWait))
	remote, local, err := readProxy(c.raw)
	if err != nil {
		c.server.log().Info("smtp: no PROXY header", "session", c.id, "remote", c.remote, "error", err)
		return false
	}
	c.raw.SetReadDeadline(time.Time{})
	if remote != nil { // else the balancer speaks for itself, as when it looks whether we live
		c.remote, c.local = remote, local
	}
	return true
}

// among tells whether a is of the peers that are trusted. An IPv4 address counts as one
// however the socket shows it (RFC 4291, 2.5.5.2), and a zone is of no account.
func among(trusted []netip.Prefix, a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	ip := tcp.AddrPort().Addr().Unmap()
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(ip.WithZone("")) })
}
