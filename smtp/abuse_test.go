package smtp_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
)

// Handlers that do what they should not: whatever it is, a session stays in step with its
// client, or ends.

// quiet is a server that tells nobody of its faults.
func quiet(srv *smtp.Server) *smtp.Server {
	srv.Logger = slog.New(slog.DiscardHandler)
	return srv
}

// A Handler that leaves a goroutine behind in the reading of the message does not share
// the connection with it: what the client says next is the session's alone.
func TestReaderLeftBehind(t *testing.T) {
	for _, read := range map[string]func(io.Reader) error{
		"Read":    func(r io.Reader) error { _, err := io.ReadFull(r, make([]byte, 1<<20)); return err },
		"WriteTo": func(r io.Reader) error { _, err := r.(io.WriterTo).WriteTo(io.Discard); return err },
	} {
		for _, profile := range []smtp.Profile{smtp.Strict, smtp.Normalize} {
			for _, verb := range []string{"DATA", "BDAT"} {
				left := make(chan error, 1)
				srv := quiet(&smtp.Server{Handler: &smtp.Hooks{OnData: func(_ context.Context, _ *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
					begun := make(chan struct{})
					go func() {
						io.ReadFull(r, make([]byte, 4))
						close(begun)
						left <- read(r)
					}()
					<-begun
					return "", smtp.Errorf(550, "5.7.1", "not this one")
				}}})
				c := raw(t, serve(t, srv, smtp.Policy{Profile: profile}))
				c.say("EHLO c.example.org", "250")
				c.say("MAIL FROM:<ann@example.com>", "250")
				c.say("RCPT TO:<bob@example.net>", "250")
				if verb == "DATA" {
					c.say("DATA", "354")
					io.WriteString(c, "one\r\n")
					c.say("two\r\n..\r\n.\r\nNOOP", "550 5.7.1")
					c.expect("250 2.0.0")
				} else {
					io.WriteString(c, "BDAT 10 LAST\r\none\r\n")
					c.say("two\r\nNOOP", "550 5.7.1")
					c.expect("250 2.0.0")
				}
				c.say("QUIT", "221")
				<-left
			}
		}
	}
}

// A Handler that ends its goroutine ends its session, which nobody then waits for.
func TestGoexit(t *testing.T) {
	h := &lives{rcpt: func(context.Context, string) error { runtime.Goexit(); return nil }}
	srv := quiet(&smtp.Server{Handler: h})
	c := raw(t, serve(t, srv, smtp.Policy{}))
	c.say("EHLO c.example.org", "250")
	c.say("MAIL FROM:<ann@example.com>", "250")
	io.WriteString(c, "RCPT TO:<bob@example.net>\r\n")
	if b, err := io.ReadAll(c.rd); len(b) > 0 || err != nil {
		t.Errorf("got %q and %v, want the end of the connection", b, err)
	}
	ended(t, h.last(), "Goexit")
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// A panic in any function of the user's ends that session alone.
func TestPanicsElsewhere(t *testing.T) {
	config := serverTLS(t)
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { panic("GetConfigForClient") }
	for name, srv := range map[string]*smtp.Server{
		"TLSConfig": {TLSConfig: config},
		"Trace": {Trace: func(l smtp.Line) {
			if l.Text == "STARTTLS" {
				panic("Trace")
			}
		}},
		"OnConnect": {OnConnect: func(context.Context, *smtp.Conn) error { panic("OnConnect") }},
		"OnCommand": {OnCommand: func(context.Context, *smtp.Conn, string, string) error { panic("OnCommand") }},
	} {
		addr := serve(t, quiet(srv), smtp.Policy{})
		for range 2 {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, "EHLO c.example.org\r\nSTARTTLS\r\n")
			tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).Handshake()
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn)
			conn.Close()
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Errorf("%s: Shutdown: %v", name, err)
		}
	}
}

// What a Handler puts into a refusal is one reply, whatever it holds.
func TestRefusalIsOneReply(t *testing.T) {
	for _, e := range []*smtp.Error{
		{Code: 550, Enhanced: "5.1.1\r\n250 ok", Text: "x"}, {Code: 550, Enhanced: "5.1.1 x", Text: "x"}, {Code: 550, Enhanced: "none", Text: "x"},
		{Code: 550, Enhanced: "5.1000.1000", Text: "x"}, {Code: 550, Text: "x\r\n250 ok\r"}, {Code: 550, Text: strings.Repeat("x", 1000)},
	} {
		srv := quiet(&smtp.Server{Handler: &smtp.Hooks{OnSender: func(context.Context, *smtp.Conn, string, *smtp.MailOptions) error { return e }}})
		c := raw(t, serve(t, srv, smtp.Policy{}))
		c.say("EHLO c.example.org", "250")
		want := "550 5.0.0 "
		if strings.Contains(e.Text, "\n") {
			want = "550-5.0.0 "
		}
		io.WriteString(c, "MAIL FROM:<ann@example.com>\r\nQUIT\r\n")
		b, _ := io.ReadAll(c.rd)
		lines := strings.Split(string(b), "\r\n")
		if !strings.HasPrefix(lines[0], want) || !strings.HasPrefix(lines[len(lines)-2], "221 ") || strings.Contains(string(b), "\r\n250") {
			t.Errorf("%+v: got %q, want one reply that begins with %s", e, b, want)
		}
		for _, line := range lines {
			if len(line) > 510 {
				t.Errorf("%+v: got a line of %d octets", e, len(line))
			}
		}
	}
}

// OnCommand is asked between chunks as elsewhere. A chunk that it refuses is taken and
// missing, so that the message is given up.
func TestCommandsBetweenChunks(t *testing.T) {
	var asked []string
	delivered := 0
	srv := quiet(&smtp.Server{
		OnCommand: func(_ context.Context, _ *smtp.Conn, verb, arg string) error {
			asked = append(asked, verb+" "+arg)
			if arg == "6" || arg == "no" {
				return smtp.Errorf(452, "4.3.1", "not now")
			}
			return nil
		},
		Handler: &smtp.Hooks{OnData: func(_ context.Context, _ *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
			_, err := io.Copy(io.Discard, r)
			if err == nil {
				delivered++
			}
			return "", err
		}},
	})
	c := raw(t, serve(t, srv, smtp.Policy{}))
	c.say("EHLO c.example.org", "250")
	c.say("MAIL FROM:<ann@example.com>", "250")
	c.say("RCPT TO:<bob@example.net>", "250")
	c.say("BDAT 5\r\none", "250")
	c.say("NOOP no", "452 4.3.1")
	c.say("NOOP", "250")
	c.say("BDAT 6\r\nRSET\r\nBDAT 7 LAST\r\nthree", "452 4.3.1")
	c.expect("503 5.5.1")
	c.say("MAIL FROM:<ann@example.com>", "250")
	c.say("QUIT", "221")
	if got := strings.Join(asked, ", "); delivered > 0 || !strings.Contains(got, "BDAT 5, NOOP no, NOOP , BDAT 6, BDAT 7 LAST") {
		t.Errorf("delivered %d, asked %s", delivered, got)
	}
}

// Chunks of 1 KiB may be as many as they like, as a message of any size may come in them; smaller ones count as the commands
// that they are, but for the last one, with which the message is over.
func TestManyChunks(t *testing.T) {
	for _, c := range []struct {
		size int
		last string
		want string
	}{{1 << 10, "", "250"}, {1<<10 - 1, "", "421 4.7.0"}, {1<<10 - 1, " LAST", "250"}} {
		const most = 5 // EHLO, MAIL, RCPT and the first BDAT are four of them
		client := raw(t, serve(t, quiet(&smtp.Server{MaxCommands: most, Handler: &smtp.Hooks{OnData: func(_ context.Context, _ *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
			_, err := io.Copy(io.Discard, r)
			return "", err
		}}}), smtp.Policy{}))
		client.say("EHLO c.example.org", "250")
		client.say("MAIL FROM:<ann@example.com>", "250")
		client.say("RCPT TO:<bob@example.net>", "250")
		text := strings.Repeat("x", 1<<10)
		for range 10 {
			client.say("BDAT 1024\r\n"+text[:1<<10-2], "250") // say adds the CRLF that the chunk ends in
		}
		client.say(fmt.Sprintf("BDAT %d\r\n", 1<<10-1)+text[:1<<10-3], "250") // the fifth
		client.say(fmt.Sprintf("BDAT %d%s\r\n", c.size, c.last)+text[:c.size-2], c.want)
	}
}

// After a Handler that took long the client has the time of a command again, and no more.
func TestPatienceAfterSlowHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		srv := quiet(&smtp.Server{Handler: &smtp.Hooks{OnSender: func(context.Context, *smtp.Conn, string, *smtp.MailOptions) error {
			time.Sleep(time.Second) // the test's own clock
			return nil
		}}})
		begin := time.Now()
		go srv.ServeConn(there, smtp.Policy{})
		go io.WriteString(here, "EHLO x\r\nMAIL FROM:<a@b>\r\n")
		got, _ := io.ReadAll(here)
		if took := time.Since(begin); took != 5*time.Minute+time.Second || !strings.HasSuffix(string(got), "421 4.4.2 nothing heard for too long\r\n") {
			t.Errorf("got %q after %v, want 421 after 5 minutes and the Handler's second", got, took)
		}
		srv.Close()
	})
}
