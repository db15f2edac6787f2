package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
)

// Shutdown ends idle sessions at once with 421 and others when their transaction
// has ended; no new session or transaction begins.
func TestShutdown(t *testing.T) {
	var box mailbox
	srv := &smtp.Server{Hostname: "mx", Handler: box.hooks()}
	addr := serve(t, srv, smtp.Policy{})
	idle, busy := raw(t, addr), raw(t, addr)
	idle.say("EHLO x", "250 HELP")
	busy.say("EHLO x", "250 HELP")
	busy.say("MAIL FROM:<a@b>", "250 2.1.0 sender ok")
	busy.say("RCPT TO:<c@d>", "250 2.1.5 recipient ok")
	done := make(chan error, 1)
	go func() { done <- srv.Shutdown(t.Context()) }()
	idle.expect("421 4.3.2 the server is shutting down")
	idle.end()
	busy.say("DATA", "354 go ahead")
	busy.say("Subject: last\r\n.", "250 2.0.0 ok")
	busy.expect("421 4.3.2 the server is shutting down")
	busy.end()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: got %v", err)
	}
	if len(box.all()) != 1 {
		t.Errorf("got %d messages, want 1", len(box.all()))
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("the server still listens")
	}
	if err := srv.Serve(fakeListener{}); err != smtp.ErrServerClosed {
		t.Errorf("Serve afterwards: got %v, want ErrServerClosed", err)
	}
}

// A transaction that comes behind a message in one write does not begin any more.
func TestShutdownInABatch(t *testing.T) {
	in, release := make(chan struct{}), make(chan struct{})
	var senders []string
	srv := &smtp.Server{Handler: &smtp.Hooks{
		OnSender: func(_ context.Context, _ *smtp.Conn, from string, _ *smtp.MailOptions) error {
			senders = append(senders, from)
			return nil
		},
		OnData: func(_ context.Context, _ *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
			io.Copy(io.Discard, r)
			close(in)
			<-release
			return "", nil
		},
	}}
	nc, err := net.Dial("tcp", serve(t, srv, smtp.Policy{}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "EHLO x\r\nMAIL FROM:<one@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\nMAIL FROM:<two@b>\r\nRCPT TO:<c@d>\r\n")
	<-in
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	srv.Shutdown(ctx) // has begun
	close(release)
	all, _ := io.ReadAll(nc)
	if !strings.HasSuffix(string(all), "250 2.0.0 ok\r\n421 4.3.2 the server is shutting down\r\n") || len(senders) != 1 {
		t.Errorf("got %q and the senders %q, want 421 to the second", all, senders)
	}
}

type fakeListener struct{ net.Listener }

func (fakeListener) Close() error { return nil }

// Shutdown gives up when its context ends; Close then ends what is left.
func TestShutdownContext(t *testing.T) {
	srv := &smtp.Server{Handler: new(mailbox).hooks()}
	c := raw(t, serve(t, srv, smtp.Policy{}))
	c.say("HELO x", "250 ")
	c.say("MAIL FROM:<a@b>", "250 ")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
	srv.Close()
	c.end()
}

// A rawClient says what it is told to, to a server that is greeted.
type rawClient struct {
	t *testing.T
	net.Conn
	rd *bufio.Reader
}

func raw(t *testing.T, addr string) *rawClient {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := &rawClient{t, nc, bufio.NewReader(nc)}
	c.expect("220 ")
	return c
}

func (c *rawClient) say(line, want string) {
	c.t.Helper()
	if _, err := io.WriteString(c, line+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
	c.expect(want)
}

// expect reads lines to the end of a reply, which must begin with want.
func (c *rawClient) expect(want string) {
	c.t.Helper()
	for {
		line, err := c.rd.ReadString('\n')
		if err != nil {
			c.t.Fatalf("got %q and %v, want %q", line, err, want)
		}
		if line[3] == ' ' {
			if !strings.HasPrefix(line, want) {
				c.t.Fatalf("got %q, want %q", line, want)
			}
			return
		}
	}
}

func (c *rawClient) end() {
	c.t.Helper()
	if line, err := c.rd.ReadString('\n'); err == nil {
		c.t.Errorf("got %q, want the end of the session", line)
	}
}

// Every wait of a session has its limit. The clock is the test's own.
func TestServerTimeouts(t *testing.T) {
	for name, c := range map[string]struct {
		said string
		want string
		wait time.Duration
	}{
		"command": {"EHLO x\r\n", "421 4.4.2 nothing heard for too long", 5 * time.Minute},
		"half":    {"EHLO x\r\nMAIL FROM:<", "421 4.4.2 nothing heard for too long", 5 * time.Minute},
		"data":    {"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n", "421 4.4.2 the message did not arrive in time", 3 * time.Minute},
		"chunk":   {"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 10 LAST\r\nSubj", "421 4.4.2 the message did not arrive in time", 3 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				var box mailbox
				srv := &smtp.Server{Handler: box.hooks()}
				begin := time.Now()
				go srv.ServeConn(there, smtp.Policy{})
				go io.WriteString(here, c.said)
				got, _ := io.ReadAll(here)
				if !strings.HasSuffix(string(got), c.want+"\r\n") {
					t.Errorf("got %q, want it to end in %q", got, c.want)
				}
				if took := time.Since(begin); took != c.wait {
					t.Errorf("took %v, want %v", took, c.wait)
				}
				if len(box.all()) != 0 {
					t.Error("half a message was delivered")
				}
				srv.Close()
			})
		})
	}
}

// A command that trickles in has the time of one command, not of each octet.
func TestTricklingCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		begin := time.Now()
		srv := new(smtp.Server)
		go srv.ServeConn(there, smtp.Policy{})
		go func() {
			for _, err := io.WriteString(here, "NOOP\r\n"); err == nil; _, err = io.WriteString(here, "x") {
				time.Sleep(29 * time.Second) // the test's own clock
			}
		}()
		got, _ := io.ReadAll(here)
		if took := time.Since(begin); took != 5*time.Minute || !strings.HasSuffix(string(got), "421 4.4.2 nothing heard for too long\r\n") {
			t.Errorf("got %q after %v, want 421 after 5 minutes", got, took)
		}
		srv.Close()
		here.Close()
		time.Sleep(time.Minute) // the writer finds out
	})
}

// A client that speaks before the greeting is refused where that is asked for.
func TestSpeaksBeforeTheGreeting(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("what comes before the greeting is noticed on Linux only")
	}
	spoken := make(chan struct{})
	srv := &smtp.Server{OnConnect: func(context.Context, *smtp.Conn) error { <-spoken; return nil }}
	for refuse, want := range map[bool]string{true: "554 5.5.0 ", false: "220 "} {
		nc, err := net.Dial("tcp", serve(t, srv, smtp.Policy{RefuseEarly: refuse}))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		io.WriteString(nc, "HELO x\r\n")
		spoken <- struct{}{}
		if line, err := bufio.NewReader(nc).ReadString('\n'); !strings.HasPrefix(line, want) {
			t.Errorf("RefuseEarly %v: got %q, %v, want %q", refuse, line, err, want)
		}
	}
}

// A session ends after MaxSession, however busy it is.
func TestMaxSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		begin := time.Now()
		srv := &smtp.Server{MaxSession: time.Hour}
		go srv.ServeConn(there, smtp.Policy{})
		go func() {
			for {
				if _, err := io.WriteString(here, "NOOP\r\n"); err != nil {
					return
				}
				time.Sleep(270 * time.Second) // the test's own clock
			}
		}()
		got, _ := io.ReadAll(here)
		if n := strings.Count(string(got), "250 2.0.0 ok"); n != 14 || time.Since(begin) != time.Hour || !strings.HasSuffix(string(got), "421 4.4.2 the session has lasted too long\r\n") {
			t.Errorf("got %d replies in %v, %q", n, time.Since(begin), got[max(0, len(got)-100):])
		}
		srv.Close()
		here.Close()
		time.Sleep(time.Hour) // the writer finds out
	})
}

// Sessions over the limit get 421; one that ends makes room.
func TestMaxConns(t *testing.T) {
	addr := serve(t, &smtp.Server{MaxConns: 2, MaxConnsPerHost: 1}, smtp.Policy{})
	a, _ := raw(t, addr), raw(t, addr) // loopback is exempt from MaxConnsPerHost
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if b, _ := io.ReadAll(nc); !strings.HasPrefix(string(b), "421 4.3.2 ") {
		t.Errorf("got %q, want 421 4.3.2", b)
	}
	a.say("QUIT", "221")
	a.end()
	raw(t, addr)
}

// Where TLS comes first a session over the limit is closed before the handshake, which
// would cost more than there is to spare.
func TestMaxConnsInTLS(t *testing.T) {
	nc, err := net.Dial("tcp", serve(t, &smtp.Server{MaxConns: -1, TLSConfig: serverTLS(t)}, smtp.Policy{ImplicitTLS: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(30 * time.Second))
	if all, err := io.ReadAll(nc); len(all) > 0 || err != nil {
		t.Errorf("got %q, %v, want the end at once", all, err)
	}
}

// OnConnect refuses with its own words, and anything else is 451.
func TestOnConnect(t *testing.T) {
	for want, err := range map[string]error{
		"554 5.7.1 not from there\r\n":            smtp.Errorf(554, "5.7.1", "not from there"),
		"451 4.3.0 local error in processing\r\n": fmt.Errorf("lookup failed"),
	} {
		addr := serve(t, &smtp.Server{OnConnect: func(_ context.Context, c *smtp.Conn) error {
			if c.RemoteAddr() == nil || c.ID() == "" {
				t.Error("no session")
			}
			return err
		}}, smtp.Policy{})
		nc, e := net.Dial("tcp", addr)
		if e != nil {
			t.Fatal(e)
		}
		if b, _ := io.ReadAll(nc); string(b) != want {
			t.Errorf("got %q, want %q", b, want)
		}
		nc.Close()
	}
}

// What a session knows of itself.
func TestConn(t *testing.T) {
	got := make(chan string, 1)
	srv := &smtp.Server{Handler: &smtp.Hooks{OnSender: func(_ context.Context, c *smtp.Conn, _ string, _ *smtp.MailOptions) error {
		got <- fmt.Sprint(c.Hello(), " ", c.Protocol(), " ", c.User(), " ", c.TLS() != nil)
		return nil
	}}, TLSConfig: serverTLS(t), OnAuth: func(context.Context, *smtp.Conn, string, string) error { return nil }}
	addr := serve(t, srv, smtp.Policy{})
	c := raw(t, addr)
	c.say("HELO one", "250")
	c.say("MAIL FROM:<>", "250")
	if s := <-got; s != "one SMTP  false" {
		t.Errorf("HELO: got %q", s)
	}
	c.say("EHLO two", "250")
	c.say("MAIL FROM:<>", "250")
	if s := <-got; s != "two ESMTP  false" {
		t.Errorf("EHLO: got %q", s)
	}
	d := dialer()
	d.TLS, d.TLSConfig, d.Auth = smtp.TLSStartTLS, clientTLS(t, srv.TLSConfig), password("ann", "secret")
	if _, err := dial(t, d, addr).Mail(t.Context(), "", nil); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "c.example.org ESMTPSA ann true" {
		t.Errorf("TLS and AUTH: got %q", s)
	}
}

// When the first chunk of a message is refused, those behind it are no message.
func TestRefusedChunk(t *testing.T) {
	var kept mailbox
	refused := false
	srv := &smtp.Server{Handler: kept.hooks(), OnCommand: func(_ context.Context, _ *smtp.Conn, verb, _ string) error {
		if verb == "BDAT" && !refused {
			refused = true
			return smtp.Errorf(450, "4.3.0", "not this one")
		}
		return nil
	}}
	c := raw(t, serve(t, srv, smtp.Policy{}))
	c.say("EHLO x", "250")
	c.say("MAIL FROM:<ann@example.com>", "250")
	c.say("RCPT TO:<bob@example.net>", "250")
	c.say("BDAT 14\r\nSubject: x\r\n", "450")
	c.say("BDAT 3 LAST\r\nx", "503")
	c.say("RSET", "250")
	c.say("MAIL FROM:<ann@example.com>", "250")
	c.say("RCPT TO:<bob@example.net>", "250")
	c.say("BDAT 3 LAST\r\ny", "250")
	if n := len(kept.all()); n != 1 {
		t.Errorf("%d messages are kept, want that of one whole chunk", n)
	}
}

// The trace of both sides shows every line, and no secret.
func TestTrace(t *testing.T) {
	var here, there lockedLog
	srv := &smtp.Server{Handler: new(mailbox).hooks(), AllowInsecureAuth: true, OnAuth: func(context.Context, *smtp.Conn, string, string) error { return nil },
		Trace: func(l smtp.Line) { fmt.Fprintln(&there, l.FromClient, l.Text) }}
	d := dialer()
	d.Auth = password("ann", "hunter2")
	d.Trace = func(l smtp.Line) { fmt.Fprintln(&here, l.FromClient, l.Text) }
	c := dial(t, d, serve(t, srv, smtp.Policy{}))
	if _, err := c.Send(t.Context(), toBob, text("Subject: private\r\n")); err != nil {
		t.Fatal(err)
	}
	c.Quit(t.Context())
	raw := raw(t, serve(t, srv, smtp.Policy{}))
	raw.say("EHLO x", "250")
	raw.say("AUTH LOGIN YW5u", "334")
	raw.say("aHVudGVyMg==", "235")
	for name, log := range map[string]string{"client": here.String(), "server": there.String()} {
		for _, want := range []string{"true EHLO c.example.org", "false 250-PIPELINING", "true AUTH PLAIN ***", "true MAIL FROM:<ann@example.com>", "true QUIT", "false 221 2.0.0 bye"} {
			if !strings.Contains(log, want) {
				t.Errorf("%s: %q is not in the trace:\n%s", name, want, log)
			}
		}
		for _, secret := range []string{"hunter2", "aHVudGVyMg", "AGFubgBodW50ZXIy", "private"} {
			if strings.Contains(log, secret) {
				t.Errorf("%s: %q is in the trace:\n%s", name, secret, log)
			}
		}
	}
}

// Credentials are not seen in any form in which a client may say them, and be refused: before
// AUTH is permitted, behind a mechanism that is not there, and as if nobody had refused it.
func TestTraceOfRefusedAuth(t *testing.T) {
	for said, want := range map[string]string{
		"AUTH LOGIN": "AUTH LOGIN|***|***|RSET|XYZ", "AUTH LOGIN YW5u": "AUTH LOGIN ***|***|***|RSET|XYZ", "auth Cram-MD5": "auth Cram-MD5|***|***|RSET|XYZ", "AUTH": "AUTH|***|***|RSET|XYZ",
		"AUTH\tPLAIN\tc2VjcmV0": "AUTH ***|***|***|RSET|XYZ", " AUTH PLAIN c2VjcmV0": " AUTH PLAIN ***|***|***|RSET|XYZ", "AUTH  PLAIN c2VjcmV0": "AUTH ***|***|***|RSET|XYZ",
		"AUTHPLAIN c2VjcmV0": "AUTH ***|***|***|RSET|XYZ", "AUTH=PLAIN c2VjcmV0": "AUTH ***|***|***|RSET|XYZ", "AUTH PLAIN=c2VjcmV0": "AUTH ***|***|***|RSET|XYZ", "AUTH c2VjcmV0c2VjcmV0c2VjcmV0": "AUTH ***|***|***|RSET|XYZ",
		"XAUTH": "XAUTH|c2VjcmV0|c2VjcmV0|RSET|XYZ",
	} {
		var log lockedLog
		srv := &smtp.Server{Trace: func(l smtp.Line) {
			if l.FromClient {
				fmt.Fprint(&log, l.Text, "|")
			}
		}}
		c := raw(t, serve(t, srv, smtp.Policy{}))
		for _, line := range []string{said, "c2VjcmV0", "c2VjcmV0"} {
			c.say(line, "50")
		}
		c.say("RSET", "250")
		c.say("XYZ", "500")
		if got := strings.TrimSuffix(log.String(), "|"); got != want {
			t.Errorf("%q: the trace is %q, want %q", said, got, want)
		}
	}
}

// The reply to a failed AUTH waits twice as long each time.
func TestFailedAuthIsSlowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		srv := &smtp.Server{AllowInsecureAuth: true, OnAuth: func(context.Context, *smtp.Conn, string, string) error { return smtp.Errorf(535, "5.7.8", "no") }}
		go srv.ServeConn(there, smtp.Policy{})
		c := &rawClient{t, here, bufio.NewReader(here)}
		c.expect("220 ")
		c.say("EHLO x", "250")
		for i := range 5 {
			begin := time.Now()
			c.say("AUTH PLAIN AGFubgB3cm9uZw==", "535 5.7.8")
			if took, want := time.Since(begin), 250*time.Millisecond<<i; took != want {
				t.Errorf("failure %d: told after %v, want %v", i+1, took, want)
			}
		}
		c.expect("421 4.7.0 ")
		here.Close()
	})
}

// A server listens on a unix socket too, where nobody has an address.
func TestUnixSocket(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "smtp"))
	if err != nil {
		t.Skip("no unix sockets here: ", err)
	}
	var field string
	srv := &smtp.Server{Hostname: "mx", MaxConnsPerHost: 1, Handler: &smtp.Hooks{OnData: func(_ context.Context, c *smtp.Conn, env *smtp.Envelope, r io.Reader) (string, error) {
		field = c.Received("Q1", env.To...)
		_, err := io.Copy(io.Discard, r)
		return "Q1", err
	}}}
	go srv.Serve(smtp.Listener{Listener: l, Policy: smtp.Policy{LMTP: true}})
	defer srv.Close()
	other, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	nc, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d := dialer()
	d.LMTP = true
	c, err := d.Client(t.Context(), nc)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	results, err := c.Send(t.Context(), toBob, text("x\r\n"))
	if err != nil || results[0].ID != "Q1" {
		t.Errorf("got %+v, %v, want it queued as Q1", results, err)
	}
	if want := "Received: from c.example.org (local)\r\n\tby mx with LMTP id Q1\r\n\tfor <bob@example.net>;\r\n\t"; !strings.HasPrefix(field, want) {
		t.Errorf("got %q, want it to begin with %q", field, want)
	}
}

// An address may be that of a socket in the file system.
func TestListenAndServeOnASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "smtp")
	srv := &smtp.Server{Handler: discard()}
	served := make(chan error, 1)
	go func() { served <- srv.ListenAndServe("unix:" + path) }()
	var nc net.Conn
	for err := errors.New("not yet"); err != nil; runtime.Gosched() {
		nc, err = net.Dial("unix", path)
	}
	defer nc.Close()
	if line, err := bufio.NewReader(nc).ReadString('\n'); err != nil || !strings.HasPrefix(line, "220 ") {
		t.Errorf("got %q and %v, want a greeting", line, err)
	}
	srv.Close()
	if err := <-served; err != smtp.ErrServerClosed {
		t.Errorf("got %v, want ErrServerClosed", err)
	}
}
