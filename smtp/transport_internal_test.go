package smtp

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/time/rate"

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

// Who wants a fresh connection where all there may be are idle gets leave to make one in
// the place of one of them, and there are never more than MaxConns.
func TestFreshInPlaceOfIdle(t *testing.T) {
	tr := &Transport{MaxConns: 2}
	for range 2 {
		here, there := net.Pipe()
		defer here.Close()
		there.Close()
		tr.conns = append(tr.conns, &pooled{Client: newClient(new(Dialer), here, "")})
	}
	tr.mu.Lock()
	p, ok := tr.find(&lease{fresh: true})
	tr.mu.Unlock()
	if p != nil || !ok || len(tr.conns)+tr.dials != 2 {
		t.Errorf("got %v, %v, with %d connections and %d being made; want leave to make one of two", p, ok, len(tr.conns), tr.dials)
	}
	tr.begun.Wait()
}

// What is remembered of domains is bounded: those that have been silent are forgotten.
func TestDomainsForgotten(t *testing.T) {
	l := &RateLimit{PerDomain: 0.001, domains: map[string]*rate.Limiter{}}
	for i := range maxDomains {
		l.domain(strconv.Itoa(i))
	}
	busy := l.domain("busy.example")
	if n := len(l.domains); n != 1 {
		t.Errorf("%d domains are remembered, want the busy one alone", n)
	}
	if !busy.Allow() || busy.Allow() {
		t.Error("the limit is not that of a new domain")
	}
	for i := range maxDomains {
		l.domain(strconv.Itoa(i))
	}
	if l.domain("busy.example") != busy {
		t.Error("the busy one is forgotten, and may go on as if it had said nothing")
	}
}

// An enhanced code is one only in the form and the class that it must have; anything else
// is text (RFC 2034, 4; RFC 3463, 2).
func TestEnhanced(t *testing.T) {
	for text, want := range map[string]EnhancedCode{
		"5.1.1 no": "5.1.1", "5.1.1": "5.1.1", "5.123.456 no": "5.123.456", "5.0.0 ": "5.0.0",
		"": "", "5": "", "5.": "", "5.1": "", "5.1.": "", "5..1 no": "", "5.1.1.1 no": "", "5.1234.1 x": "", "5.1.1234 x": "", "5.123.4567": "",
		"2.1.1 no": "", "4.1.1 no": "", "5-1.1 no": "", "5.a.1 no": "", "5.1.-1 x": "", "5.1.1no": "", "x.1.1 no": "", " 5.1.1 no": "",
	} {
		if got, rest := parseEnhanced(550, text); got != want || want == "" && rest != text || want != "" && strings.HasPrefix(rest, "5") {
			t.Errorf("%q: got %q and %q, want %q", text, got, rest, want)
		}
	}
}

// A refusal for there being too many before says so by its enhanced code, whatever the
// code; without one 452, and 552 of servers of before RFC 5321, 4.5.3.1.10.
func TestTooMany(t *testing.T) {
	for _, c := range []struct {
		code     int
		enhanced EnhancedCode
		want     bool
	}{
		{452, "4.5.3", true}, {450, "4.5.3", true}, {550, "5.5.3", true}, {452, "", true}, {552, "", true},
		{452, "4.2.2", false}, {452, "4.3.1", false}, {552, "5.2.2", false}, {450, "", false}, {550, "", false}, {250, "", false},
	} {
		if got := tooMany(Reply{c.code, c.enhanced, ""}); got != c.want {
			t.Errorf("%d %s: got %v, want %v", c.code, c.enhanced, got, c.want)
		}
	}
}

// What a server queued a message as is told by itself, as the common ones have it.
func TestQueueID(t *testing.T) {
	for text, want := range map[string]string{
		"2.0.0 Ok: queued as 4XyZ12": "4XyZ12", "ok queued as abc.": "abc", "OK id=1u2V3w-0004": "1u2V3w-0004", "ok id=7, thank you": "7", "ok": "", "": "",
	} {
		if got := queueID(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
