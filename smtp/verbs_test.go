package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// What a Client refuses to say, verb by verb, after which it can still be used: nothing of
// it has reached the server.

func TestNotSaid(t *testing.T) {
	const offers = "S: 220 mx.example.com\nC: EHLO c.example.org\nS: 250-mx.example.com\nS: 250 AUTH XOAUTH2\n"
	for name, c := range map[string]struct {
		say  func(ctx context.Context, c *smtp.Client) error
		want string // class of the error, and the rest of it in any order
	}{
		"VRFY beyond ASCII":        {func(ctx context.Context, c *smtp.Client) error { _, err := c.Verify(ctx, "jörg"); return err }, "permanent SMTPUTF8"},
		"EXPN beyond ASCII":        {func(ctx context.Context, c *smtp.Client) error { _, err := c.Expand(ctx, "bühne"); return err }, "permanent SMTPUTF8"},
		"VRFY of two lines":        {func(ctx context.Context, c *smtp.Client) error { _, err := c.Verify(ctx, "ann\r\nRSET"); return err }, "permanent VRFY"},
		"a command of two lines":   {func(ctx context.Context, c *smtp.Client) error { _, err := c.Command(ctx, "NOOP\nRSET"); return err }, "permanent NOOP"},
		"HELP of two lines":        {func(ctx context.Context, c *smtp.Client) error { _, err := c.Help(ctx, "MAIL\rRSET"); return err }, "permanent HELP"},
		"a name that is none":      {func(ctx context.Context, c *smtp.Client) error { _, err := c.Hello(ctx, "a b"); return err }, "permanent EHLO"},
		"a sender that is none":    {func(ctx context.Context, c *smtp.Client) error { _, err := c.Mail(ctx, "ann", nil); return err }, "permanent ann"},
		"a recipient that is none": {func(ctx context.Context, c *smtp.Client) error { _, err := c.Rcpt(ctx, "", nil); return err }, "permanent 501"},
		"TLS all the way, in clear": {func(ctx context.Context, c *smtp.Client) error {
			_, err := c.Mail(ctx, "ann@example.com", &smtp.MailOptions{RequireTLS: true})
			return err
		}, "permanent REQUIRETLS"},
		"binary, not offered": {func(ctx context.Context, c *smtp.Client) error {
			_, err := c.Mail(ctx, "ann@example.com", &smtp.MailOptions{Body: smtp.BodyBinaryMIME})
			return err
		}, "permanent BINARYMIME"},
		"a token that cannot be had": {func(ctx context.Context, c *smtp.Client) error {
			_, err := c.Auth(ctx, sasl.Token("ann", func(context.Context) (string, time.Time, error) {
				return "", time.Time{}, errors.New("no route to host")
			}))
			return err
		}, "temporary no route to host"},
		"a mechanism that is not offered": {func(ctx context.Context, c *smtp.Client) error {
			_, err := c.Auth(ctx, sasl.Password("ann", "secret"))
			return err
		}, "permanent XOAUTH2"},
		"a password that is two lines": {func(ctx context.Context, c *smtp.Client) error {
			_, err := c.Auth(ctx, sasl.Password("ann", "sec\r\nret"))
			return err
		}, "permanent password"},
	} {
		client, err := dialer().Dial(t.Context(), scripted(t, offers+"C: QUIT\nS: 221 bye\nS: <close>\n"))
		if err != nil {
			t.Fatal(err)
		}
		err = c.say(t.Context(), client)
		class, text, _ := strings.Cut(c.want, " ")
		if classes(err) != class || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "ret") {
			t.Errorf("%s: got %v (%s), want %s", name, err, classes(err), c.want)
		}
		if r, err := client.Quit(t.Context()); r.Code != 221 {
			t.Errorf("%s: QUIT afterwards: got %v, %v, want 221", name, r, err)
		}
	}
}

// Over LMTP the end of a message has a reply for each recipient that was accepted (RFC
// 2033, 4.2), by DATA and by chunks; a transaction that was given up counts for nobody.
func TestLMTPByVerbs(t *testing.T) {
	d := dialer()
	d.LMTP = true
	const rcpts = "C: MAIL FROM:<ann@example.com>\nS: 250 ok\nC: RCPT TO:<bob@example.net>\nS: 250 ok\nC: RCPT TO:<no@example.net>\nS: 550 no\nC: RCPT TO:<cy@example.net>\nS: 250 ok\n"
	c := dial(t, d, scripted(t, "S: 220 mx.example.com\nC: LHLO c.example.org\nS: 250-mx.example.com\nS: 250 CHUNKING\n"+
		rcpts+"C: RSET\nS: 250 ok\n"+
		rcpts+"C: DATA\nS: 354 go\nC: Subject: x\nC: .\nS: 250 for bob\nS: 452 not for cy\n"+
		rcpts+"C: BDAT 3\nC| abc\nS: 250 ok\nC: BDAT 0 LAST\nS: 452 not for bob\nS: 250 for cy\n"+
		"C: NOOP\nS: 250 still in step\nC: QUIT\nS: 221 bye\n"))
	begin := func() {
		t.Helper()
		if _, err := c.Mail(t.Context(), "ann@example.com", nil); err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{"bob@example.net", "no@example.net", "cy@example.net"} {
			if _, err := c.Rcpt(t.Context(), to, nil); (err != nil) != (to == "no@example.net") {
				t.Fatalf("%s: got %v", to, err)
			}
		}
	}
	begin()
	if _, err := c.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	begin()
	w, err := c.Data(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "Subject: x\r\n")
	err = w.Close()
	if got := fmt.Sprint(w.Replies()); classes(err) != "temporary" || got != "[250 for bob 452 not for cy]" {
		t.Errorf("by DATA: got %s, %v, want both replies", got, err)
	}
	begin()
	if r, err := c.Bdat(t.Context(), []byte("abc"), false); r.Code != 250 || err != nil {
		t.Errorf("a chunk: got %v, %v", r, err)
	}
	if r, err := c.Bdat(t.Context(), nil, true); r.Text != "not for bob" || classes(err) != "temporary" {
		t.Errorf("the last chunk: got %v, %v, want the first reply", r, err)
	}
	if r, err := c.Noop(t.Context()); r.Text != "still in step" {
		t.Errorf("afterwards: got %v, %v", r, err)
	}
	c.Quit(t.Context())
}

// A message that was handed over verb by verb leaves no transaction behind, and one that
// was given up does: a Send over the same connection says RSET first.
func TestSendBehindVerbs(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(ctx context.Context, c *smtp.Client) error
		reset string
	}{
		"handed over": {func(ctx context.Context, c *smtp.Client) error {
			w, err := c.Data(ctx)
			if err == nil {
				err = w.Close()
			}
			return err
		}, "C: DATA\nS: 354 go\nC: .\nS: 250 ok\n"},
		"handed over in chunks": {func(ctx context.Context, c *smtp.Client) error { _, err := c.Bdat(ctx, nil, true); return err }, "C: BDAT 0 LAST\nS: 250 ok\n"},
		"reset":                 {func(ctx context.Context, c *smtp.Client) error { _, err := c.Reset(ctx); return err }, "C: RSET\nS: 250 ok\n"},
		"said hello again":      {func(ctx context.Context, c *smtp.Client) error { _, err := c.Hello(ctx, "c.example.org"); return err }, "C: EHLO c.example.org\nS: 250-mx.example.com\nS: 250 PIPELINING\n"},
		"left open":             {func(ctx context.Context, c *smtp.Client) error { return nil }, "C: RSET\nS: 250 ok\n"},
	} {
		pipelined := envelope + "C: Subject: x\nC: .\nS: 250 ok\n"
		if name == "left open" { // then it travels with the envelope
			c.reset, pipelined = "", strings.Replace("C: RSET\n"+pipelined, "C: DATA\n", "C: DATA\nS: 250 ok\n", 1)
		}
		client := dial(t, dialer(), scripted(t, hello+"C: MAIL FROM:<ann@example.com>\nS: 250 ok\nC: RCPT TO:<bob@example.net>\nS: 250 ok\n"+c.reset+pipelined+"C: QUIT\nS: 221 bye\n"))
		if _, err := client.Mail(t.Context(), "ann@example.com", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Rcpt(t.Context(), "bob@example.net", nil); err != nil {
			t.Fatal(err)
		}
		if err := c.end(t.Context(), client); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := client.Send(t.Context(), toBob, text("Subject: x\r\n")); err != nil {
			t.Errorf("%s, then Send: %v", name, err)
		}
		client.Quit(t.Context())
	}
}

// A Client whose method was cancelled says no more, and says why.
func TestCancelledIsOver(t *testing.T) {
	c := dial(t, dialer(), scripted(t, hello+"C: NOOP\nC: <close>\n"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Noop(ctx); classes(err) != "temporary" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: got %v, want it temporary, with the context's reason", err)
	}
	for verb, say := range map[string]func() error{
		"NOOP": func() error { _, err := c.Noop(t.Context()); return err },
		"DATA": func() error { _, err := c.Data(t.Context()); return err },
		"BDAT": func() error { _, err := c.Bdat(t.Context(), nil, true); return err },
		"TLS":  func() error { _, err := c.StartTLS(t.Context(), nil); return err },
		"Send": func() error { _, err := c.Send(t.Context(), toBob, text("x\r\n")); return err },
	} {
		if err := say(); classes(err) != "temporary" {
			t.Errorf("%s afterwards: got %v, want it temporary", verb, err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	c = dial(t, dialer(), scripted(t, hello+"C: NOOP\nS: 250 ok\nC: QUIT\nS: 221 bye\n"))
	if _, err := c.Noop(ended); classes(err) != "temporary" || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: got %v", err)
	}
	if _, err := c.Noop(t.Context()); err != nil { // nothing had been said
		t.Errorf("afterwards: got %v", err)
	}
	c.Quit(t.Context())
}

// Extensions may be looked through no further than one likes.
func TestExtensions(t *testing.T) {
	c := dial(t, dialer(), scripted(t, "S: 220 mx.example.com\nC: EHLO c.example.org\nS: 250-mx.example.com\nS: 250-size 7\nS: 250-X-TWO a b\nS: 250 DSN\nC: QUIT\nS: 221 bye\n"))
	all := maps.Collect(c.Extensions())
	if want := map[string]string{"SIZE": "7", "X-TWO": "a b", "DSN": ""}; !maps.Equal(all, want) {
		t.Errorf("got %v, want %v", all, want)
	}
	for range c.Extensions() {
		break
	}
	c.Quit(t.Context())
}
