package smtp_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/smtp"
)

// plainListener hides that its connections are of TCP.
type plainListener struct{ net.Listener }

func (l plainListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return struct{ net.Conn }{nc}, err
}

// A client with Nagle's algorithm (RFC 9293, 3.7.4) that writes a message in small pieces does not wait for an
// acknowledgement that the kernel holds back, as it does for a server that cannot ask for it.
func TestQuickAcknowledgements(t *testing.T) {
	took := func(wrap func(net.Listener) net.Listener) time.Duration {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := &smtp.Server{Handler: discard()}
		go srv.Serve(wrap(l))
		defer srv.Close()
		c := raw(t, l.Addr().String())
		c.Conn.(*net.TCPConn).SetNoDelay(false)
		c.say("EHLO client.example.org", "250")
		begin := time.Now()
		for range 10 {
			c.say("MAIL FROM:<ann@example.com>", "250")
			c.say("RCPT TO:<bob@example.net>", "250")
			c.say("DATA", "354")
			for _, piece := range []string{"Subject: x\r\n", "\r\n", "text\r\n"} {
				io.WriteString(c, piece)
			}
			c.say(".", "250")
		}
		return time.Since(begin)
	}
	quick := took(func(l net.Listener) net.Listener { return l })
	plain := took(func(l net.Listener) net.Listener { return plainListener{l} })
	if plain < 4*quick {
		t.Errorf("10 messages took %v, and %v without acknowledgements, want less by far", quick, plain)
	}
}

// Replies wait for as long as the client is sending, and no longer: one that has said how many octets follow, and
// sends them only when it knows its recipients (RFC 3030, 4.2 has it not wait), hears of them before.
func TestRepliesWaitForTheClient(t *testing.T) {
	c := raw(t, serve(t, &smtp.Server{Handler: discard()}, smtp.Policy{}))
	c.say("EHLO client.example.org", "250")
	envelope, chunk := "MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.net>\r\nBDAT 8192 LAST\r\n", strings.Repeat("0123456789abcd\r\n", 512)
	heard := func(what string, want int) {
		t.Helper()
		b := make([]byte, 1<<10)
		n, err := c.Conn.Read(b)
		if got := bytes.Count(b[:n], []byte("250 ")); got != want || err != nil {
			t.Errorf("%s: got %q and %v, want %d replies", what, b[:n], err, want)
		}
	}
	io.WriteString(c, envelope+chunk)
	heard("all at once", 3)
	io.WriteString(c, envelope)
	heard("the envelope", 2)
	io.WriteString(c, chunk)
	heard("the chunk", 1)
}
