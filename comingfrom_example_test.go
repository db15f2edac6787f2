package postrider_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/local"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// What the clients of other systems do, done here: docs/coming-from.md shows what is between the server and the output.

// server runs a server that prints what it gets. It knows ann, whose password is secret, and a list.
func server() (addr string, end func()) {
	s := &smtp.Server{
		Hostname: "mx.example.com",
		Handler: &smtp.Hooks{OnData: func(_ context.Context, c *smtp.Conn, env *smtp.Envelope, r io.Reader) (string, error) {
			m, err := mail.Parse(r)
			if err != nil {
				return "", err
			}
			to := make([]string, len(env.To))
			for i := range to {
				to[i] = env.To[i].Address
			}
			fmt.Printf("server: %s to %s: %s\n", env.From, strings.Join(to, " "), m.Subject)
			return "1", nil
		}},
		SASL: &sasl.Verifier{
			Password: func(_ context.Context, user, password string) error {
				if user != "ann" || password != "secret" {
					return sasl.ErrRefused
				}
				return nil
			},
			Token: func(_ context.Context, user, token string) (string, error) { return user, nil },
		},
		AllowInsecureAuth: true,
		OnVerify: func(_ context.Context, _ *smtp.Conn, name string) (string, error) {
			return "Ann <" + name + "@example.com>", nil
		},
		OnExpand: func(context.Context, *smtp.Conn, string) ([]string, error) {
			return []string{"ann@example.com", "bob@example.com"}, nil
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go s.Serve(l)
	return l.Addr().String(), func() { s.Close() }
}

// check is for errors that an example does not go into.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

func Example_ilusm() {
	addr, end := server()
	defer end()

	d := new(smtp.Dialer)       // {tls: tru}: TLS is required and verified, except to this machine
	c, err := d.Dial(ctx, addr) // s = smtp.conn(host, port, opts)
	check(err)                  // what failed: errors.Is(err, smtp.ErrTemporary) and so on
	defer c.Close()
	_, err = c.Auth(ctx, sasl.Password("ann", "secret")) // smtp.auth(s, user, pass)
	check(err)
	m := &mail.Message{ // smtp.send(s, from, to, subject, body, {html: tru, cc: …, replyto: …})
		From: mail.List("ann@example.com"), To: mail.List("bob@example.net", "eve@example.net"),
		Cc: mail.List("carl@example.net"), ReplyTo: mail.List("list@example.com"),
		Subject: "Grüße", HTML: "<p>Hello.</p>", // Text is made out of it, or given beside it
	}
	_, err = postrider.Deliver(ctx, c, m) // as often as needed
	check(err)
	_, err = c.Noop(ctx) // smtpn(s)
	check(err)
	_, err = c.Reset(ctx) // smtpr(s)
	check(err)
	r, err := c.Verify(ctx, "ann") // smtpv(s, addr): 250 yes, 251 forwarded, 252 not told, 550 no
	fmt.Println(r.Code, r.Text, err)
	r, err = c.Expand(ctx, "staff") // smtpe(s, addr)
	fmt.Println(strings.Split(r.Text, "\n"), err)
	r, err = c.Quit(ctx) // smtp.quit(s)
	fmt.Println(r.Code, err)

	// Output:
	// server: ann@example.com to bob@example.net eve@example.net carl@example.net: Grüße
	// 250 Ann <ann@example.com> <nil>
	// [ann@example.com bob@example.com] <nil>
	// 221 <nil>
}

func Example_luaSocketSend() {
	addr, end := server()
	defer end()
	source := strings.NewReader("From: ann@example.com\nSubject: a stream\n\n.dots are taken care of\n")

	t := &smtp.Transport{
		Addr: addr, // server, port
		Dialer: &smtp.Dialer{
			Hostname: "client.example.com",                // domain
			Auth:     sasl.Password("ann", "secret"),      // user, password
			Timeouts: smtp.Timeouts{Command: time.Minute}, // smtp.TIMEOUT, one for each phase
			NetDial:  new(net.Dialer).DialContext,         // create
		},
	}
	defer t.Close()
	env := smtp.NewEnvelope("ann@example.com", "bob@example.net", "eve@example.net") // from, rcpt
	step := func(written int64) {}                                                   // progress; to slow it down, wait in here
	results, err := t.Send(ctx, env, smtp.WithProgress(source, step))                // source, step
	for _, r := range results {
		fmt.Println(r.Rcpt, r.Reply.Code, r.Err) // each recipient has a fate of its own
	}
	fmt.Println(err)

	// Output:
	// server: ann@example.com to bob@example.net eve@example.net: a stream
	// bob@example.net 250 <nil>
	// eve@example.net 250 <nil>
	// <nil>
}

func Example_luaSocketMessage() {
	m := &mail.Message{ // smtp.message{headers = {…}, body = {…}}
		From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "parts",
		Header: mail.Fields("X-Mailer", "ours", "Received", "one", "Received", "two"), // in order, twice if need be
		Body: &mail.Part{
			Header:   mail.Fields("Content-Type", "multipart/mixed"), // the boundary is made, and is in no part
			Preamble: "For old readers.",
			Parts: []*mail.Part{
				mail.TextPart("text/plain", "Hello.\n"),
				{ // body = mime: ltn12.source.chain(ltn12.source.file(io.open(…)), mime.encode("base64"), …)
					Header: mail.Fields("Content-Type", "application/octet-stream", "Content-Disposition", "attachment; filename=go.mod"),
					Open:   func() (io.ReadCloser, error) { return os.Open("go.mod") }, // opened when it is written
				},
			},
			Epilogue: "The end.",
		},
	}
	var b strings.Builder
	_, err := m.WriteTo(&b)
	parsed, parseErr := mail.Parse(strings.NewReader(b.String()))
	fmt.Println(parsed.Header.Values("Received"), parsed.Text, parsed.Attachments[0].Name, err, parseErr)

	// Output:
	// [one two] Hello.
	//  go.mod <nil> <nil>
}

func Example_luaSocketSession() {
	addr, end := server()
	defer end()

	conn, err := net.Dial("tcp", addr) // smtp.open(server, port, create)
	check(err)
	c := smtp.NewClient(conn)
	defer c.Close() // s:close()
	r, err := c.Greeting(ctx)
	check(err)
	fmt.Println(r)
	_, err = c.Hello(ctx, "client.example.com") // s:greet(domain)
	check(err)
	_, err = c.Auth(ctx, sasl.Only(sasl.Password("ann", "secret"), "LOGIN")) // s:login; s:auth, s:plain without Only, or with PLAIN
	check(err)
	_, err = c.Mail(ctx, "ann@example.com", nil) // s:mail(from): the <> are ours
	check(err)
	_, err = c.Rcpt(ctx, "bob@example.net", nil) // s:rcpt(to)
	check(err)
	w, err := c.Data(ctx) // s:data(src, step)
	check(err)
	_, err = io.Copy(w, strings.NewReader("Subject: by hand\r\n\r\nx\r\n"))
	check(err)
	check(w.Close())
	r, err = c.Command(ctx, "NOOP") // tp:command, tp:check
	fmt.Println(r.Code, err)
	_, err = c.Quit(ctx) // s:quit()
	fmt.Println(err)

	// Output:
	// 220 mx.example.com ESMTP ready
	// server: ann@example.com to bob@example.net: by hand
	// 250 <nil>
	// <nil>
}

func Example_axiomSend() {
	addr, end := server()
	defer end()
	url := "smtp://ann:secret@" + addr

	m := &mail.Message{ // mail.send(mail, password, host, port, mode)
		From: mail.List("Ann <ann@example.com>"), To: mail.List("bob@example.net, Eve <eve@example.net>"),
		Bcc:     mail.List("secret@example.net"), // is in the envelope alone
		Subject: "A picture", HTML: `<p>Look: <img src="cid:test.png"></p>`,
		Attachments: []mail.Attachment{ // attachments: {name: data}; with CID it is shown
			{Name: "test.png", CID: "test.png", Open: mail.FromBytes("", []byte("png")).Open},
			mail.FromBytes("minutes.txt", []byte("Minutes.")),
		},
	}
	// mode 0 is ?tls=none, 1 ?tls=starttls, 2 smtps://; host is ?name=, user and password are in the URL.
	results, err := postrider.Send(ctx, url+"?name=client.example.com", m)
	fmt.Println(len(results), err)

	// Where sender and recipients are not those of the message, as mail.sender and mail.recipients may say:
	s, err := postrider.Open(url)
	check(err)
	defer s.Close()
	_, err = s.Send(ctx, smtp.NewEnvelope("bounces@example.com", "bob@example.net"), m)
	fmt.Println(err)
	fmt.Println(mail.ExtractAddresses(`you@there.com, "Bob" <bob@example.com>`)) // mail.extract_addresses(str)

	// Output:
	// server: ann@example.com to bob@example.net eve@example.net secret@example.net: A picture
	// 3 <nil>
	// server: bounces@example.com to bob@example.net: A picture
	// <nil>
	// [you@there.com bob@example.com]
}

// racketLines is a message of Racket's, a list of lines.
type racketLines []string

func (l racketLines) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, strings.Join(l, "\n")+"\n")
	return int64(n), err
}

func Example_racketSend() {
	addr, end := server()
	defer end()

	d := &smtp.Dialer{
		Hostname: "client.example.com",           // smtp-sending-server
		Auth:     sasl.Password("ann", "secret"), // #:auth-user #:auth-passwd
		TLS:      smtp.TLSAuto,                   // #:tls-encode: STARTTLS; ssl-connect is TLSImplicit
		Commit: func(context.Context, *smtp.Envelope) error { // smtp-sending-end-of-message
			fmt.Println("until now it could be cancelled")
			return nil
		},
		Trace: func(l smtp.Line) {}, // the logger smtp; secrets are masked
	}
	t := &smtp.Transport{Addr: addr, Dialer: d}
	defer t.Close()
	lines := racketLines{"Subject: a list", "", "Hello.", "."} // header and message
	_, err := t.Send(ctx, smtp.NewEnvelope("ann@example.com", "bob@example.net"), lines)
	fmt.Println(err)
	_, err = t.Send(ctx, smtp.NewEnvelope("ann@example.com"), lines) // "no receivers"
	fmt.Println(err != nil)

	// #:xoauth2? #t: the password is a token, got when it is needed and again when it has expired
	token := func(context.Context) (string, time.Time, error) { return "ya29.token", time.Now().Add(time.Hour), nil }
	d = &smtp.Dialer{Auth: sasl.Only(sasl.Token("ann", token), "XOAUTH2")}
	conn, err := net.Dial("tcp", addr) // #:tcp-connect; smtp-send-message* over two ports: smtp.Stream(r, w)
	check(err)
	c, err := d.Client(ctx, conn)
	check(err)
	_, err = c.Send(ctx, smtp.NewEnvelope("ann@example.com", "eve@example.net"), lines)
	fmt.Println(err)
	c.Quit(ctx)

	// Output:
	// until now it could be cancelled
	// server: ann@example.com to bob@example.net: a list
	// <nil>
	// true
	// server: ann@example.com to eve@example.net: a list
	// <nil>
}

func Example_racketSendmail() {
	dir, err := os.MkdirTemp("", "example-")
	check(err)
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "sendmail")
	check(os.WriteFile(program, []byte("#!/bin/sh\necho \"$@\" >"+dir+"/args; cat >"+dir+"/in\n"), 0o700))

	m := &mail.Message{ // (send-mail-message from subject to cc bcc body extra …)
		From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Bcc: mail.List("-oQ/tmp/evil@example.net"),
		Subject: "Grüße", Text: "Hello.\n", Header: mail.Fields("X-Mailer", "ours"),
	}
	// Path is empty for the first sendmail of /usr/sbin, /sbin, /usr/local/sbin and /usr/lib. To write the body to a
	// port, as send-mail-message/port does, is a Message or any io.WriterTo whose WriteTo writes it.
	_, err = postrider.Deliver(ctx, local.Sendmail{Path: program}, m)
	fmt.Println(err) // the exit status, and what the program said

	args, err := os.ReadFile(filepath.Join(dir, "args"))
	fmt.Print(string(args))
	in, err2 := os.ReadFile(filepath.Join(dir, "in"))
	fmt.Println(bytes.Contains(in, []byte("Subject: =?utf-8?")), bytes.Contains(in, []byte("Bcc")), err, err2)

	// Output:
	// <nil>
	// -i -f ann@example.com -- bob@example.net -oQ/tmp/evil@example.net
	// true false <nil> <nil>
}

func Example_inShort() {
	addr, end := server()
	defer end()
	msg := []byte("From: ann@example.com\r\nSubject: octets\r\n\r\nHello.\r\n")
	messages := slices.Repeat([]*mail.Message{{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "one of many", Text: "x"}}, 2)

	// A pool: connections are kept between messages and shared by everybody. Message after message goes over them.
	s, err := postrider.Open("smtp://ann:secret@" + addr)
	check(err)
	defer s.Close()
	for _, m := range messages {
		results, err := postrider.Deliver(ctx, s, m)
		if errors.Is(err, smtp.ErrTemporary) {
			continue // nobody has it: it may be sent again
		}
		for _, r := range results {
			fmt.Println(r.Rcpt, r.ID, r.Err)
		}
	}
	// What is a message already, as octets or from a file:
	_, err = s.Send(ctx, smtp.NewEnvelope("ann@example.com", "bob@example.net"), bytes.NewReader(msg))
	fmt.Println(err)

	// Output:
	// server: ann@example.com to bob@example.net: one of many
	// bob@example.net 1 <nil>
	// server: ann@example.com to bob@example.net: one of many
	// bob@example.net 1 <nil>
	// server: ann@example.com to bob@example.net: octets
	// <nil>
}
