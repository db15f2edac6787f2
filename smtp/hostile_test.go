package smtp_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
)

// Servers that mean no good, and callers who let others write their addresses.

// endless writes text again and again until nobody reads, and returns how much it was.
func endless(conn net.Conn, text string) (n int64) {
	block := []byte(strings.Repeat(text, 1+4096/len(text)))
	for {
		k, err := conn.Write(block)
		if n += int64(k); err != nil {
			return n
		}
	}
}

// Whatever a server says for ever, and in whichever phase: the Send ends with a temporary
// failure after little of it.
func TestEndlessReplies(t *testing.T) {
	for name, text := range map[string]string{
		"continuation lines": "250-and so on\r\n", "empty continuations": "250-\r\n", "a line": "250 xxxxxxxxxxxxxxxx", "no line": "x",
		"zeros": "\x00", "line feeds": "\n", "carriage returns": "\r", "other codes": "250-a\r\n550-b\r\n", "digits": "2",
		"long lines": "250-" + strings.Repeat("x", 4000) + "\r\n",
	} {
		for at := range phases {
			t.Run(name, func(t *testing.T) { endlessReply(t, text, at) })
		}
	}
}

var phases = []string{"greeting", "EHLO", "MAIL", "RCPT", "DATA"}

// endlessReply sends to a server that says text for ever in that phase.
func endlessReply(t *testing.T, text string, at int) {
	t.Helper()
	here, there := smtp.Connection(t)
	wrote := make(chan int64, 1)
	go func() {
		defer there.Close()
		rd := bufio.NewReader(there)
		for _, reply := range []string{"220 x\r\n", "250 x\r\n", "250 ok\r\n", "250 ok\r\n"}[:at] {
			io.WriteString(there, reply)
			rd.ReadString('\n')
		}
		wrote <- endless(there, text)
	}()
	d := dialer()
	d.NetDial = func(context.Context, string, string) (net.Conn, error) { return here, nil }
	tr := &smtp.Transport{Dialer: d, MaxConns: 1}
	results, err := tr.Send(t.Context(), toBob, text1)
	if classes(err) != "temporary" || len(results) != 1 {
		t.Errorf("%q at %s: got %v, want a temporary failure", text, phases[at], err)
	}
	// What the system's own buffers hold comes on top of what was read.
	if n := <-wrote; n > 32<<20 {
		t.Errorf("%q at %s: read on for %d octets", text, phases[at], n)
	}
	tr.Close()
}

var text1 = again{"Subject: x\r\n"}

// A server that says an octet from time to time does not get more time for it.
func TestDrippingServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		var server sync.WaitGroup
		server.Go(func() {
			for {
				if _, err := there.Write([]byte("2")); err != nil {
					return
				}
				time.Sleep(29 * time.Second)
			}
		})
		begin := time.Now()
		_, err := dialer().Client(t.Context(), here)
		if d := time.Since(begin); classes(err) != "temporary" || d != 5*time.Minute {
			t.Errorf("got %v after %v, want it after the 5 minutes that a greeting may take", err, d)
		}
		server.Wait()
	})
}

// A stall ends when the context does or when its time is over, whichever comes first, in
// each phase.
func TestStallsEnd(t *testing.T) {
	for at, phase := range []string{"greeting", "EHLO", "MAIL"} {
		for _, byContext := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				var server sync.WaitGroup
				server.Go(func() {
					rd := bufio.NewReader(there)
					for _, reply := range []string{"220 x\r\n", "250 x\r\n"}[:at] {
						io.WriteString(there, reply)
						rd.ReadString('\n')
					}
					io.Copy(io.Discard, rd)
				})
				d := dialer()
				d.NetDial = func(context.Context, string, string) (net.Conn, error) { return here, nil }
				ctx, limit := t.Context(), 5*time.Minute
				if byContext {
					limit = 2 * time.Second
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, limit)
					defer cancel()
				}
				begin := time.Now()
				tr := &smtp.Transport{Dialer: d}
				_, err := tr.Send(ctx, toBob, text1)
				if d := time.Since(begin); classes(err) != "temporary" || d != limit {
					t.Errorf("%s: got %v after %v, want it after %v", phase, err, d, limit)
				}
				tr.Close()
				server.Wait()
			})
		}
	}
}

// What others write into an address, a name or an option never becomes a command or a
// parameter.
func TestInjection(t *testing.T) {
	bad := []string{
		"a@b\r\nRCPT TO:<x@y>", "a@b\rX", "a@b\nX", "a\x00@b", "a@b\u2028", "a@b\u0085", "a@b> SIZE=1 BODY=7BIT", `"a> NOTIFY=NEVER"@b`,
		`<"x@evil"@good>`, `"x@evil"@good`, "x@evil@good", "\"\\\"\r\n\"@b", strings.Repeat("a", 1<<20) + "@b", "a@[127.0.0.1]", "a@[IPv6:::1]",
		"a@[IPv6:", "a@b.", "a@b..c", "a%40b@c", "user!host@relay", "@a,@b:user@c", "=?utf-8?q?=40?=@b", "a b@c", "a+0D+0A@b", "${run{x}}@localhost", ";x@", "\xff@b",
	}
	for _, place := range []string{"sender", "recipient", "EHLO", "ENVID", "ORCPT", "AUTH", "Extra", "VRFY", "EXPN", "HELP", "Command"} {
		for _, s := range bad {
			here, there := smtp.Connection(t)
			heard := make(chan []string, 1)
			go func() {
				var lines []string
				rd := bufio.NewReader(there)
				io.WriteString(there, "220 x\r\n")
				for {
					line, err := rd.ReadString('\n')
					if err != nil {
						there.Close()
						heard <- lines
						return
					}
					lines = append(lines, line)
					io.WriteString(there, "250-x\r\n250-SMTPUTF8\r\n250-DSN\r\n250 AUTH PLAIN\r\n")
				}
			}()
			c := smtp.NewClient(here)
			c.Greeting(t.Context())
			said := 1 + inject(t, c, place, s)
			c.Close()
			lines := <-heard
			if len(lines) > said {
				t.Errorf("%s %.60q: said %q, want at most %d lines", place, s, lines, said)
			}
			for _, line := range lines {
				text, ok := strings.CutSuffix(line, "\r\n")
				if !ok || strings.ContainsAny(text, "\r\n\x00") {
					t.Errorf("%s %.60q: said %q", place, s, line)
				}
				if path, params, _ := strings.Cut(outside(text), "> "); strings.HasPrefix(path, "RCPT") && (place == "recipient" && params != "" || strings.Contains(params, "NEVER")) {
					t.Errorf("%s %.60q: said the parameters %q", place, s, params)
				}
			}
		}
	}
}

// outside returns a line without what is quoted in it.
func outside(line string) string {
	head, rest, ok := strings.Cut(line, `"`)
	if !ok {
		return line
	}
	_, tail, _ := strings.Cut(rest, `"`)
	return head + tail
}

// inject says what has s in that place, and returns how many lines that may be.
func inject(t *testing.T, c *smtp.Client, place, s string) int {
	ctx := t.Context()
	if place == "EHLO" {
		c.Hello(ctx, s)
		return 0
	}
	c.Hello(ctx, "c.example.org")
	switch place {
	case "sender":
		c.Mail(ctx, s, nil)
	case "recipient":
		c.Rcpt(ctx, s, nil)
	case "ENVID":
		c.Mail(ctx, "a@b", &smtp.MailOptions{EnvelopeID: s})
	case "AUTH":
		c.Mail(ctx, "a@b", &smtp.MailOptions{Auth: s})
	case "Extra":
		c.Mail(ctx, "a@b", &smtp.MailOptions{Extra: s})
	case "ORCPT":
		c.Rcpt(ctx, "a@b", &smtp.RcptOptions{Original: "rfc822;" + s})
	case "VRFY":
		c.Verify(ctx, s)
	case "EXPN":
		c.Expand(ctx, s)
	case "HELP":
		c.Help(ctx, s)
	case "Command":
		c.Command(ctx, "XFOO "+s)
	}
	return 1
}
