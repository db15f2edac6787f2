package smtp_test

import (
	"io"
	"net"
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
