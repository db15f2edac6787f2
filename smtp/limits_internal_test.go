package smtp

import (
	"net"
	"testing"
)

// An address has its share again, and no more, when one of its sessions ends.
func TestAdmit(t *testing.T) {
	s := &Server{MaxConnsPerHost: 2}
	if _, err := s.open(nil); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	from := func(ip string) *Conn { return &Conn{remote: &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}} }
	var in []*Conn
	for i, c := range []struct {
		ip    string
		leave int // the session that ends before; -1: none
		want  bool
	}{
		{"2001:db8::1", -1, true}, {"2001:db8::2", -1, true}, {"2001:db8::3", -1, false}, // one /64
		{"2001:db8:0:1::1", -1, true},
		{"2001:db8::4", 0, true}, {"2001:db8::5", -1, false},
		{"192.0.2.1", -1, true},
	} {
		if c.leave >= 0 {
			s.leave(in[c.leave])
		}
		conn := from(c.ip)
		err := s.admit(conn)
		if in = append(in, conn); (err == nil) != c.want {
			t.Errorf("session %d, from %s: got %v, want it admitted: %v", i, c.ip, err, c.want)
		}
	}
	for _, i := range []int{1, 3, 4, 6} {
		s.leave(in[i])
	}
	if len(s.hosts) != 0 || len(s.conns) != 0 {
		t.Errorf("when all have left: %d addresses and %d sessions are still counted", len(s.hosts), len(s.conns))
	}
}
