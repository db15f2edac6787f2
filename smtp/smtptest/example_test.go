package smtptest_test

import (
	"net/smtp"
	"testing"

	ours "github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// signUp stands for the program that is tested.
func signUp(server, user string) error {
	return smtp.SendMail(server, nil, "ann@example.com", []string{user}, []byte("From: ann@example.com\r\nTo: "+user+"\r\nSubject: Welcome\r\n\r\nHello.\r\n"))
}

var t *testing.T // the test's

func Example() {
	srv := smtptest.NewServer(t, nil)
	if err := signUp(srv.Addr, "bob@example.net"); err != nil {
		t.Fatal(err)
	}
	srv.One(t).HasRecipients("bob@example.net").HasSubject("Welcome").HasText("Hello")
}

// A server that is full at first shows what a program does about it.
func ExampleServer_Fault() {
	srv := smtptest.NewServer(t, nil)
	srv.Fault(smtptest.Fault{Verb: "RCPT", Times: 1, Reply: "452 4.2.2 mailbox full"})
	if err := signUp(srv.Addr, "bob@example.net"); err == nil {
		t.Error("nobody noticed")
	}
	srv.None(t)
}

// What sends through an smtp.Sender needs no server at all.
func ExampleRecorder() {
	var rec smtptest.Recorder
	notify := func(s ours.Sender) { /* what is tested */ }
	notify(&rec)
	rec.One(t).HasSubject("Your order")
}

// A server that says what no real one can be made to say.
func ExampleScript() {
	addr := smtptest.Script(t, `
S: 220 mx.example.com ready
C: EHLO localhost
S: 250 mx.example.com
C: MAIL FROM:<ann@example.com>
S: 451 4.3.0 out of memory
S: <close>`)
	if err := signUp(addr, "bob@example.net"); err == nil {
		t.Error("nobody noticed")
	}
}
