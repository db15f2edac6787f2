package smtp_test

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/postrider/postrider/smtp"
)

// Where an address leads to, and how it is spoken to there.

// Port 465 is TLS from the first octet, any other is not, where nothing else is said (RFC
// 8314, 3.3).
func TestPort465(t *testing.T) {
	config := serverTLS(t)
	implicit := serve(t, &smtp.Server{TLSConfig: config}, smtp.Policy{ImplicitTLS: true})
	clear := serve(t, &smtp.Server{TLSConfig: config}, smtp.Policy{})
	for addr, at := range map[string]string{"localhost:465": implicit, "localhost:587": clear, "localhost": clear} {
		d := &smtp.Dialer{TLSConfig: clientTLS(t, config), Hostname: "c.example.org"}
		d.NetDial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, at)
		}
		c, err := d.Dial(t.Context(), addr)
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		if c.TLS() == nil {
			t.Errorf("%s: no TLS", addr)
		}
		c.Close()
	}
}

// An address that begins with a slash is a socket of this machine, where TLS is not needed
// and LMTP mostly spoken.
func TestUnixSocketOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lmtp")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Skip("no unix sockets here: ", err)
	}
	var box mailbox
	srv := &smtp.Server{Handler: box.hooks()}
	var served sync.WaitGroup
	served.Go(func() { srv.Serve(smtp.Listener{Listener: l, Policy: smtp.Policy{LMTP: true}}) })
	tr := &smtp.Transport{Addr: path, Dialer: &smtp.Dialer{LMTP: true}}
	for range 2 {
		results, err := tr.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bob@example.net", "cy@example.net"), text("x\r\n"))
		if err != nil || len(results) != 2 || results[1].Reply.Code != 250 {
			t.Errorf("got %+v, %v", results, err)
		}
	}
	tr.Close()
	srv.Close()
	served.Wait()
	if n := len(box.all()); n != 2 {
		t.Errorf("%d messages arrived, want 2", n)
	}
}

// An address without a port is that of mail between hosts, or of LMTP; one of IPv6 may
// stand with its brackets or without.
func TestDefaultPorts(t *testing.T) {
	for addr, want := range map[string]string{"mx.example.com": "25", "192.0.2.1": "25", "[2001:db8::1]": "25", "2001:db8::1": "25", "mx.example.com:2525": "2525", "[2001:db8::1]:26": "26"} {
		for _, lmtp := range []bool{false, true} {
			want := want
			if lmtp && want == "25" {
				want = "24"
			}
			var got string
			d := &smtp.Dialer{LMTP: lmtp, NetDial: func(_ context.Context, network, addr string) (net.Conn, error) {
				_, got, _ = net.SplitHostPort(addr)
				return nil, net.ErrClosed
			}}
			if _, err := d.Dial(t.Context(), addr); got != want || classes(err) != "temporary" {
				t.Errorf("%s, LMTP %v: dialled port %s (%v), want %s", addr, lmtp, got, err, want)
			}
		}
	}
}
