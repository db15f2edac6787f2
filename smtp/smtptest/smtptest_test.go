package smtptest_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	netsmtp "net/smtp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

const minutes = "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nCc: cy@example.net\r\nSubject: =?utf-8?q?Minutes_of_M=C3=A4rz?=\r\nX-Kind: test\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello, Bob.\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>\r\n" +
	"--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=minutes.txt\r\n\r\nx\r\n--b--\r\n"

// What a project does that uses nothing else of this module.
func TestServer(t *testing.T) {
	srv := smtptest.NewServer(t, nil)
	srv.None(t)
	if err := netsmtp.SendMail(srv.Addr, nil, "ann@example.com", []string{"bob@example.net", "cy@example.net"}, []byte(minutes)); err != nil {
		t.Fatal(err)
	}
	m := srv.One(t).HasSender("ann@example.com").HasRecipients("cy@example.net", "bob@example.net").
		HasFrom("ann@example.com").HasTo("bob@example.net").HasCc("cy@example.net").HasSubject("Minutes of März").
		HasText("Hello, Bob").HasHTML("<p>Hello</p>").HasAttachment("minutes.txt").HasField("X-Kind", "test")
	if m.Hello != "localhost" || m.TLS || m.User != "" || string(m.Raw) != minutes {
		t.Errorf("got %+v, want it as it was sent", m)
	}
	srv.Reset()
	srv.None(t)
}

// A spy is a test that may fail.
type spy struct {
	testing.TB
	said []string
}

func (s *spy) Helper() {}
func (s *spy) Errorf(format string, args ...any) {
	s.said = append(s.said, fmt.Sprintf(format, args...))
}

// What is not so is told, with what was got and what was wanted.
func TestAssertionsFail(t *testing.T) {
	var rec smtptest.Recorder
	if _, err := rec.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bob@example.net"), text(minutes)); err != nil {
		t.Fatal(err)
	}
	s := &spy{TB: t}
	rec.None(s)
	rec.One(s).HasSender("x").HasRecipients("x").HasFrom("x").HasTo("x").HasCc("x").HasSubject("x").HasText("yyy").HasHTML("yyy").HasAttachment("x").HasField("X-Kind", "x")
	if len(s.said) != 11 {
		t.Errorf("got %d failures, want 11: %q", len(s.said), s.said)
	}
	if want := `smtptest: subject: got "Minutes of März", want "x"`; len(s.said) > 6 && s.said[6] != want {
		t.Errorf("got %q, want %q", s.said[6], want)
	}
}

type text string

func (s text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(s))
	return int64(n), err
}

// Who waits is told of each message as it comes.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec smtptest.Recorder
		got := make(chan int, 1)
		go func() { got <- len(rec.Wait(t, 3)) }()
		for n := range 3 {
			synctest.Wait()
			if len(got) > 0 {
				t.Fatalf("it has not waited for more than %d messages", n)
			}
			rec.Send(t.Context(), smtp.NewEnvelope("a@example.com", "b@example.net"), text("x\r\n"))
		}
		if n := <-got; n != 3 {
			t.Errorf("got %d messages, want 3", n)
		}
	})
}

// A Recorder keeps what Send's contract asks it to.
func TestRecorder(t *testing.T) {
	rec := smtptest.Recorder{OnRcpt: func(rcpt string) error {
		if strings.HasPrefix(rcpt, "nobody") {
			return smtp.Errorf(550, "5.1.1", "no such user")
		}
		return nil
	}}
	results, err := rec.Send(t.Context(), smtp.NewEnvelope("a@example.com", "nobody@example.net", "bob@example.net"), text("x\r\n"))
	if !errors.Is(results[0].Err, smtp.ErrPermanent) || results[1].Err != nil || results[1].ID != "1" || results[1].Rcpt != "bob@example.net" || err == nil {
		t.Errorf("got %+v and %v, want one refused and one accepted", results, err)
	}
	rec.One(t).HasRecipients("bob@example.net")
	if results, err := rec.Send(t.Context(), smtp.NewEnvelope("a@example.com", "nobody@example.net"), text("x\r\n")); err == nil || len(results) != 1 {
		t.Errorf("got %+v and %v, want a refusal", results, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if results, err := rec.Send(ctx, smtp.NewEnvelope("a@example.com", "bob@example.net"), text("x\r\n")); !errors.Is(results[0].Err, context.Canceled) || err == nil {
		t.Errorf("got %+v and %v, want the context's error", results, err)
	}
	if n := len(rec.Messages()); n != 1 {
		t.Errorf("got %d messages, want 1", n)
	}
}

// client is one that tries once and knows what a server told it.
func client(srv *smtptest.Server) *smtp.Transport {
	return &smtp.Transport{Addr: srv.Addr, Dialer: &smtp.Dialer{Hostname: "c.example.org", Timeouts: smtp.Timeouts{
		Greeting: time.Second, Command: time.Second, Data: time.Second, End: time.Second,
	}}}
}

// Each fault is what a client then sees, at each place. Ours says envelope and
// message in one flight: what is lost after that may have been delivered.
func TestFaults(t *testing.T) {
	const temporary, permanent, unknown = "temporary", "permanent", "unknown"
	for name, c := range map[string]struct {
		fault smtptest.Fault
		want  string
		kept  int
	}{
		"reply to RCPT":      {smtptest.Fault{Verb: "RCPT", Reply: "450 4.2.1 not now"}, temporary, 0},
		"reply to MAIL":      {smtptest.Fault{Verb: "MAIL", Reply: "550 5.7.1 not you"}, permanent, 0},
		"reply to a message": {smtptest.Fault{Verb: smtptest.EndOfData, Reply: "554 5.6.0 not that"}, permanent, 0},
		"greeting":           {smtptest.Fault{Verb: smtptest.Connect, Reply: "554 5.3.2 closed"}, permanent, 0},
		"stall at RCPT":      {smtptest.Fault{Verb: "RCPT", Stall: true}, unknown, 0},
		"stall at the end":   {smtptest.Fault{Verb: smtptest.EndOfData, Stall: true}, unknown, 1},
		"reset at MAIL":      {smtptest.Fault{Verb: "MAIL", Reset: true}, unknown, 0},
		"reset at the end":   {smtptest.Fault{Verb: smtptest.EndOfData, Reset: true}, unknown, 1},
		"half a greeting":    {smtptest.Fault{Verb: smtptest.Connect, Truncate: true}, temporary, 0},
		"half a reply":       {smtptest.Fault{Verb: "mail", Truncate: true}, unknown, 0},
		"half a last reply":  {smtptest.Fault{Verb: smtptest.EndOfData, Truncate: true}, unknown, 1},
		"slow":               {smtptest.Fault{Verb: "MAIL", Throttle: 2000}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := smtptest.NewServer(t, nil)
			srv.Fault(c.fault)
			tr := client(srv)
			defer tr.Close()
			results, _ := tr.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bob@example.net"), text("Subject: x\r\n\r\n"))
			got := ""
			for class, err := range map[string]error{temporary: smtp.ErrTemporary, permanent: smtp.ErrPermanent, unknown: smtp.ErrUnknown} {
				if errors.Is(results[0].Err, err) {
					got = class
				}
			}
			if got != c.want || len(srv.Messages()) != c.kept {
				t.Errorf("got %q (%v) and %d messages kept, want %q and %d", got, results[0].Err, len(srv.Messages()), c.want, c.kept)
			}
			if c.fault.Reply != "" && !strings.Contains(fmt.Sprint(results[0].Err), c.fault.Reply) {
				t.Errorf("got %v, want it to hold %q", results[0].Err, c.fault.Reply)
			}
		})
	}
}

// A fault happens as often as it says, and no more once it is healed.
func TestFaultTimes(t *testing.T) {
	srv := smtptest.NewServer(t, nil)
	srv.Fault(smtptest.Fault{Verb: "NOOP", Times: 2, Reply: "450 4.3.0 later"})
	srv.Fault(smtptest.Fault{Verb: "RSET", Reply: "550 no"})
	c := func(verb, want string) string { return "C: " + verb + "\nS: " + want + "\n" }
	smtptest.Play(t, srv.Addr, "S: 220 *\n"+c("NOOP", "450 4.3.0 later")+c("NOOP", "450 4.3.0 later")+c("NOOP", "250 *")+c("RSET", "550 5.0.0 no")+c("RSET", "550 5.0.0 no")+c("QUIT", "221 *"))
	srv.Heal()
	smtptest.Play(t, srv.Addr, "S: 220 *\n"+c("RSET", "250 *")+c("QUIT", "221 *"))
}

// TLS works with the pair of TLS, and fails where that is wanted.
func TestTLS(t *testing.T) {
	server, trusting := smtptest.TLS(t)
	srv := smtptest.NewServer(t, &smtp.Server{TLSConfig: server, OnAuth: func(context.Context, *smtp.Conn, string, string) error { return nil }})
	d := &smtp.Dialer{TLS: smtp.TLSStartTLS, TLSConfig: trusting}
	send := func() error {
		tr := &smtp.Transport{Addr: srv.Addr, Dialer: d}
		defer tr.Close()
		_, err := tr.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bob@example.net"), text("x\r\n"))
		return err
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	if m := srv.One(t); !m.TLS {
		t.Error("the message did not come in TLS")
	}
	if server.GetConfigForClient != nil {
		t.Error("the test's own configuration was changed")
	}
	for _, reset := range []bool{false, true} {
		srv.Fault(smtptest.Fault{Verb: smtptest.Handshake, Times: 1, Reset: reset})
		if err := send(); err == nil || errors.Is(err, syscall.ECONNRESET) != reset {
			t.Errorf("reset %v: got %v from a handshake that fails", reset, err)
		}
	}
	srv.Fault(smtptest.Fault{Throttle: 1 << 20}) // of any verb, which a handshake is not
	if err := send(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		_, err := server.Certificates[0].Leaf.Verify(x509.VerifyOptions{Roots: trusting.RootCAs, DNSName: name, CurrentTime: time.Now().Add(23 * time.Hour)})
		if err != nil {
			t.Errorf("the certificate is not good for %s in 23 hours: %v", name, err)
		}
	}
	smtps := smtptest.Start(t, &smtp.Server{TLSConfig: server}, smtp.Policy{ImplicitTLS: true})
	if !strings.HasPrefix(smtps.URL, "smtps://") {
		t.Errorf("got %q, want smtps://", smtps.URL)
	}
}

// Scripts are for what no real server says; a client that says something else fails the test.
func TestScript(t *testing.T) {
	addr := smtptest.Script(t, "S: 220 mx.example.com ready\nC: EHLO *\nS: 250 mx.example.com\nC: MAIL FROM:<ann@example.com>\nS: 451 4.3.0 out of memory\nS: <close>\n")
	tr := &smtp.Transport{Addr: addr}
	defer tr.Close()
	if _, err := tr.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bob@example.net"), text("x\r\n")); !errors.Is(err, smtp.ErrTemporary) || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("got %v, want the script's refusal", err)
	}
	s := &spy{TB: t}
	smtptest.Play(s, smtptest.NewServer(t, nil).Addr, "S: 220 *\nC: NOOP\nS: 251 *\n")
	if len(s.said) != 1 || !strings.Contains(s.said[0], `line:3: got "250 2.0.0 ok", want "251 *"`) {
		t.Errorf("got %q, want what differs, and where", s.said)
	}
}

// The server's own functions are called behind the faults.
func TestOwnHandler(t *testing.T) {
	heard := make(chan string, 10)
	own := &smtp.Server{
		Logger:    slog.Default(),
		OnConnect: func(context.Context, *smtp.Conn) error { heard <- "connect"; return nil },
		OnCommand: func(_ context.Context, _ *smtp.Conn, verb, _ string) error { heard <- verb; return nil },
		Handler: &smtp.Hooks{OnSender: func(_ context.Context, _ *smtp.Conn, from string, _ *smtp.MailOptions) error {
			if from == "" {
				return smtp.Errorf(550, "5.7.1", "mine")
			}
			return nil
		}}, // and without OnData, so that messages are refused
	}
	srv := smtptest.Start(t, own, smtp.Policy{LMTP: true})
	srv.Fault(smtptest.Fault{Verb: smtptest.EndOfData, Throttle: 1 << 20}) // which takes nothing back
	smtptest.Play(t, srv.Addr, "S: 220 *\nC: LHLO x\nS: 250-*\nS: ...\nC: MAIL FROM:<>\nS: 550 5.7.1 mine\n"+
		"C: MAIL FROM:<a@example.com>\nS: 250 *\nC: RCPT TO:<b@example.net>\nS: 250 *\nC: DATA\nS: 354 *\nC: .\nS: 554 *\nC: QUIT\nS: 221 *\n")
	if quiet := new(smtp.Server); own.Logger != slog.Default() || smtptest.NewServer(t, quiet) == nil || quiet.Logger == nil {
		t.Error("the server that was given does not keep its Logger, or one without gets none that is quiet")
	}
	for _, want := range []string{"connect", "LHLO", "MAIL", "MAIL", "RCPT", "DATA", "QUIT"} {
		if got := <-heard; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	srv.None(t)
	if !strings.HasPrefix(srv.URL, "lmtp://") {
		t.Errorf("got %q, want lmtp://", srv.URL)
	}
}
