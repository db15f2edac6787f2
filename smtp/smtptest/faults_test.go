package smtptest_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// A fault happens where it was put, on every verb, and the session is then what it says.

// upTo are the lines that lead to a verb and the verb itself, the reply to which is the
// fault's.
var upTo = map[string]string{
	"EHLO":     "C: EHLO x\n",
	"HELO":     "C: HELO x\n",
	"MAIL":     "C: EHLO x\nS: 250-*\nS: ...\nC: MAIL FROM:<a@example.com>\n",
	"RCPT":     "C: EHLO x\nS: 250-*\nS: ...\nC: MAIL FROM:<a@example.com>\nS: 250 *\nC: RCPT TO:<b@example.net>\n",
	"DATA":     "C: EHLO x\nS: 250-*\nS: ...\nC: MAIL FROM:<a@example.com>\nS: 250 *\nC: RCPT TO:<b@example.net>\nS: 250 *\nC: DATA\n",
	"BDAT":     "C: EHLO x\nS: 250-*\nS: ...\nC: MAIL FROM:<a@example.com>\nS: 250 *\nC: RCPT TO:<b@example.net>\nS: 250 *\nC: BDAT 3 LAST\nC| x\\r\\n\n",
	"STARTTLS": "C: EHLO x\nS: 250-*\nS: ...\nC: STARTTLS\n",
	"RSET":     "C: RSET\n",
	"NOOP":     "C: NOOP\n",
	"VRFY":     "C: VRFY ann\n",
	"QUIT":     "C: QUIT\n",
	"HELP":     "C: HELP\n",
}

func TestFaultsOnEveryVerb(t *testing.T) {
	for verb, lines := range upTo {
		for _, at := range []string{verb, ""} { // "" is any verb, so that the first one has it
			srv := smtptest.NewServer(t, &smtp.Server{TLSConfig: tlsOf(t)})
			srv.Fault(smtptest.Fault{Verb: at, Times: 1, Reply: "450 4.9.9 not now"})
			script := lines
			if at == "" {
				script = strings.SplitAfter(lines, "\n")[0]
			}
			smtptest.Play(t, srv.Addr, "S: 220 *\n"+script+"S: 450 4.9.9 not now\nC: NOOP\nS: 250 *\nC: QUIT\nS: 221 *\n")
			srv.Fault(smtptest.Fault{Verb: verb, Times: 1, Reset: true})
			smtptest.Play(t, srv.Addr, "S: 220 *\n"+lines+"S: <close>\n")
			srv.None(t)
		}
	}
}

func tlsOf(t *testing.T) *tls.Config {
	server, _ := smtptest.TLS(t)
	return server
}

// heard connects, says something and returns what is answered until the server ends, and
// how that was; while stalls is true it goes away by itself once something has come.
func heard(t *testing.T, addr, said string) (string, error) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(nc, said)
	all, err := io.ReadAll(nc)
	return string(all), err
}

// Half of a reply is what comes, and nothing after it.
func TestTruncate(t *testing.T) {
	srv := smtptest.NewServer(t, nil)
	srv.Fault(smtptest.Fault{Verb: smtptest.Connect, Truncate: true, Times: 1})
	const greeting = "220 mx.example.com ESMTP ready\r\n"
	if got, err := heard(t, srv.Addr, ""); got != greeting[:len(greeting)/2] || err != nil {
		t.Errorf("got %q, %v, want half of %q", got, err, greeting)
	}
	srv.Fault(smtptest.Fault{Verb: "NOOP", Truncate: true})
	if got, _ := heard(t, srv.Addr, "NOOP\r\n"); !strings.HasPrefix(greeting+"250 2.0.0 ok\r\n", got) || len(got) >= len(greeting)+14 {
		t.Errorf("got %q, want the greeting and half of the reply to NOOP at most", got)
	}
}

// A server that says nothing waits for the client to go, or for the test to end.
func TestStall(t *testing.T) {
	srv := smtptest.NewServer(t, nil)
	srv.Fault(smtptest.Fault{Verb: "NOOP", Stall: true})
	nc, err := net.Dial("tcp", srv.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "NOOP\r\n")
	nc.(*net.TCPConn).CloseWrite()
	all, _ := io.ReadAll(nc)
	if got := string(all); got != "220 mx.example.com ESMTP ready\r\n" && !strings.Contains(got, "\r\n451 ") {
		t.Errorf("got %q, want no reply to NOOP while the client waits", got)
	}
	for _, p := range []smtp.Policy{{}, {ImplicitTLS: true}} {
		t.Run(fmt.Sprintf("until the end of the test %v", p.ImplicitTLS), func(t *testing.T) {
			srv := smtptest.Start(t, &smtp.Server{TLSConfig: tlsOf(t)}, p)
			srv.Fault(smtptest.Fault{Verb: map[bool]string{false: smtptest.Connect, true: smtptest.Handshake}[p.ImplicitTLS], Stall: true})
			nc, err := net.Dial("tcp", srv.Addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { nc.Close() }) // after the server's end, which is to be reached
			go tls.Client(nc, &tls.Config{InsecureSkipVerify: true}).Handshake()
		})
	}
}

// What cannot be read as a refusal is a mistake in the test.
func TestNoRefusal(t *testing.T) {
	srv := smtptest.NewServer(t, nil)
	panics := func(f smtptest.Fault, want string) {
		defer func() {
			if v := fmt.Sprint(recover()); !strings.HasPrefix(v, "smtptest: ") || !strings.Contains(v, want) {
				t.Errorf("%+v: got %v, want a panic that says %q", f, v, want)
			}
		}()
		srv.Fault(f)
	}
	for _, reply := range []string{"250 ok", "hello", "600 what", "399 what", "45", "-450 no"} {
		panics(smtptest.Fault{Verb: "NOOP", Reply: reply}, reply)
	}
	panics(smtptest.Fault{Verb: "NOOP", Times: 1}, "does one thing, and this does 0")
	panics(smtptest.Fault{Verb: "NOOP", Stall: true, Reset: true}, "this does 2")
	panics(smtptest.Fault{Verb: "NOOP", Reply: "450 no", Truncate: true}, "this does 2")
	srv.Fault(smtptest.Fault{Verb: smtptest.Handshake}) // is all of one
	srv.Fault(smtptest.Fault{Verb: "RSET", Reply: "400 the first code"})
	srv.Fault(smtptest.Fault{Verb: "RSET", Reply: "599 the last one"})
	// An enhanced code of another class is text.
	srv.Fault(smtptest.Fault{Verb: "NOOP", Reply: "450 5.1.1 odd"})
	smtptest.Play(t, srv.Addr, "S: 220 *\nC: NOOP\nS: 450 4.0.0 5.1.1 odd\nC: QUIT\nS: 221 *\n")
}

// The first fault that fits happens; one that is over makes room for the next.
func TestFaultsInOrder(t *testing.T) {
	srv := smtptest.NewServer(t, nil)
	srv.Fault(smtptest.Fault{Verb: "NOOP", Times: 1, Reply: "450 one"})
	srv.Fault(smtptest.Fault{Times: 2, Reply: "451 two"})
	srv.Fault(smtptest.Fault{Verb: "NOOP", Reply: "452 three"})
	smtptest.Play(t, srv.Addr, "S: 220 *\nC: NOOP\nS: 450 4.0.0 one\nC: NOOP\nS: 451 4.0.0 two\nC: RSET\nS: 451 4.0.0 two\nC: NOOP\nS: 452 4.0.0 three\nC: NOOP\nS: 452 4.0.0 three\nC: QUIT\nS: 221 *\n")
}

// A fatal spy ends its goroutine, as a test that has failed does.
type fatalSpy struct {
	spy
	deadline time.Time
}

func (s *fatalSpy) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	panic(s)
}

func (s *fatalSpy) Fatal(args ...any) { s.Fatalf("%s", fmt.Sprint(args...)) }

func (s *fatalSpy) Deadline() (time.Time, bool) { return s.deadline, !s.deadline.IsZero() }

// waits returns what a test is told that waits in vain.
func waits(s *fatalSpy, wait func(testing.TB)) string {
	defer func() { recover() }()
	wait(s)
	return ""
}

// Waiting in vain ends, by Patience or by the test's own time, and says what has come.
func TestPatience(t *testing.T) {
	rec := smtptest.Recorder{Patience: time.Millisecond}
	rec.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bob@example.net"), text("Subject: one\r\n\r\n"))
	for name, s := range map[string]*fatalSpy{"its own": {}, "the test's": {deadline: time.Now().Add(time.Hour)}, "over": {deadline: time.Now()}} {
		s.TB = t
		waits(s, func(t testing.TB) { rec.Wait(t, 2) })
		if got := strings.Join(s.said, "\n"); !strings.Contains(got, "got 1 messages in ") || !strings.Contains(got, `a message from ann@example.com for [bob@example.net], "one"`) {
			t.Errorf("%s: got %q, want how long it waited, and what came", name, got)
		}
	}
	// With the default it would take half a minute, and the test has none.
	s := &fatalSpy{spy: spy{TB: t}, deadline: time.Now().Add(time.Second)}
	waits(s, func(t testing.TB) { new(smtptest.Recorder).One(t) })
	if len(s.said) != 1 || !strings.HasPrefix(s.said[0], "smtptest: got 0 messages in 0s") {
		t.Errorf("got %q, want the end before the test's", s.said)
	}
	rec.Send(t.Context(), smtp.NewEnvelope("eve@example.com", "bob@example.net"), text("Subject: two\r\n\r\n"))
	s = &fatalSpy{spy: spy{TB: t}}
	waits(s, func(t testing.TB) { rec.One(t) })
	if len(s.said) != 1 || !strings.Contains(s.said[0], `eve@example.com for [bob@example.net], "two"`) {
		t.Errorf("got %q, want that there are two", s.said)
	}
}

// broken is a message whose source fails.
type broken struct{}

func (broken) WriteTo(w io.Writer) (int64, error) {
	n, _ := io.WriteString(w, "Subject: half")
	return int64(n), errors.New("the disk is gone")
}

// What has not arrived whole is not kept, of a Sender and of a server.
func TestHalfIsNotKept(t *testing.T) {
	var rec smtptest.Recorder
	results, err := rec.Send(t.Context(), smtp.NewEnvelope("a@example.com", "b@example.net", "c@example.net"), broken{})
	if err == nil || len(results) != 2 || results[0].Err == nil || results[1].Err == nil {
		t.Errorf("got %+v, %v, want an error for each", results, err)
	}
	rec.None(t)
	srv := smtptest.NewServer(t, nil)
	smtptest.Play(t, srv.Addr, "S: 220 *\n"+upTo["DATA"]+"S: 354 *\nC: Subject: half\nC: <close>\n")
	smtptest.Play(t, srv.Addr, "S: 220 *\nC: NOOP\nS: 250 *\nC: QUIT\nS: 221 *\n")
	srv.None(t)
}

// Many send at once, and each is kept with its own envelope.
func TestManyAtOnce(t *testing.T) {
	srv := smtptest.NewServer(t, nil)
	const n = 20
	for i := range n {
		go func() {
			to := fmt.Sprintf("u%d@example.net", i)
			tr := &smtp.Transport{Addr: srv.Addr, Dialer: &smtp.Dialer{}}
			defer tr.Close()
			tr.Send(t.Context(), smtp.NewEnvelope("a@example.com", to), text("Subject: "+to+"\r\n\r\n"))
		}()
	}
	seen := map[string]bool{}
	for _, m := range srv.Wait(t, n) {
		to := m.Envelope.To[0].Address
		if m.HasSubject(to).HasSender("a@example.com"); seen[to] {
			t.Errorf("got %s, want each once", m)
		}
		seen[to] = true
	}
}

// A Recorder is asked for each recipient by a server too, and offers what a test may want
// to see arrive.
func TestRecorderBehindAServer(t *testing.T) {
	rec := &smtptest.Recorder{OnRcpt: func(to string) error {
		if to == "nobody@example.net" {
			return smtp.Errorf(550, "5.1.1", "no such user")
		}
		return nil
	}}
	srv := smtptest.NewServer(t, &smtp.Server{Handler: rec})
	smtptest.Play(t, srv.Addr, "S: 220 *\nC: EHLO x\nS: 250-*\nS: ...\nC: MAIL FROM:<a@example.com> RET=HDRS ENVID=q\nS: 250 *\nC: RCPT TO:<nobody@example.net>\nS: 550 5.1.1 no such user\n"+
		"C: RCPT TO:<b@example.net> NOTIFY=NEVER\nS: 250 *\nC: DATA\nS: 354 *\nC: x\nC: .\nS: 250 2.0.0 ok: queued as 1\nC: QUIT\nS: 221 *\n")
	m := rec.One(t).HasSender("a@example.com").HasRecipients("b@example.net")
	if m.Envelope.Options.EnvelopeID != "q" || m.Envelope.To[0].Options.Notify != smtp.NotifyNever || m.Hello != "x" || string(m.Raw) != "x\r\n" {
		t.Errorf("got %+v, want the options as they were said", m.Envelope)
	}
	srv.None(t) // it was given a Handler of its own
}

// A script is for one client; whoever comes again finds nobody.
func TestScriptOnce(t *testing.T) {
	addr := smtptest.Script(t, "S: 220 hello\nC: QUIT\nS: 221 bye\nS: <close>\n")
	if got, _ := heard(t, addr, "QUIT\r\n"); got != "220 hello\r\n221 bye\r\n" {
		t.Errorf("got %q, want what the script says", got)
	}
	if nc, err := net.Dial("tcp", addr); err == nil {
		nc.Close()
		t.Error("a second client was let in")
	}
}

// A client that says something else than the script is told at the end of the test, and a
// script that cannot be read at once.
func TestScriptFails(t *testing.T) {
	s := &endingSpy{fatalSpy: fatalSpy{spy: spy{TB: t}}}
	addr := smtptest.Script(s, "S: 220 hello\nC: EHLO x\nS: 250 ok\n")
	heard(t, addr, "HELO x\r\n")
	s.end()
	if len(s.said) != 1 || !strings.Contains(s.said[0], `line:2: got "HELO x", want "EHLO x"`) {
		t.Errorf("got %q, want what the client said, and where", s.said)
	}
	s = &endingSpy{fatalSpy: fatalSpy{spy: spy{TB: t}}}
	smtptest.Script(s, "S: 220 nobody comes\n")
	s.end()
	if len(s.said) != 0 {
		t.Errorf("got %q of a script that nobody came to, want nothing", s.said)
	}
	for want, play := range map[string]func(testing.TB){
		"line:1": func(t testing.TB) { smtptest.Script(t, "X: 220 hello\n") }, "refused": func(t testing.TB) { smtptest.Play(t, "127.0.0.1:1", "S: 220 *\n") },
	} {
		s := &fatalSpy{spy: spy{TB: t}}
		if waits(s, play); len(s.said) != 1 || !strings.Contains(s.said[0], want) {
			t.Errorf("got %q, want %q and the end", s.said, want)
		}
	}
}

// An endingSpy has an end of its own.
type endingSpy struct {
	fatalSpy
	ends []func()
}

func (s *endingSpy) Cleanup(f func()) { s.ends = append(s.ends, f) }

func (s *endingSpy) end() {
	for _, f := range s.ends {
		f()
	}
}
