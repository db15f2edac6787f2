package smtp_test

import (
	"context"
	"errors"
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
