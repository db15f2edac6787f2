package postrider_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// What Axiom's server does, done here: docs/coming-from.md shows these.

// serveExample serves until the example ends and returns the address.
func serveExample(c postrider.Config, h postrider.Handlers) (addr string, end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	listens, ended := make(chan string, 1), make(chan error, 1)
	c.Addr = "127.0.0.1:0" // a free port, for the example
	c.OnListen = func(a net.Addr) { listens <- a.String() }
	go func() { ended <- postrider.Serve(ctx, c, h) }()
	return <-listens, func() {
		cancel()
		if err := <-ended; err != nil {
			fmt.Println(err)
		}
	}
}

// deliver sends a message of ann's and prints what the server says to it.
func deliver(addr string, d smtp.Dialer, sender string, to ...string) {
	d.TLS = smtp.TLSNone
	m := &mail.Message{From: mail.List("Ann <ann@example.com>"), To: mail.List("bob@example.net"), Subject: "Minutes", HTML: "<p>Attached.</p>"}
	c, err := d.Dial(context.Background(), addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	results, _ := c.Send(context.Background(), smtp.NewEnvelope(sender, to...), m)
	for _, r := range results {
		fmt.Println(r.Rcpt, r.Reply.Code, r.Reply.Text)
	}
}

// The three handlers of @server, and mail.ini.
func ExampleServe_axiom() {
	config, err := postrider.ParseConfig(strings.NewReader("port = 2525\nlocal = true\n;tls_port = 465\n;tls_crt = chain.pem\n;tls_key = key.pem\n"))
	if err != nil {
		fmt.Println(err)
	}
	handlers := postrider.Handlers{
		OnMail: func(_ context.Context, m *postrider.Received) error { // on_mail
			original, err := io.ReadAll(m.Original) // original
			if err != nil {
				return err
			}
			fmt.Println(m.IP, m.Host, m.User, m.Sender, m.Recipients)                  // ip, host, user, sender, recipients
			fmt.Println(m.Message.From, m.Message.To, m.Message.Cc, m.Message.Subject) // from, to, cc, subject
			fmt.Println(m.Message.HTML, len(m.Message.Attachments), len(original) > 0) // message, attachments
			return nil
		},
		OnRcpt: func(_ context.Context, to string) error { // on_rcpt
			if to != "bob@example.net" {
				return smtp.Errorf(550, "5.1.1", "there is no %s here", to)
			}
			return nil
		},
		OnAuth: func(_ context.Context, user, password string) error { // on_auth
			if user != "ann@example.com" || password != "secret" {
				return sasl.ErrRefused
			}
			return nil
		},
	}
	addr, end := serveExample(config, handlers)
	defer end()
	deliver(addr, smtp.Dialer{Hostname: "ann.example.com", Auth: sasl.Password("ann@example.com", "secret")}, "ann@example.com", "bob@example.net", "eve@example.net")
	// Output:
	// 127.0.0.1 ann.example.com ann@example.com ann@example.com [bob@example.net]
	// [Ann <ann@example.com>] [bob@example.net] [] Minutes
	// <p>Attached.</p> 0 true
	// bob@example.net 250 ok
	// eve@example.net 550 there is no eve@example.net here
}

// The first of the checks in Axiom's manual: is the client's name that of its address?
func ExampleServe_hostAgainstIP() {
	// In a server that is net.DefaultResolver.LookupHost.
	lookup := func(_ context.Context, host string) ([]string, error) {
		switch host {
		case "ann.example.com":
			return []string{"127.0.0.1"}, nil
		case "slow.example.com":
			return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
		}
		return []string{"192.0.2.1"}, nil
	}
	handlers := postrider.Handlers{OnMail: func(ctx context.Context, m *postrider.Received) error {
		addrs, err := lookup(ctx, m.Host)
		if dns, ok := errors.AsType[*net.DNSError](err); ok && (dns.IsTemporary || dns.IsTimeout) {
			return smtp.Errorf(451, "4.4.3", "%s cannot be looked up now", m.Host)
		}
		if !slices.Contains(addrs, m.IP) {
			return smtp.Errorf(550, "5.7.1", "%s is not the name of %s", m.Host, m.IP)
		}
		return nil
	}}
	addr, end := serveExample(postrider.Config{}, handlers)
	defer end()
	for _, host := range []string{"ann.example.com", "eve.example.com", "slow.example.com"} {
		deliver(addr, smtp.Dialer{Hostname: host}, "ann@example.com", "bob@example.net")
	}
	// Output:
	// bob@example.net 250 ok
	// bob@example.net 550 eve.example.com is not the name of 127.0.0.1
	// bob@example.net 451 slow.example.com cannot be looked up now
}

// The second: do author, user and sender agree?
func ExampleServe_fromUserSender() {
	handlers := postrider.Handlers{
		OnAuth: func(context.Context, string, string) error { return nil },
		OnMail: func(_ context.Context, m *postrider.Received) error {
			for _, from := range m.Message.From {
				if m.User == "" || m.User != m.Sender || m.User != from.Address {
					return smtp.Errorf(550, "5.7.1", "%q may not send as %s for %s", m.User, m.Sender, from.Address)
				}
			}
			return nil
		},
	}
	addr, end := serveExample(postrider.Config{}, handlers)
	defer end()
	ann := smtp.Dialer{Auth: sasl.Password("ann@example.com", "x")}
	deliver(addr, ann, "ann@example.com", "bob@example.net")
	deliver(addr, ann, "eve@example.com", "bob@example.net")
	deliver(addr, smtp.Dialer{}, "ann@example.com", "bob@example.net")
	// Output:
	// bob@example.net 250 ok
	// bob@example.net 550 "ann@example.com" may not send as eve@example.com for ann@example.com
	// bob@example.net 550 "" may not send as ann@example.com for ann@example.com
}
