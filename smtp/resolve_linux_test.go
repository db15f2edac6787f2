package smtp_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/smtp"
)

// An address that takes no connection and refuses none, as behind a firewall that drops
// what comes, does not hold up the one that does: both are tried at once (RFC 8305).
func TestHappyEyeballs(t *testing.T) {
	var box mailbox
	addr := serve(t, &smtp.Server{Handler: box.hooks()}, smtp.Policy{})
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", net.JoinHostPort("::1", port))
	if err != nil {
		t.Log("an address that does not answer is none that this host lacks: ", err)
		return
	}
	defer silent.Close()
	// Linux drops what comes where one connection more waits than the backlog is long.
	raw, err := silent.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	full, err := net.Dial("tcp", silent.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()

	resolve(t, "::1", "127.0.0.1")
	// One after the other, the first would have half of the time.
	d := dialer()
	d.Timeouts.Dial = 40 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), d.Timeouts.Dial/2)
	defer cancel()
	alone := make(chan struct{})
	go func() {
		defer close(alone)
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp", silent.Addr().String()); err == nil {
			conn.Close()
			t.Error("the silent address has answered")
		}
	}()
	c := dial(t, d, net.JoinHostPort("mx.example.com", port))
	select {
	case <-alone:
		t.Error("who tried the silent address alone was done before")
	default:
	}
	cancel()
	<-alone
	if _, err := c.Send(t.Context(), toBob, text("x\r\n")); err != nil || len(box.all()) != 1 {
		t.Errorf("got %v, and %d messages arrived, want 1", err, len(box.all()))
	}
}
