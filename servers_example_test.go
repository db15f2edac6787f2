package postrider_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// The short guides of docs/coming-from.md for servers: what one writes first for another library, done here.

// serving serves until the example ends and returns the address.
func serving(srv *smtp.Server, p smtp.Policy) (addr string, end func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(smtp.Listener{Listener: l, Policy: p}) }()
	return l.Addr().String(), func() {
		check(srv.Shutdown(ctx))
		<-ended
	}
}

// said sends a message as its user would and prints what came of it.
func said(d smtp.Dialer, addr string, to ...string) {
	d.Hostname, d.TLS = "client.example.com", smtp.TLSNone
	c, err := d.Dial(ctx, addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Quit(ctx)
	results, _ := c.Send(ctx, smtp.NewEnvelope("ann@example.com", to...), strings.NewReader("Subject: Minutes\r\n\r\nAttached.\r\n"))
	for _, r := range results {
		fmt.Println(r.Rcpt, r.Reply)
	}
}

func Example_aiosmtpd() {
	hooks := &smtp.Hooks{ // class Handler
		OnRcpt: func(_ context.Context, c *smtp.Conn, to string, opts *smtp.RcptOptions) error { // async def handle_RCPT
			if !strings.HasSuffix(to, "@example.net") {
				return smtp.Errorf(550, "5.7.1", "not relaying to that domain")
			}
			return nil
		},
		OnData: func(_ context.Context, c *smtp.Conn, env *smtp.Envelope, r io.Reader) (string, error) { // async def handle_DATA
			m, err := mail.Parse(r) // envelope.content
			if err != nil {
				return "", err
			}
			fmt.Println(c.Hello(), env.From, len(env.To), m.Subject) // session.host_name, envelope.mail_from, rcpt_tos
			return "", nil
		},
	}
	srv := &smtp.Server{Handler: hooks, MaxSize: 32 << 20} // Controller(Handler(), data_size_limit=…).start()
	addr, end := serving(srv, smtp.Policy{})
	defer end()

	said(smtp.Dialer{}, addr, "bob@example.net", "eve@example.org")

	// Output:
	// client.example.com ann@example.com 1 Minutes
	// bob@example.net 250 2.0.0 ok
	// eve@example.org 550 5.7.1 not relaying to that domain
}

// A goSession is a transaction, as go-smtp's users write one.
type goSession struct{ to []string }

func (s *goSession) Rcpt(_ context.Context, to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *goSession) Data(_ context.Context, r io.Reader) (string, error) {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return "", err
	}
	var errs []error
	for _, to := range s.to { // status.SetStatus(to, err)
		if strings.HasPrefix(to, "full@") {
			errs = append(errs, &smtp.RcptError{Rcpt: to, Err: smtp.Errorf(452, "4.2.2", "mailbox full")})
		}
	}
	return "Q1", errors.Join(errs...)
}

// goBackend makes one for each MAIL: there is no Reset to forget anything in.
type goBackend struct{}

func (goBackend) Mail(ctx context.Context, c *smtp.Conn, from string, opts *smtp.MailOptions) (smtp.Transaction, error) {
	context.AfterFunc(ctx, func() {}) // Reset: the transaction has ended, in whichever way
	return &goSession{}, nil
}

// EnableDSN is that it can be honoured.
func (goBackend) Offers() []string { return []string{"DSN"} }

func Example_goSMTPServer() {
	srv := &smtp.Server{
		Hostname: "mx.example.com", Handler: goBackend{}, MaxRecipients: 50, MaxSize: 1 << 20, // Domain, MaxMessageBytes
		OnAuth: func(_ context.Context, _ *smtp.Conn, user, password string) error { // AuthSession
			if user != "ann" || password != "secret" {
				return sasl.ErrRefused // ErrAuthFailed
			}
			return nil
		},
		AllowInsecureAuth: true,
	}
	addr, end := serving(srv, smtp.Policy{LMTP: true, RequireAuth: true})
	defer end()

	said(smtp.Dialer{LMTP: true, Auth: sasl.Password("ann", "secret")}, addr, "bob@example.net", "full@example.net")
	said(smtp.Dialer{LMTP: true, Auth: sasl.Password("ann", "guess")}, addr, "bob@example.net")

	// Output:
	// bob@example.net 250 2.0.0 ok: queued as Q1
	// full@example.net 452 4.2.2 mailbox full
	// smtp: AUTH: 535 5.7.8 authentication failed
}

func Example_smtpServer() {
	srv := &smtp.Server{
		OnConnect: func(ctx context.Context, c *smtp.Conn) error { // onConnect
			context.AfterFunc(ctx, func() {}) // onClose: the session has ended
			if ip, _, _ := net.SplitHostPort(c.RemoteAddr().String()); ip == "192.0.2.1" {
				return smtp.Errorf(554, "5.7.1", "no connections from there") // callback(new Error(…))
			}
			return nil
		},
		OnCommand: func(_ context.Context, _ *smtp.Conn, verb, _ string) error { // disabledCommands
			if verb == "VRFY" {
				return smtp.Errorf(502, "5.5.1", "command not implemented")
			}
			return nil
		},
		Handler: &smtp.Hooks{
			OnSender: func(_ context.Context, c *smtp.Conn, from string, opts *smtp.MailOptions) error { // onMailFrom
				if from == "" {
					return smtp.Errorf(550, "5.7.1", "no reports here")
				}
				return nil
			},
			OnData: func(_ context.Context, c *smtp.Conn, env *smtp.Envelope, r io.Reader) (string, error) { // onData
				n, err := io.Copy(io.Discard, r) // stream: it ends with an error where sizeExceeded would be set
				fmt.Println(c.Protocol(), env.To[0].Address, n)
				return "12345", err
			},
		},
	}
	addr, end := serving(srv, smtp.Policy{})
	defer end()

	said(smtp.Dialer{}, addr, "bob@example.net")

	// Output:
	// ESMTP bob@example.net 31
	// bob@example.net 250 2.0.0 ok: queued as 12345
}
