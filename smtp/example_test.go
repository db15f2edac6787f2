package smtp_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/postrider/postrider/smtp"
)

// mailboxes is a server for example.net, and where it listens.
func mailboxes() (*smtp.Server, string) {
	srv := &smtp.Server{Hostname: "mx.example.net", Handler: &smtp.Hooks{
		OnRcpt: func(_ context.Context, _ *smtp.Conn, to string, _ *smtp.RcptOptions) error {
			if !strings.HasSuffix(to, "@example.net") {
				return smtp.Errorf(550, "5.7.1", "we do not relay")
			}
			return nil
		},
		OnData: func(_ context.Context, _ *smtp.Conn, env *smtp.Envelope, r io.Reader) (string, error) {
			n, err := io.Copy(io.Discard, r)
			fmt.Printf("server: %d octets from %s for %d\n", n, env.From, len(env.To))
			return "4F2A", err // only now is the client told that it was accepted
		},
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go srv.Serve(l)
	return srv, l.Addr().String()
}

// What a Handler's functions return is what the client is told.
func ExampleServer() {
	srv, addr := mailboxes()
	defer srv.Close()
	client, err := new(smtp.Dialer).Dial(ctx, addr)
	if err != nil {
		panic(err)
	}
	defer client.Close()
	client.Mail(ctx, "ann@example.com", nil)
	_, err = client.Rcpt(ctx, "eve@example.org", nil)
	fmt.Println(err)
	// Output: smtp: RCPT: 550 5.7.1 we do not relay
}

// Each recipient has a fate of its own: one who is refused does not sink the others.
func ExampleTransport() {
	srv, addr := mailboxes()
	defer srv.Close()
	t := &smtp.Transport{Addr: addr, MaxConns: 4}
	defer t.Close()
	results, err := t.Send(ctx, smtp.NewEnvelope("ann@example.com", "bob@example.net", "eve@example.org"), text("Subject: Hello\r\n\r\nHello.\r\n"))
	for _, r := range results {
		fmt.Println(r.Rcpt, r.ID, r.Err)
	}
	fmt.Println(err)
	// Output:
	// server: 26 octets from ann@example.com for 1
	// bob@example.net 4F2A <nil>
	// eve@example.org  smtp: RCPT: 550 5.7.1 we do not relay
	// smtp: 1 of 2 recipients not accepted; <eve@example.org>: RCPT: 550 5.7.1 we do not relay
}

// One connection, verb by verb.
func ExampleClient() {
	srv, addr := mailboxes()
	defer srv.Close()
	client, err := (&smtp.Dialer{Hostname: "client.example.com"}).Dial(ctx, addr)
	if err != nil {
		panic(err)
	}
	defer client.Close()
	_, pipelining := client.Extension("PIPELINING")
	fmt.Println("PIPELINING:", pipelining)
	client.Mail(ctx, "ann@example.com", nil)
	client.Rcpt(ctx, "bob@example.net", nil)
	w, err := client.Data(ctx)
	if err != nil {
		panic(err)
	}
	io.WriteString(w, "Subject: Hello\r\n\r\n.A dot is no end.\r\n")
	fmt.Println(w.Close())
	reply, err := client.Quit(ctx)
	fmt.Println(reply.Code, err)
	// Output:
	// PIPELINING: true
	// server: 37 octets from ann@example.com for 1
	// <nil>
	// 221 <nil>
}

// A Transport is a Handler too: behind a Server it is a proxy, and the client hears
// what the server behind it says.
func ExampleTransport_proxy() {
	behind, addr := mailboxes()
	defer behind.Close()
	there := &smtp.Transport{Addr: addr}
	defer there.Close()
	srv := &smtp.Server{Handler: there}
	defer srv.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go srv.Serve(l)

	t := &smtp.Transport{Addr: l.Addr().String()}
	defer t.Close()
	_, err = t.Send(ctx, smtp.NewEnvelope("ann@example.com", "eve@example.org"), text("Subject: x\r\n"))
	fmt.Println(err)
	// Output: smtp: <eve@example.org>: RCPT: 550 5.7.1 we do not relay
}

// What a client says: an envelope and its message travel together if the server has
// PIPELINING and CHUNKING. Credentials would be masked.
func ExampleDialer() {
	srv, addr := mailboxes()
	defer srv.Close()
	d := &smtp.Dialer{Hostname: "client.example.com", Trace: func(l smtp.Line) {
		if l.FromClient {
			fmt.Println(l.Text)
		}
	}}
	client, err := d.Dial(ctx, addr)
	if err != nil {
		panic(err)
	}
	defer client.Close()
	_, err = client.Send(ctx, smtp.NewEnvelope("ann@example.com", "bob@example.net"), text("Subject: Hello\r\n"))
	fmt.Println(err)
	// Output:
	// EHLO client.example.com
	// MAIL FROM:<ann@example.com>
	// RCPT TO:<bob@example.net>
	// BDAT 16 LAST
	// [16 octets of the message]
	// server: 16 octets from ann@example.com for 1
	// <nil>
}
