package smtp_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/postrider/postrider/smtp"
)

// An urgent handler honours priorities, and tells the field that a message would be passed on with.
type urgent struct {
	*smtp.Hooks
}

func (urgent) Offers() []string { return []string{"MT-PRIORITY"} }

// The priority that a client has told goes on in the field (RFC 6710), for hosts that are not told it.
func TestReceivedPriority(t *testing.T) {
	field := make(chan string, 1)
	srv := &smtp.Server{Hostname: "mx", Handler: urgent{&smtp.Hooks{OnData: func(_ context.Context, c *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
		field <- c.Received("Q1")
		_, err := io.Copy(io.Discard, r)
		return "Q1", err
	}}}}
	here, there := net.Pipe()
	go srv.ServeConn(there, smtp.Policy{})
	defer here.Close()
	c := &rawClient{t, here, bufio.NewReader(here)}
	c.expect("220 ")
	c.say("EHLO x", "250")
	for said, want := range map[string]string{"": " id Q1;\r\n", " MT-PRIORITY=3": " id Q1\r\n\tpriority 3;\r\n", " MT-PRIORITY=-9": " id Q1\r\n\tpriority -9;\r\n", " MT-PRIORITY=0": " id Q1;\r\n"} {
		c.say("MAIL FROM:<ann@example.com>"+said, "250")
		c.say("RCPT TO:<bob@example.net>", "250")
		c.say("DATA", "354")
		c.say(".", "250")
		if got := <-field; !strings.Contains(got, want) {
			t.Errorf("%q: got %q, want %q in it", said, got, want)
		}
	}
}

// What a client says of itself cannot become a field or a clause of Received.
func TestReceivedIsSafe(t *testing.T) {
	for said, want := range map[string]string{
		"mail.example.org":            "from mail.example.org (",
		"[192.0.2.1]":                 "from [192.0.2.1] (",
		"x;\tmx.example.com;spf=pass": "",
		"(spf=pass)":                  "from unknown (",
		"x)(by;mx":                    "from unknown (",
		"jörg.example":                "from unknown (",
		strings.Repeat("a.", 120) + "example.com": "from " + strings.Repeat("a.", 120) + "example.com (",
	} {
		got := make(chan string, 1)
		srv := &smtp.Server{Hostname: "mx", Handler: &smtp.Hooks{OnSender: func(_ context.Context, c *smtp.Conn, _ string, _ *smtp.MailOptions) error {
			got <- c.Received("1")
			return nil
		}}}
		c := raw(t, serve(t, srv, smtp.Policy{}))
		if want == "" {
			c.say("EHLO "+said, "501 5.5.2")
			continue
		}
		c.say("EHLO "+said, "250")
		c.say("MAIL FROM:<>", "250")
		if field := <-got; !strings.Contains(field, want) || strings.Count(field, "\n") != 3 {
			t.Errorf("%q: got %q, want it to hold %q", said, field, want)
		}
	}
}

// The field says what was spoken in the words of RFC 3848: who has authenticated, or begun TLS, has spoken ESMTP, also if
// HELO was said again after it.
func TestProtocol(t *testing.T) {
	for _, c := range []struct{ said, want string }{
		{"HELO x", "SMTP"}, {"EHLO x", "ESMTP"}, {"EHLO x|HELO x", "SMTP"}, {"EHLO x|AUTH PLAIN AGFubgB4", "ESMTPA"}, {"EHLO x|AUTH PLAIN AGFubgB4|HELO x", "ESMTPA"},
	} {
		got := make(chan string, 1)
		srv := &smtp.Server{
			AllowInsecureAuth: true, OnAuth: func(context.Context, *smtp.Conn, string, string) error { return nil },
			Handler: &smtp.Hooks{OnSender: func(_ context.Context, c *smtp.Conn, _ string, _ *smtp.MailOptions) error {
				got <- c.Protocol()
				return nil
			}},
		}
		here, there := net.Pipe()
		go srv.ServeConn(there, smtp.Policy{})
		client := &rawClient{t, here, bufio.NewReader(here)}
		client.expect("220 ")
		for line := range strings.SplitSeq(c.said+"|MAIL FROM:<>", "|") {
			client.say(line, "2")
		}
		if p := <-got; p != c.want {
			t.Errorf("%s: got %s, want %s", c.said, p, c.want)
		}
		here.Close()
	}
}
