package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

var ctx = context.Background()

// say prints who is accepted and who is not.
func say(results []smtp.Result, err error) {
	for _, r := range results {
		fmt.Println(r.Rcpt, r.Err)
	}
}

// busy refuses for now whoever begins with "busy".
func busy(rcpt string) error {
	if strings.HasPrefix(rcpt, "busy") {
		return smtp.Errorf(450, "4.2.1", "not now")
	}
	return nil
}

func ExampleFailover() {
	first := &smtptest.Recorder{OnRcpt: busy}
	second := &smtptest.Recorder{}
	s := smtp.Failover(first, second)
	say(s.Send(ctx, smtp.NewEnvelope("ann@example.com", "bob@example.net", "busy@example.net"), text("Subject: x\r\n")))
	fmt.Println(len(first.Messages()), len(second.Messages()))
	// Output:
	// bob@example.net <nil>
	// busy@example.net <nil>
	// 1 1
}

func ExampleRoundRobin() {
	var a, b smtptest.Recorder
	s := smtp.RoundRobin(&a, &b)
	for range 4 {
		s.Send(ctx, toBob, text("Subject: x\r\n"))
	}
	fmt.Println(len(a.Messages()), len(b.Messages()))
	// Output: 2 2
}

func ExampleRetry() {
	tries := 0
	greylisting := &smtptest.Recorder{OnRcpt: func(string) error {
		if tries++; tries < 3 {
			return smtp.Errorf(451, "4.7.1", "come again")
		}
		return nil
	}}
	s := &smtp.Retry{Sender: greylisting, MaxWait: time.Millisecond}
	say(s.Send(ctx, toBob, text("Subject: x\r\n")))
	fmt.Println(tries)
	// Output:
	// bob@example.net <nil>
	// 3
}

func ExampleRateLimit() {
	var server smtptest.Recorder
	s := &smtp.RateLimit{Sender: &server, PerSecond: 100, PerDomain: 5, Burst: 2}
	for range 2 {
		say(s.Send(ctx, toBob, text("Subject: x\r\n"))) // the third would wait
	}
	// Output:
	// bob@example.net <nil>
	// bob@example.net <nil>
}

func ExampleTee() {
	var server, archive smtptest.Recorder
	smtp.Tee(&server, &archive).Send(ctx, toBob, text("Subject: x\r\n"))
	fmt.Printf("%s", archive.Messages()[0].Raw)
	// Output: Subject: x
}

func ExampleRedirect() {
	var server smtptest.Recorder
	staging := smtp.Redirect(&server, "tests@example.com")
	say(staging.Send(ctx, smtp.NewEnvelope("ann@example.com", "bob@example.net", "cy@example.net"), text("Subject: x\r\n")))
	fmt.Println(server.Messages()[0].Envelope.To[0].Address)
	// Output:
	// bob@example.net <nil>
	// cy@example.net <nil>
	// tests@example.com
}

func ExampleAllow() {
	var server smtptest.Recorder
	ours := smtp.Allow(&server, func(address string) bool { return strings.HasSuffix(address, "@example.com") })
	say(ours.Send(ctx, smtp.NewEnvelope("ann@example.com", "di@example.com", "bob@example.net"), text("Subject: x\r\n")))
	// Output:
	// di@example.com <nil>
	// bob@example.net smtp: this recipient is not on the list of those allowed
}

// Who is refused for good, or whose fate is unknown, is never tried again; a message that
// can be read once only is whole each time.
func TestCombinedFates(t *testing.T) {
	fates := map[string]error{"never@y": smtp.Errorf(550, "5.1.1", "no"), "unknown@y": smtp.ErrUnknown, "later@y": smtp.Errorf(450, "4.2.1", "later"), "good@y": nil}
	env := smtp.NewEnvelope("a@x", "never@y", "unknown@y", "later@y", "good@y")
	for name, make := range map[string]func(a, b smtp.Sender) smtp.Sender{
		"Failover":   func(a, b smtp.Sender) smtp.Sender { return smtp.Failover(a, b) },
		"RoundRobin": func(a, b smtp.Sender) smtp.Sender { return smtp.RoundRobin(a, b) },
		"Retry": func(a, b smtp.Sender) smtp.Sender {
			n := 0
			return &smtp.Retry{Attempts: 2, Wait: 1, Sender: smtp.SenderFunc(func(ctx context.Context, env *smtp.Envelope, msg io.WriterTo) ([]smtp.Result, error) {
				n++
				return []smtp.Sender{a, b}[n-1].Send(ctx, env, msg)
			})}
		},
	} {
		first := &smtptest.Recorder{OnRcpt: func(rcpt string) error { return fates[rcpt] }}
		second := &smtptest.Recorder{}
		results, err := make(first, second).Send(t.Context(), env, text("whole\r\n"))
		got := ""
		for _, r := range results {
			got += fmt.Sprintf("%s %s; ", r.Rcpt, classes(r.Err))
		}
		if want := "never@y permanent; unknown@y unknown; later@y ; good@y ; "; got != want || !errors.Is(err, smtp.ErrUnknown) {
			t.Errorf("%s: got %s (%v), want %s", name, got, err, want)
		}
		if m := second.Messages(); len(m) != 1 || len(m[0].Envelope.To) != 1 || string(m[0].Raw) != "whole\r\n" {
			t.Errorf("%s: the second got %+v", name, m)
		}
	}
	if _, err := smtp.Failover().Send(t.Context(), toBob, text("x")); classes(err) != "temporary" {
		t.Errorf("no senders: got %v", err)
	}
	if results, err := smtp.Redirect(&smtptest.Recorder{}).Send(t.Context(), toBob, text("x")); classes(err) != "permanent" || len(results) != 1 {
		t.Errorf("nobody to redirect to: got %v", err)
	}
}

// Waits are as long as they are said to be, and end with the context.
func TestCombinedTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		always := &smtptest.Recorder{OnRcpt: func(string) error { return smtp.Errorf(450, "", "later") }}
		begin := time.Now()
		_, err := (&smtp.Retry{Sender: always, Attempts: 4, Wait: time.Minute, MaxWait: 2 * time.Minute}).Send(t.Context(), toBob, text("x\r\n"))
		if d := time.Since(begin); classes(err) != "temporary" || d < 150*time.Second || d > 300*time.Second {
			t.Errorf("four attempts: got %v after %v, want it after half of 1+2+2 minutes to all of them", err, d)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin = time.Now()
		_, err = (&smtp.Retry{Sender: always, Wait: time.Hour}).Send(short, toBob, text("x\r\n"))
		if d := time.Since(begin); classes(err) != "temporary" || d != time.Second {
			t.Errorf("cancelled: got %v after %v, want 1s", err, d)
		}
		limited := &smtp.RateLimit{Sender: &smtptest.Recorder{}, PerDomain: 1}
		begin = time.Now()
		for _, to := range []string{"a@x", "a@y", "b@X", "c@x", "b@y"} {
			if _, err := limited.Send(t.Context(), smtp.NewEnvelope("a@b", to), text("x\r\n")); err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(begin); d != 2*time.Second {
			t.Errorf("three to x and two to y: took %v, want 2s", d)
		}
	})
}

// What a Retry makes of each fate: tried again or not, and after how long.
func TestRetryByCode(t *testing.T) {
	for _, c := range []struct {
		fate     error
		attempts int
		wait     time.Duration // at most; half of it at least
	}{
		{smtp.Errorf(450, "4.2.1", "busy"), 2, time.Second},
		{smtp.Errorf(452, "4.2.2", "mailbox full"), 2, time.Hour},
		{smtp.Errorf(452, "4.3.1", "disk full"), 2, time.Hour},
		{smtp.Errorf(421, "4.3.2", "going down"), 2, time.Second},
		{smtp.Errorf(421, "4.7.0", "too many from you"), 2, time.Hour},
		{smtp.Errorf(451, "4.4.2", "timeout"), 2, time.Second},
		{smtp.Errorf(451, "4.7.1", "greylisted"), 2, time.Hour},
		{smtp.Errorf(451, "", "later"), 2, time.Second},
		{smtp.ErrTemporary, 2, time.Second},
		{smtp.Errorf(552, "5.2.2", "mailbox full"), 1, 0},
		{smtp.Errorf(550, "5.7.1", "try again later"), 1, 0},
		{smtp.Errorf(554, "5.3.2", "going down"), 1, 0},
		{smtp.ErrUnknown, 1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			attempts := 0
			server := &smtptest.Recorder{OnRcpt: func(string) error {
				if attempts++; attempts == 1 {
					return c.fate
				}
				return nil
			}}
			begin := time.Now()
			results, err := (&smtp.Retry{Sender: server, MaxWait: time.Hour}).Send(t.Context(), toBob, text("x\r\n"))
			if took := time.Since(begin); attempts != c.attempts || took < c.wait/2 || took > c.wait {
				t.Errorf("%v: got %d attempts and %v, want %d and %v", c.fate, attempts, took, c.attempts, c.wait)
			}
			if (err == nil) != (c.attempts == 2) || len(results) != 1 {
				t.Errorf("%v: got %+v, %v", c.fate, results, err)
			}
		})
	}
	// One who is deferred for a moment is not made to wait for another's mailbox.
	synctest.Test(t, func(t *testing.T) {
		server := &smtptest.Recorder{OnRcpt: func(rcpt string) error {
			if rcpt == "full@example.net" {
				return smtp.Errorf(452, "4.2.2", "mailbox full")
			}
			return smtp.Errorf(450, "4.2.1", "busy")
		}}
		begin := time.Now()
		_, err := (&smtp.Retry{Sender: server, Attempts: 2, MaxWait: time.Hour}).Send(t.Context(), smtp.NewEnvelope("a@x", "full@example.net", "busy@example.net"), text("x\r\n"))
		if took := time.Since(begin); classes(err) != "temporary" || took > time.Second {
			t.Errorf("mixed: got %v after %v, want it after a second", err, took)
		}
	})
}

// A server that has vanished holds up the first message only, whoever sends by turns; when it is back it has its place again.
func TestFailoverRemembers(t *testing.T) {
	for name, join := range map[string]func(...smtp.Sender) smtp.Sender{"Failover": smtp.Failover, "RoundRobin": smtp.RoundRobin} {
		synctest.Test(t, func(t *testing.T) {
			var vanished atomic.Bool
			vanished.Store(true)
			back, second := &smtptest.Recorder{}, &smtptest.Recorder{}
			first := smtp.SenderFunc(func(ctx context.Context, env *smtp.Envelope, msg io.WriterTo) ([]smtp.Result, error) {
				if !vanished.Load() {
					return back.Send(ctx, env, msg)
				}
				tr := &smtp.Transport{Dialer: &smtp.Dialer{NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) {
					<-ctx.Done() // a minute
					return nil, ctx.Err()
				}}}
				defer tr.Close()
				return tr.Send(ctx, env, msg)
			})
			s := join(first, second)
			for i, want := range []time.Duration{time.Minute, 0, 0} {
				begin := time.Now()
				_, err := s.Send(t.Context(), toBob, text("x\r\n"))
				if took := time.Since(begin); err != nil || took != want {
					t.Errorf("%s, message %d: got %v after %v, want it sent after %v", name, i+1, err, took, want)
				}
			}
			vanished.Store(false)
			time.Sleep(31 * time.Second)
			for range 2 {
				s.Send(t.Context(), toBob, text("x\r\n"))
			}
			if n := len(back.Messages()); n == 0 {
				t.Errorf("%s: it is back, and gets nothing", name)
			}
		})
	}
}

// A sender that has answered is there, whatever it said: it is asked first again.
func TestFailoverWhoAnswered(t *testing.T) {
	asked := 0
	first := &smtptest.Recorder{OnRcpt: func(string) error { asked++; return smtp.Errorf(450, "4.2.0", "busy") }}
	s := smtp.Failover(first, &smtptest.Recorder{})
	for range 2 {
		if _, err := s.Send(t.Context(), toBob, text("x\r\n")); err != nil {
			t.Error(err)
		}
	}
	if asked != 2 {
		t.Errorf("the first was asked %d times, want 2", asked)
	}
}

// Everybody is told the worst fate of those who got it in their place.
func TestRedirectTellsTheWorst(t *testing.T) {
	refusing := &smtptest.Recorder{OnRcpt: func(rcpt string) error {
		if rcpt == "second@test.example" {
			return smtp.Errorf(550, "5.1.1", "nobody")
		}
		return nil
	}}
	env := smtp.NewEnvelope("ann@example.com", "bob@example.net", "cy@example.net")
	results, err := smtp.Redirect(refusing, "first@test.example", "second@test.example").Send(t.Context(), env, text("x\r\n"))
	if classes(err) != "permanent" || len(results) != 2 {
		t.Fatalf("got %+v, %v, want both refused", results, err)
	}
	for i, r := range results {
		if r.Rcpt != env.To[i].Address || classes(r.Err) != "permanent" {
			t.Errorf("got %+v, want %s refused", r, env.To[i].Address)
		}
	}
	if m := refusing.Messages(); len(m) != 1 {
		t.Errorf("%d messages were sent, want 1", len(m))
	}
}

// A Sender that somebody has made of three lines tells no results; no error is for all.
func TestSilentSenders(t *testing.T) {
	for want, err := range map[string]error{"": nil, "temporary": smtp.Errorf(450, "4.2.1", "later")} {
		silent := smtp.SenderFunc(func(context.Context, *smtp.Envelope, io.WriterTo) ([]smtp.Result, error) { return nil, err })
		archive := &smtptest.Recorder{}
		for name, s := range map[string]smtp.Sender{"Redirect": smtp.Redirect(silent, "di@test.example"), "Tee": smtp.Tee(silent, archive)} {
			if results, err := s.Send(t.Context(), toBob, text("x\r\n")); classes(err) != want || len(results) != 1 || results[0].Rcpt != "bob@example.net" {
				t.Errorf("%s: got %+v, %v, want %q", name, results, err, want)
			}
		}
		if copies := len(archive.Messages()); copies == 1 != (want == "") {
			t.Errorf("%d copies of what was %q", copies, want)
		}
	}
}

// Whose time does not come is deferred, and nothing is sent; what a domain is limited to
// holds however many there are.
func TestRateLimitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &smtptest.Recorder{}
		for name, l := range map[string]*smtp.RateLimit{"in all": {Sender: server, PerSecond: 0.01}, "a domain": {Sender: server, PerDomain: 0.01}} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			for i, want := range []string{"", "temporary"} {
				results, err := l.Send(ctx, toBob, text("x\r\n"))
				if classes(err) != want || len(results) != 1 {
					t.Errorf("%s, message %d: got %v, %v, want %q", name, i+1, results, err, want)
				}
			}
		}
		if n := len(server.Messages()); n != 2 {
			t.Errorf("%d messages were sent, want 2", n)
		}
	})
}

// However many are accepted, a copy is sent once, and a domain is counted once.
func TestOncePerMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &smtptest.Recorder{}, &smtptest.Recorder{}
		env := smtp.NewEnvelope("ann@example.com", "bob@example.net", "cy@example.net", "di@EXAMPLE.net")
		limited := &smtp.RateLimit{Sender: smtp.Tee(first, second), PerDomain: 1}
		begin := time.Now()
		if _, err := limited.Send(t.Context(), env, text("x\r\n")); err != nil {
			t.Fatal(err)
		}
		if n, copies := len(first.Messages()), len(second.Messages()); n != 1 || copies != 1 {
			t.Errorf("sent %d times, copied %d times, want once each", n, copies)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("three of one domain took %v, want no wait", took)
		}
	})
}
