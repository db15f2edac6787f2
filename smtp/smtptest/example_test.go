package smtptest_test

import (
	"context"
	"errors"
	"fmt"
	"net/smtp"
	"strings"
	"testing"
	"time"

	ours "github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// The examples run without a test, so that something has to stand for its t: what
// would fail the test is printed, and would be no output that is expected.
type example struct {
	testing.TB // nil: the rest is not called
	ends       []func()
}

func (e *example) Helper()                           {}
func (e *example) Cleanup(f func())                  { e.ends = append(e.ends, f) }
func (e *example) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (e *example) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (e *example) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }

// end is the end of the test.
func (e *example) end() {
	for _, f := range e.ends {
		f()
	}
}

// signUp stands for the program that is tested.
func signUp(server, user string) error {
	return smtp.SendMail(server, nil, "ann@example.com", []string{user}, []byte("From: ann@example.com\r\nTo: "+user+"\r\nSubject: Welcome\r\n\r\nHello.\r\n"))
}

func Example() {
	t := new(example) // the *testing.T of a test
	defer t.end()
	srv := smtptest.NewServer(t, nil)
	if err := signUp(srv.Addr, "bob@example.net"); err != nil {
		t.Fatal(err)
	}
	m := srv.One(t).HasSender("ann@example.com").HasRecipients("bob@example.net").HasSubject("Welcome").HasText("Hello")
	fmt.Println(m.Mail().To[0].Address, m.Hello)
	// Output: bob@example.net localhost
}

// An assertion that does not hold says what came, and the test goes on.
func ExampleMessage() {
	t := new(example)
	defer t.end()
	srv := smtptest.NewServer(t, nil)
	if err := signUp(srv.Addr, "bob@example.net"); err != nil {
		t.Fatal(err)
	}
	srv.One(t).HasSubject("Good-bye")
	// Output: smtptest: subject: got "Welcome", want "Good-bye"
}

// A server that is full at first shows what a program does about it.
func ExampleServer_Fault() {
	t := new(example)
	defer t.end()
	srv := smtptest.NewServer(t, nil)
	srv.Fault(smtptest.Fault{Verb: "RCPT", Times: 1, Reply: "452 4.2.2 mailbox full"})
	fmt.Println(signUp(srv.Addr, "bob@example.net"))
	srv.None(t)
	fmt.Println(signUp(srv.Addr, "bob@example.net"))
	srv.One(t)
	// Output:
	// 452 "4.2.2 mailbox full"
	// <nil>
}

// The reply to a message is lost: nobody knows whether it was taken, and whoever
// sends it again may send it twice.
func ExampleFault() {
	t := new(example)
	defer t.end()
	srv := smtptest.NewServer(t, nil)
	srv.Fault(smtptest.Fault{Verb: smtptest.EndOfData, Reset: true})
	sender := &ours.Transport{Addr: srv.Addr}
	defer sender.Close()
	_, err := sender.Send(context.Background(), ours.NewEnvelope("ann@example.com", "bob@example.net"), strings.NewReader("Subject: Order\r\n\r\n"))
	fmt.Println(errors.Is(err, ours.ErrUnknown), errors.Is(err, ours.ErrTemporary))
	// Output: true false
}

// A server that says nothing: does a program that is tested ever give up?
func ExampleFault_stall() {
	t := new(example)
	defer t.end()
	srv := smtptest.NewServer(t, nil)
	srv.Fault(smtptest.Fault{Verb: smtptest.Connect, Stall: true})
	sender := &ours.Transport{Addr: srv.Addr, Dialer: &ours.Dialer{Timeouts: ours.Timeouts{Greeting: 50 * time.Millisecond}}}
	defer sender.Close()
	_, err := sender.Send(context.Background(), ours.NewEnvelope("ann@example.com", "bob@example.net"), strings.NewReader("Subject: Order\r\n\r\n"))
	fmt.Println(errors.Is(err, ours.ErrTemporary))
	// Output: true
}

// A server at the end of a thin line: what is sent arrives, and takes its time.
func ExampleFault_throttle() {
	t := new(example)
	defer t.end()
	srv := smtptest.NewServer(t, nil)
	srv.Fault(smtptest.Fault{Verb: "DATA", Throttle: 2000}) // octets a second, from DATA on
	begin := time.Now()
	fmt.Println(signUp(srv.Addr, "bob@example.net"))
	srv.One(t).HasText("Hello")
	fmt.Println(time.Since(begin) > 20*time.Millisecond)
	// Output:
	// <nil>
	// true
}

// A connection that is reset in the middle of a transaction.
func ExampleFault_reset() {
	t := new(example)
	defer t.end()
	srv := smtptest.NewServer(t, nil)
	srv.Fault(smtptest.Fault{Verb: "RCPT", Reset: true, Times: 1})
	fmt.Println(signUp(srv.Addr, "bob@example.net") != nil)
	fmt.Println(signUp(srv.Addr, "bob@example.net")) // does the program try again?
	srv.One(t)
	// Output:
	// true
	// <nil>
}

// Half of the reply comes, and then the connection ends: the message was kept, and
// the program that sent it cannot know.
func ExampleFault_truncate() {
	t := new(example)
	defer t.end()
	srv := smtptest.NewServer(t, nil)
	srv.Fault(smtptest.Fault{Verb: smtptest.EndOfData, Truncate: true})
	fmt.Println(signUp(srv.Addr, "bob@example.net") != nil)
	srv.One(t).HasSubject("Welcome")
	// Output: true
}

// A handshake that fails: what is tested must not go on in clear.
func ExampleFault_handshake() {
	t := new(example)
	defer t.end()
	server, client := smtptest.TLS(t)
	srv := smtptest.NewServer(t, &ours.Server{TLSConfig: server})
	srv.Fault(smtptest.Fault{Verb: smtptest.Handshake})
	sender := &ours.Transport{Addr: srv.Addr, Dialer: &ours.Dialer{TLSConfig: client}}
	defer sender.Close()
	_, err := sender.Send(context.Background(), ours.NewEnvelope("ann@example.com", "bob@example.net"), strings.NewReader("Subject: Order\r\n\r\n"))
	fmt.Println(err != nil)
	srv.None(t)
	// Output: true
}

// TLS from the first octet, with a certificate that the client trusts.
func ExampleTLS() {
	t := new(example)
	defer t.end()
	server, client := smtptest.TLS(t)
	srv := smtptest.Start(t, &ours.Server{TLSConfig: server}, ours.Policy{ImplicitTLS: true})
	sender := &ours.Transport{Addr: srv.Addr, Dialer: &ours.Dialer{TLS: ours.TLSImplicit, TLSConfig: client}}
	defer sender.Close()
	_, err := sender.Send(context.Background(), ours.NewEnvelope("ann@example.com", "bob@example.net"), strings.NewReader("Subject: Order\r\n\r\n"))
	fmt.Println(srv.One(t).TLS, err)
	// Output: true <nil>
}

// What sends through an smtp.Sender needs no server at all.
func ExampleRecorder() {
	t := new(example)
	var rec smtptest.Recorder
	notify := func(s ours.Sender) error { // what is tested
		_, err := s.Send(context.Background(), ours.NewEnvelope("shop@example.com", "bob@example.net"), strings.NewReader("Subject: Your order\r\n\r\n"))
		return err
	}
	fmt.Println(notify(&rec))
	fmt.Println(rec.One(t).HasSubject("Your order").Envelope.To[0].Address)
	// Output:
	// <nil>
	// bob@example.net
}

// Wait is for what sends in its own time.
func ExampleRecorder_Wait() {
	t := new(example)
	defer t.end()
	srv := smtptest.NewServer(t, nil)
	for _, user := range []string{"bob@example.net", "eve@example.net"} {
		go signUp(srv.Addr, user)
	}
	fmt.Println(len(srv.Wait(t, 2)))
	// Output: 2
}

// A server that says what no real one can be made to say.
func ExampleScript() {
	t := new(example)
	defer t.end()
	addr := smtptest.Script(t, `
S: 220 mx.example.com ready
C: EHLO localhost
S: 250 mx.example.com
C: MAIL FROM:<ann@example.com>
S: 451 4.3.0 out of memory
S: <close>`)
	fmt.Println(signUp(addr, "bob@example.net"))
	// Output: 451 "4.3.0 out of memory"
}

// A client that says what no real one can be made to say.
func ExamplePlay() {
	t := new(example)
	defer t.end()
	srv := smtptest.NewServer(t, nil)
	smtptest.Play(t, srv.Addr, `
S: 220 *
C: EHLO client.example.org
S: ...
C| MAIL FROM:<ann@example.com>\nRSET\r\n
S: 500 *
S: <close>`)
	srv.None(t)
	// Output:
}
