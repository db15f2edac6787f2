package postrider_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// The short guides of docs/coming-from.md: what one does most in another library, done here.

func Example_netSMTP() {
	addr, end := server()
	defer end()

	// Where the octets of a message are there already. TLS and the mechanism are chosen; what has no pool sends over one connection.
	c, err := (&smtp.Dialer{Auth: sasl.Password("ann", "secret")}).Dial(ctx, addr)
	check(err)
	msg := strings.NewReader("From: ann@example.com\nSubject: octets\n\nHello.\n")
	results, err := c.Send(ctx, smtp.NewEnvelope("ann@example.com", "bob@example.net"), msg)
	check(err)
	fmt.Println(results[0].Reply)
	c.Quit(ctx)

	// Output:
	// server: ann@example.com to bob@example.net: octets
	// 250 2.0.0 ok: queued as 1
}

func Example_goMail() {
	addr, end := server()
	defer end()

	// A client is a Transport: many may use it at once, and it keeps its connections.
	t := &smtp.Transport{Addr: addr, Dialer: &smtp.Dialer{Auth: sasl.Password("ann", "secret")}}
	defer t.Close()
	m := &mail.Message{From: mail.List("Ann <ann@example.com>"), To: mail.List("bob@example.net"), Subject: "Report"}
	m.Text = "See the file."
	m.Attachments = append(m.Attachments, mail.FromBytes("report.csv", []byte("a,b\n")))
	_, err := postrider.Deliver(ctx, t, m)
	fmt.Println(err, errors.Is(err, smtp.ErrTemporary))

	// Output:
	// server: ann@example.com to bob@example.net: Report
	// <nil> false
}

func Example_gomail() {
	addr, end := server()
	defer end()

	// The fields of a message are fields; what has no field of its own is added to Header.
	m := &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Cc: mail.List("Dan <dan@example.net>")}
	m.Subject, m.HTML = "Hello", `<b>Hello</b> <img src="cid:logo">`
	m.Header = mail.Fields("X-Campaign", "autumn")
	logo := mail.FromBytes("logo.png", []byte("\x89PNG\r\n\x1a\n"))
	logo.CID = "logo"
	m.Attachments = append(m.Attachments, logo)
	_, err := postrider.Send(ctx, "smtp://ann:secret@"+addr, m)
	fmt.Println(err)

	// Output:
	// server: ann@example.com to bob@example.net dan@example.net: Hello
	// <nil>
}

func Example_nodemailer() {
	addr, end := server()
	defer end()

	// A transporter is what Open returns: a pool, from a URL.
	transporter, err := postrider.Open("smtp://ann:secret@" + addr)
	check(err)
	defer transporter.Close()
	results, err := postrider.Deliver(ctx, transporter, &mail.Message{
		From: mail.List("Ann <ann@example.com>"), To: mail.List("bob@example.net, dan@example.net"),
		Subject: "Hello", Text: "Hello.", HTML: "<p>Hello.</p>",
	})
	for _, r := range results {
		fmt.Println(r.Rcpt, r.Err == nil, r.ID)
	}
	fmt.Println(err)

	// Output:
	// server: ann@example.com to bob@example.net dan@example.net: Hello
	// bob@example.net true 1
	// dan@example.net true 1
	// <nil>
}

func Example_smtplib() {
	addr, end := server()
	defer end()

	// Each verb is a method too, and Dial has said EHLO, STARTTLS and AUTH where they are wanted.
	c, err := (&smtp.Dialer{Auth: sasl.Password("ann", "secret")}).Dial(ctx, addr)
	check(err)
	defer c.Quit(ctx)
	reply, err := c.Verify(ctx, "ann")
	fmt.Println(reply.Code, reply.Text, err)
	m := &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "Hello", Text: "Hello."}
	_, err = postrider.Deliver(ctx, c, m)
	refused, _ := errors.AsType[*smtp.SendError](err)
	fmt.Println(refused == nil)

	// Output:
	// 250 Ann <ann@example.com> <nil>
	// server: ann@example.com to bob@example.net: Hello
	// true
}
