package smtp

import (
	"net"
	"net/netip"
)

// The limits of a Server: their defaults, and who is counted against those that
// sessions share. The table of them all is Server's documentation.
//
// A limit that is not there is one that somebody sets for us: the machine's memory, or
// its patience. So zero stands for a default and not for none, and a caller who wants
// none says a number that nobody reaches.

func (s *Server) maxSize() int64 {
	if s.MaxSize != 0 {
		return s.MaxSize
	}
	return 50 << 20
}

func (s *Server) maxRecipients() int { return orInt(s.MaxRecipients, 1000) }

func (s *Server) maxMemory() int64 {
	if s.MaxMemory != 0 {
		return s.MaxMemory
	}
	return 64 << 20
}

func orInt(n, standard int) int {
	if n == 0 {
		return standard
	}
	return n
}

// admit counts c in, or tells why not. All refusals are temporary (RFC 5321, 3.8): it is
// the server's state that is in the way and nothing about the mail, which must be held
// and not bounced. The total comes first, because it protects this machine; the share of
// one address protects the others' part of it.
func (s *Server) admit(c *Conn) *Error {
	host := hostPrefix(c.remote)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state != serving:
		return errShuttingDown
	case len(s.conns) >= orInt(s.MaxConns, 10_000):
		return &Error{Code: 421, Enhanced: "4.3.2", Text: "too many sessions, try again later"}
	case host.IsValid() && s.hosts[host] >= orInt(s.MaxConnsPerHost, 50):
		return &Error{Code: 421, Enhanced: "4.7.0", Text: "too many sessions from your address"}
	}
	// Who is refused is not counted, or a flood would keep honest clients out by being
	// turned away.
	s.conns[c] = struct{}{}
	if c.host = host; host.IsValid() {
		s.hosts[host]++
	}
	return nil
}

// leave counts c out. An address that has no session left takes no memory either: there
// are more addresses than could be kept.
func (s *Server) leave(c *Conn) {
	host := c.host // its address may have changed since
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if host.IsValid() {
		if s.hosts[host]--; s.hosts[host] == 0 {
			delete(s.hosts, host)
		}
	}
	if s.state != serving && len(s.conns) == 0 {
		s.finished()
	}
}

// hostPrefix returns what sessions are counted by: an IPv4 address or an IPv6
// /64, which is the least that anybody is given, and within which an
// address costs nothing. It is invalid for loopback and for what is not TCP: programs of
// this machine share an address and are no strangers to each other.
func hostPrefix(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip, ok := netip.AddrFromSlice(tcp.IP)
	if ip = ip.Unmap(); !ok || ip.IsLoopback() {
		return netip.Prefix{}
	}
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.Prefix(bits)
	return p
}
