package smtp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
)

// Clients that take their time, and machines that have none left.

// proxyPeer makes a pipe's end one of TCP, from whom a header may be trusted.
type proxyPeer struct{ net.Conn }

func (proxyPeer) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9} }

// Whoever says an octet from time to time, or does not listen, gets no more time for it
// than whoever says nothing; the longest is that of a whole session. The clock is the
// test's own.
func TestDrippingClient(t *testing.T) {
	const half = "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
	secure := serverTLS(t)
	for name, c := range map[string]struct {
		policy smtp.Policy
		said   string
		drip   string // one octet of it each time; a whole line where it ends in one
		deaf   bool   // it hears nothing but the greeting
		last   string
		took   time.Duration
	}{
		"command":      {said: "NOOP\r\n", drip: "x", last: "421 4.4.2 nothing heard for too long\r\n", took: 5 * time.Minute},
		"AUTH":         {said: "EHLO x\r\nAUTH PLAIN\r\n", drip: "x", last: "421 4.4.2 nothing heard for too long\r\n", took: 5 * time.Minute},
		"DATA":         {said: half + "DATA\r\n", drip: "x\r\n", last: "421 4.4.2 the message did not arrive in time\r\n", took: 6 * time.Hour},
		"BDAT":         {said: half + "BDAT 9999 LAST\r\n", drip: "x", last: "421 4.4.2 the message did not arrive in time\r\n", took: 6 * time.Hour},
		"commands":     {said: "EHLO x\r\n", drip: "NOOP\r\n", last: "421 4.7.0 too many commands that lead to nothing\r\n", took: 200 * 29 * time.Second},
		"transactions": {said: "EHLO x\r\n", drip: half[8:] + "DATA\r\n.\r\n", last: "421 4.4.2 the session has lasted too long\r\n", took: 6 * time.Hour},
		"deaf":         {said: "NOOP\r\n", drip: "x", deaf: true, took: 3 * time.Minute},
		"STARTTLS":     {said: "EHLO x\r\nSTARTTLS\r\n", drip: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", last: "220 2.0.0 ready to start TLS\r\n", took: time.Minute},
		"TLS":          {policy: smtp.Policy{ImplicitTLS: true}, drip: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", took: time.Minute},
		"PROXY":        {policy: smtp.Policy{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, drip: "PROXY", took: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				srv := &smtp.Server{Handler: new(mailbox).hooks(), TLSConfig: secure, Logger: slog.New(slog.DiscardHandler), AllowInsecureAuth: true,
					OnAuth: func(context.Context, *smtp.Conn, string, string) error { return nil }}
				begin, took := time.Now(), make(chan time.Duration, 1)
				go func() {
					srv.ServeConn(proxyPeer{there}, c.policy)
					took <- time.Since(begin)
				}()
				heard := make(chan []byte, 1)
				go func() {
					if c.deaf {
						here.Read(make([]byte, 100))
						heard <- nil
						return
					}
					all, _ := io.ReadAll(here)
					heard <- all
				}()
				go func() {
					io.WriteString(here, c.said)
					for i := 0; ; i = (i + 1) % len(c.drip) {
						time.Sleep(29 * time.Second) // the test's own clock
						piece := c.drip[i : i+1]
						if strings.HasSuffix(c.drip, "\n") {
							piece = c.drip
						}
						if _, err := io.WriteString(here, piece); err != nil {
							return
						}
					}
				}()
				if got := <-took; got != c.took {
					t.Errorf("the session ended after %v, want %v", got, c.took)
				}
				here.Close()
				if got := <-heard; !strings.HasSuffix(string(got), c.last) {
					t.Errorf("got %q, want it to end in %q", got, c.last)
				}
				srv.Close()
				time.Sleep(time.Minute) // the writer finds out
			})
		})
	}
}

// A challenge has the time of a command of its own, however long the client had
// waited before AUTH.
func TestAuthHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		srv := &smtp.Server{AllowInsecureAuth: true, OnAuth: func(context.Context, *smtp.Conn, string, string) error { return nil }}
		go srv.ServeConn(there, smtp.Policy{})
		c := &rawClient{t, here, bufio.NewReader(here)}
		c.expect("220 ")
		c.say("EHLO x", "250")
		for _, line := range [][2]string{{"AUTH LOGIN", "334 "}, {"YW5u", "334 "}, {"c2VjcmV0", "235 "}} {
			time.Sleep(299 * time.Second) // the test's own clock
			c.say(line[0], line[1])
		}
		here.Close()
	})
}

// Names that a client asks for in TLS, of which nothing may come but a certificate or
// none (CVE-2019-15846 was a backslash at the end).
func TestOddNamesInTLS(t *testing.T) {
	var log lockedLog
	srv := &smtp.Server{TLSConfig: serverTLS(t), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	addr := serve(t, srv, smtp.Policy{ImplicitTLS: true})
	for _, name := range []string{
		"", "localhost", `mx.example.com\`, `\`, "../../etc/passwd", "a\x00b", "a\r\nSTARTTLS\r\n", "\xff\xfe", "${run{id}}", "' OR 1=1 --", strings.Repeat("a.", 8000),
	} {
		// 1.2 shows the name in clear, 1.3 too.
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			nc, err := tls.Dial("tcp", addr, &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
			if err != nil {
				t.Errorf("%.40q: %v", name, err)
				continue
			}
			rd := bufio.NewReader(nc)
			greeting, _ := rd.ReadString('\n')
			io.WriteString(nc, "NOOP\r\n")
			if reply, err := rd.ReadString('\n'); !strings.HasPrefix(greeting, "220 ") || !strings.HasPrefix(reply, "250 ") {
				t.Errorf("%.40q: got %q and %q, %v, want a session", name, greeting, reply, err)
			}
			nc.Close()
		}
	}
	if strings.ContainsAny(strings.ReplaceAll(log.String(), "\n", ""), "\x00\r") || strings.Contains(log.String(), "\nSTARTTLS") {
		t.Errorf("a name has broken a line of the log:\n%s", log.String())
	}
}

// A tiredListener has no descriptors for a while, and then one connection.
type tiredListener struct {
	net.Listener
	errs []error
	conn chan net.Conn
}

func (l *tiredListener) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: err}
	}
	nc, ok := <-l.conn
	if !ok {
		return nil, net.ErrClosed
	}
	return nc, nil
}

func (l *tiredListener) Close() error { return nil }

// A machine that has no descriptors left is waited for; a listener that is broken is
// told of.
func TestOutOfDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		l := &tiredListener{errs: []error{syscall.EMFILE, syscall.EMFILE, syscall.ECONNABORTED, syscall.EMFILE}, conn: make(chan net.Conn, 1)}
		l.conn <- there
		close(l.conn)
		var log lockedLog
		srv := &smtp.Server{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		begin, ended := time.Now(), make(chan error, 1)
		go func() { ended <- srv.Serve(l) }()
		c := &rawClient{t, here, bufio.NewReader(here)}
		c.expect("220 ")
		if took := time.Since(begin); took != 75*time.Millisecond {
			t.Errorf("the session began after %v, want 5 + 10 + 20 + 40 ms", took)
		}
		c.say("QUIT", "221 ")
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: got %v, want the listener's error", err)
		}
		if n := strings.Count(log.String(), "accept failed"); n != 4 {
			t.Errorf("got %d failures in the log, want 4:\n%s", n, log.String())
		}
	})
}
