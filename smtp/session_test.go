package smtp_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// What a session does at the edges of its rules.

// piped returns a client of srv over a pipe, greeted, on the test's own clock.
func piped(t *testing.T, srv *smtp.Server, p smtp.Policy) *rawClient {
	t.Helper()
	here, there := net.Pipe()
	go srv.ServeConn(there, p)
	t.Cleanup(func() { here.Close() })
	c := &rawClient{t, here, bufio.NewReader(here)}
	c.expect("220 ")
	return c
}

// lines says a command and returns the lines of the reply.
func (c *rawClient) lines(line string) (all []string) {
	c.t.Helper()
	if _, err := io.WriteString(c, line+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
	for {
		s, err := c.rd.ReadString('\n')
		if err != nil {
			c.t.Fatalf("after %q: got %q and %v", line, all, err)
		}
		if all = append(all, s); s[3] == ' ' {
			return all
		}
	}
}

// A session is counted as what it was when it came, whoever it says that it speaks for.
func TestCountedAsItCame(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	everybody := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	addr := serve(t, &smtp.Server{MaxConnsPerHost: 1}, smtp.Policy{Proxies: loopback, Trusted: everybody})
	session := func(from, say string) string {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		io.WriteString(nc, "PROXY TCP4 "+from+" 192.0.2.99 1000 25\r\n"+say)
		all, _ := io.ReadAll(nc)
		return string(all)
	}
	if got := session("192.0.2.1", "EHLO x\r\nXCLIENT ADDR=192.0.2.2\r\nQUIT\r\n"); strings.Count(got, "220 ") != 2 {
		t.Fatalf("got %q, want a second greeting", got)
	}
	for _, from := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.1"} {
		if got := session(from, "QUIT\r\n"); !strings.HasPrefix(got, "220 ") {
			t.Errorf("%s, when no session is left: got %q, want 220", from, got)
		}
	}
}

// A line of a reply has 512 octets, whatever a handler says (RFC 5321, 4.5.3.1.5).
func TestReplyLines(t *testing.T) {
	long := strings.Repeat("x", 2000)
	srv := &smtp.Server{
		OnVerify: func(_ context.Context, _ *smtp.Conn, name string) (string, error) {
			if name == "error" {
				return "", smtp.Errorf(550, "5.1.1", "%s\n%s\r\n250 ok", long, long)
			}
			return "<" + long + "@example.com>", nil
		},
		OnExpand: func(context.Context, *smtp.Conn, string) ([]string, error) {
			return []string{long, "a\r\n250 b", long}, nil
		},
	}
	c := raw(t, serve(t, srv, smtp.Policy{}))
	for command, want := range map[string]int{"VRFY ann": 1, "VRFY error": 3, "EXPN list": 3} {
		all := c.lines(command)
		for _, line := range all {
			if len(line) > 512 || strings.Count(line, "\r") != 1 || line[:3] != all[0][:3] {
				t.Errorf("%s: got a line of %d octets, %.60q, want at most 512 of one reply", command, len(line), line)
			}
		}
		if len(all) != want {
			t.Errorf("%s: got %d lines, want %d", command, len(all), want)
		}
	}
}

// A handler's 421 ends the session as the server's own does (RFC 5321, 3.8).
func TestHandlerEndsTheSession(t *testing.T) {
	closing := smtp.Errorf(421, "4.3.2", "come again tomorrow")
	for name, hooks := range map[string]*smtp.Hooks{
		"MAIL FROM:<a@b>\r\n":                  {OnSender: func(context.Context, *smtp.Conn, string, *smtp.MailOptions) error { return closing }},
		"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n": {OnRcpt: func(context.Context, *smtp.Conn, string, *smtp.RcptOptions) error { return closing }},
		"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n": {OnData: func(_ context.Context, _ *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
			io.Copy(io.Discard, r)
			return "", closing
		}},
	} {
		nc, err := net.Dial("tcp", serve(t, &smtp.Server{Handler: hooks}, smtp.Policy{}))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(nc, "EHLO x\r\n"+name+"NOOP\r\n")
		all, _ := io.ReadAll(nc)
		if !strings.HasSuffix(string(all), "421 4.3.2 come again tomorrow\r\n") {
			t.Errorf("%q: got %q, want it to end in the handler's 421", name, all)
		}
		nc.Close()
	}
}

// AUTH is announced until it has been done, and OnCommand is told of it, but not what was
// said behind the mechanism.
func TestAuthIsToldOf(t *testing.T) {
	var heard []string
	srv := &smtp.Server{
		AllowInsecureAuth: true, SASL: &sasl.Verifier{Anonymous: func(context.Context, string) error { return nil }},
		OnAuth: func(context.Context, *smtp.Conn, string, string) error { return nil },
		OnCommand: func(_ context.Context, _ *smtp.Conn, verb, arg string) error {
			heard = append(heard, verb+" "+arg)
			return nil
		},
	}
	c := raw(t, serve(t, srv, smtp.Policy{}))
	if all := strings.Join(c.lines("EHLO x"), ""); !strings.Contains(all, "AUTH ") {
		t.Errorf("before: got %q, want AUTH announced", all)
	}
	c.say("AUTH PLAIN AGFubgBzZWNyZXQ=", "235")
	if all := strings.Join(c.lines("EHLO x"), ""); strings.Contains(all, "AUTH ") {
		t.Errorf("after: got %q, want AUTH no longer announced", all)
	}
	if want := "[EHLO x AUTH PLAIN EHLO x]"; fmt.Sprint(heard) != want {
		t.Errorf("OnCommand: got %v, want %s", heard, want)
	}
	// An empty initial response is "=" (RFC 4954, 4).
	c = raw(t, serve(t, srv, smtp.Policy{}))
	c.say("EHLO x", "250")
	c.say("AUTH ANONYMOUS =", "235")
}

// Whoever waits for the reply to a failed AUTH does not keep the server from closing.
func TestCloseWhileAuthWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &smtp.Server{AllowInsecureAuth: true, OnAuth: func(context.Context, *smtp.Conn, string, string) error { return sasl.ErrRefused }}
		c := piped(t, srv, smtp.Policy{})
		c.say("EHLO x", "250")
		for range 3 {
			c.say("AUTH PLAIN AGFubgBzZWNyZXQ=", "535 ")
		}
		begin := time.Now()
		io.WriteString(c, "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n")
		synctest.Wait() // it waits now, for two seconds
		srv.Close()
		c.end()
		synctest.Wait() // the session has ended, or waits on
		if srv.Shutdown(t.Context()); time.Since(begin) != 0 {
			t.Errorf("the session ended %v after Close, want it to end at once", time.Since(begin))
		}
	})
}

// Who an unauthenticated client says has submitted a message is worth nothing, and is not
// passed on (RFC 4954, 5).
func TestRelayBelievesNobody(t *testing.T) {
	for _, login := range []string{"", "AUTH PLAIN AGFubgBzZWNyZXQ="} {
		s := &recorder{}
		srv := &smtp.Server{Handler: smtp.Relay(s), AllowInsecureAuth: true, OnAuth: func(context.Context, *smtp.Conn, string, string) error { return nil }}
		c := raw(t, serve(t, srv, smtp.Policy{}))
		c.say("EHLO x", "250")
		want := ""
		if login != "" {
			c.say(login, "235")
			want = "eve@example.com"
		}
		c.say("MAIL FROM:<ann@example.com> AUTH=eve@example.com", "250")
		c.say("RCPT TO:<bob@example.net>", "250")
		c.say("DATA", "354")
		c.say("Subject: x\r\n.", "250")
		if got := s.env.Options.Auth; got != want {
			t.Errorf("login %q: passed on AUTH=%q, want %q", login, got, want)
		}
	}
}

// One Server has several ports, each with its own policy, and Shutdown ends them all.
func TestListenersOfOneServer(t *testing.T) {
	var box mailbox
	srv := quiet(&smtp.Server{Handler: box.hooks()})
	strict, normalize, lmtp := serve(t, srv, smtp.Policy{}), serve(t, srv, smtp.Policy{Profile: smtp.Normalize}), serve(t, srv, smtp.Policy{LMTP: true})
	closed := serve(t, srv, smtp.Policy{RequireTLS: true})
	for addr, want := range map[string]string{strict: "554 5.6.0", normalize: "250 2.0.0", closed: "530 5.7.0"} {
		c := raw(t, addr)
		c.say("EHLO c.example.org", "250")
		if addr != closed {
			c.say("MAIL FROM:<ann@example.com>", "250")
			c.say("RCPT TO:<bob@example.net>", "250")
			c.say("DATA", "354")
			c.say("a\nb\r\n.", want)
		} else {
			c.say("MAIL FROM:<ann@example.com>", want)
		}
		c.Close() // a session that has ended waits for it
	}
	raw(t, lmtp).say("LHLO c.example.org", "250")
	if got := box.all(); len(got) != 1 || got[0].data != "a\r\nb\r\n" {
		t.Errorf("got %+v, want the message that was repaired", got)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	for _, addr := range []string{strict, normalize, lmtp, closed} {
		if nc, err := net.Dial("tcp", addr); err == nil {
			nc.Close()
			t.Errorf("%s is still open", addr)
		}
	}
}

// counting is a connection that counts what is written to it.
type counting struct {
	net.Conn
	writes atomic.Int32
}

func (c *counting) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// What comes in one write is answered in one (RFC 2920, 3.2).
func TestRepliesInOneWrite(t *testing.T) {
	here, there := net.Pipe()
	counted := &counting{Conn: there}
	go (&smtp.Server{Handler: new(mailbox).hooks()}).ServeConn(counted, smtp.Policy{})
	defer here.Close()
	c := &rawClient{t, here, bufio.NewReader(here)}
	c.expect("220 ")
	c.say("EHLO c.example.org", "250")
	before := counted.writes.Load()
	c.say("MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.net>\r\nRCPT TO:<eve@example.net>\r\nNOOP\r\nDATA", "250 2.1.0")
	for _, want := range []string{"250 2.1.5", "250 2.1.5", "250 2.0.0", "354 "} {
		c.expect(want)
	}
	if n := counted.writes.Load() - before; n != 1 {
		t.Errorf("five replies came in %d writes, want one", n)
	}
}
