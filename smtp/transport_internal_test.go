package smtp

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/postrider/postrider/internal/peers"
)

// A lateContext has ended when it is asked, and something happens just before.
type lateContext struct {
	context.Context
	before func()
}

func (c lateContext) Done() <-chan struct{} {
	c.before()
	return c.Context.Done()
}

// What was given to somebody at the moment of giving up is free again: the connection, and
// the leave to make one. Which of the two comes first is chance.
func TestGivenTooLate(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	tr := &Transport{MaxConns: 1, Window: 1}
	p := &pooled{Client: newClient(new(Dialer), here, "")}
	given := map[bool]int{}
	for range 100 {
		tr.dials = 1 // somebody else makes one, and fails
		got, err := tr.wait(lateContext{ended, func() {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			tr.dials--
			tr.assign()
		}}, new(lease))
		if given[err == nil]++; err == nil && (got != nil || tr.dials != 1) || err != nil && tr.dials != 0 {
			t.Fatalf("leave to make one: got %v, %v, and %d connections are being made", got, err, tr.dials)
		}
	}
	tr.dials, tr.conns = 0, []*pooled{p}
	for range 100 {
		p.users = 1 // somebody else has it, and is done
		got, err := tr.wait(lateContext{ended, func() { tr.put(p) }}, new(lease))
		if given[err == nil]++; err == nil && (got != p || p.users != 1) || err != nil && p.users != 0 {
			t.Fatalf("a connection: got %v, %v, and it has %d users", got, err, p.users)
		}
	}
	p.expiry.Stop()
	if given[true] == 0 || given[false] == 0 {
		t.Errorf("given and given up: %v, want some of both", given)
	}
}

// A connection that the server has ended, or on which it has said something unasked, is
// found dead before anything is said on it; within TLS, what there is to read may be TLS's
// own.
func TestAlive(t *testing.T) {
	for name, c := range map[string]struct {
		server func(net.Conn)
		alive  bool
		inTLS  bool
	}{
		"left alone":  {func(net.Conn) {}, true, true},
		"421":         {func(nc net.Conn) { io.WriteString(nc, "421 4.3.2 going down\r\n") }, false, false},
		"closed":      {func(nc net.Conn) { nc.Close() }, false, false},
		"half closed": {func(nc net.Conn) { nc.(*net.TCPConn).CloseWrite() }, false, false},
	} {
		for _, secure := range []bool{false, true} {
			here, there := Connection(t)
			want, conn := c.alive, here
			if secure {
				want = c.inTLS
				served := tls.Server(there, &tls.Config{Certificates: []tls.Certificate{testCertificate(t)}})
				secured := tls.Client(here, &tls.Config{InsecureSkipVerify: true})
				handshaken := make(chan error, 1)
				go func() { handshaken <- served.Handshake() }()
				if err := secured.Handshake(); err != nil {
					t.Fatal(err)
				}
				if err := <-handshaken; err != nil {
					t.Fatal(err)
				}
				conn = secured
			}
			client := newClient(new(Dialer), conn, "")
			if !client.alive() {
				t.Errorf("%s, TLS %v: it is dead from the beginning", name, secure)
			}
			c.server(there)
			// What the server does takes its way through the kernel.
			peers.Until(t, fmt.Sprintf("%s, TLS %v: alive is %v", name, secure, want), func() bool { return client.alive() == want })
		}
	}
}

// Who has no name says its address.
func TestAddressLiteral(t *testing.T) {
	for want, a := range map[string]net.Addr{
		"[192.0.2.1]":        &net.TCPAddr{IP: net.ParseIP("192.0.2.1")}, // of 16 octets
		"[192.0.2.2]":        &net.TCPAddr{IP: net.IP{192, 0, 2, 2}},
		"[IPv6:2001:db8::1]": &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Zone: "eth0"},
		"localhost":          &net.UnixAddr{Name: "/run/mail", Net: "unix"},
	} {
		if got := addressLiteral(a); got != want {
			t.Errorf("%v: got %q, want %q", a, got, want)
		}
		if checkHello(want) != nil {
			t.Errorf("%q cannot be said", want)
		}
	}
}
