package dsn

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/growth"
	"github.com/postrider/postrider/mail"
)

const sample = "From: MAILER-DAEMON@mx.example.com\r\nReturn-Path: <>\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n" +
	"--b\r\n\r\nSorry.\r\n" +
	"--b\r\nContent-Type: message/delivery-status\r\n\r\n" +
	"Original-Envelope-Id: QQ314159\r\nReporting-MTA: dns; mx.example.com\r\nDSN-Gateway: x400;gw\r\nReceived-From-MTA: DNS;\r\n client.example.com\r\nArrival-Date: Sat, 21 Nov 2026 09:00:00 +0100\r\n\r\n" +
	"Original-Recipient: rfc822;ann@example.net\r\nFinal-Recipient: rfc822; <ann.b@example.org>\r\nAction: Failed (permanent)\r\nStatus: 5.1.1 (no such user)\r\nRemote-MTA: dns; mx.example.org (192.0.2.1)\r\nDiagnostic-Code: smtp; 550 5.1.1 <ann.b@example.org>: not here; sorry\r\nLast-Attempt-Date: Sat, 21 Nov 2026 09:00:01 +0100\r\nFinal-Log-ID: X1\r\n \r\n" +
	"Final-Recipient: utf-8; \\x{4E2D}\\x{1F600}\\x{zz}@example.org\r\nAction: delayed\r\nStatus: 4.x\r\nWill-Retry-Until: Tue, 24 Nov 2026 09:00:00 +0100\r\n\r\n" +
	"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <1@example.com>\r\nSubject: Minutes\r\n--b--\r\n"

func parse(t *testing.T, raw string) *mail.Message {
	t.Helper()
	m, err := mail.Parse(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParse(t *testing.T) {
	r, err := Parse(parse(t, sample))
	if err != nil {
		t.Fatal(err)
	}
	if r.EnvelopeID != "QQ314159" || r.ReportingMTA != (Value{"dns", "mx.example.com"}) || r.Gateway != (Value{"x400", "gw"}) || r.ReceivedFrom != (Value{"dns", "client.example.com"}) ||
		r.Arrival.UTC().Format(time.RFC3339) != "2026-11-21T08:00:00Z" || r.MessageID() != "1@example.com" || r.Original.Value("Subject") != "Minutes" || r.Guessed {
		t.Errorf("got %+v", r)
	}
	if len(r.Recipients) != 2 {
		t.Fatalf("got %d recipients", len(r.Recipients))
	}
	a, b := r.Recipients[0], r.Recipients[1]
	if a.Address() != "ann@example.net" || a.Final != (Value{"rfc822", "ann.b@example.org"}) || a.Action != Failed || a.Status != "5.1.1" || a.RemoteMTA.Text != "mx.example.org (192.0.2.1)" ||
		a.Diagnostic != (Value{"smtp", "550 5.1.1 <ann.b@example.org>: not here; sorry"}) || a.LastAttempt.IsZero() || a.FinalLogID != "X1" {
		t.Errorf("got %+v", a)
	}
	if b.Address() != `中😀\x{zz}@example.org` || b.Final.Type != "utf-8" || b.Action != Delayed || b.Status != "" || b.WillRetryUntil.IsZero() {
		t.Errorf("got %+v", b)
	}
}

func TestStatus(t *testing.T) {
	for s, want := range map[string]string{
		"5.1.1": "5.1.1", " 4.2.2 (full)": "4.2.2", "2.0.0,": "2.0.0", "5.7.26": "5.7.26", "5.1.1.": "5.1.1",
		"5.7 x": "", "5.7.": "", "5": "", "9.9.9": "", "5.7.1234": "", "5.7.1x": "", "5..1": "", "": "", "5.1.1.1": "", "192.0.2": "",
	} {
		if got := Status(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

func TestGuessed(t *testing.T) {
	const qmailBounce = "From: MAILER-DAEMON@x\n\nHi. This is the qmail-send program at x.\nI'm afraid.\n\n<a@b.c>:\n192.0.2.1 failed after I sent the message.\nRemote host said: 550 5.7.1 no\n\n<d@e.f>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n--- Below this line is a copy of the message.\n\nReturn-Path: <me@x>\nMessage-ID: <9@x>\n\n<not@a.recipient>:\n"
	const exim = "X-Failed-Recipients: a@b.c,\n  d@e.f\nAuto-Submitted: auto-replied\n\nThis message was created automatically by mail delivery software.\n\n  a@b.c\n    host mx [192.0.2.1]: 550-5.1.1 Unknown\n    user\n  d@e.f\n    retry timeout exceeded\n\n------ This is a copy of the message, including all the headers. ------\n\nMessage-Id: <9@x>\n\nbody\n"
	for name, c := range map[string]struct{ raw, statuses, diagnostic string }{
		"qmail": {qmailBounce, "5.7.1 5.1.1", "192.0.2.1 failed after I sent the message. Remote host said: 550 5.7.1 no"},
		"exim":  {exim, "5.1.1 ", "host mx [192.0.2.1]: 550-5.1.1 Unknown user"},
	} {
		r, err := Parse(parse(t, c.raw))
		if err != nil || len(r.Recipients) != 2 {
			t.Fatalf("%s: got %+v, %v", name, r, err)
		}
		a, b := r.Recipients[0], r.Recipients[1]
		if !r.Guessed || a.Address() != "a@b.c" || b.Address() != "d@e.f" || a.Status+" "+b.Status != c.statuses || a.Diagnostic.Text != c.diagnostic || a.Action != Failed || r.MessageID() != "9@x" {
			t.Errorf("%s: got %+v, %+v, %q", name, a, b, r.MessageID())
		}
	}
	for _, raw := range []string{"From: a@b.c\n\nHello.", "", "X-Failed-Recipients: nobody\n\n", "From: a@b.c\n\nOn Monday he wrote:\nHi. This is the program.\n\n<a@b.c>:\n"} {
		if r, err := Parse(parse(t, raw)); !errors.Is(err, ErrNoReport) {
			t.Errorf("%q: got %+v, %v", raw, r, err)
		}
	}
}

func TestReceipt(t *testing.T) {
	r, err := ParseReceipt(parse(t, "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n--b\n\nRead.\n--b\nContent-Type: message/disposition-notification\n\n"+
		"Reporting-UA: joes-pc.cs.example.com; Foomail 97.1\nOriginal-Recipient: rfc822;Joe@example.com\nFinal-Recipient: rfc822;Joe_R@example.com\nOriginal-Message-ID: <199509192301.23456@example.org>\nDisposition: manual-action/MDN-sent-manually; Displayed/error, x-y\nError: none really\n--b--\n"))
	if err != nil || r.Disposition != "displayed" || r.Automatic || !slices.Equal(r.Modifiers, []string{"error", "x-y"}) || r.MessageID != "199509192301.23456@example.org" || r.Final.Text != "Joe_R@example.com" || r.Error != "none really" || !strings.Contains(r.ReportingUA, "Foomail") {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, err := ParseReceipt(parse(t, sample)); !errors.Is(err, ErrNoReport) {
		t.Errorf("a delivery report: got %v", err)
	}
}

func TestFeedback(t *testing.T) {
	f, err := ParseFeedback(parse(t, "Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\nspam\n--b\nContent-Type: message/feedback-report\n\n"+
		"Feedback-Type: Abuse\nUser-Agent: x/1\nVersion: 1\nIncidents: 3\nOriginal-Rcpt-To: <a@b.c>\nOriginal-Rcpt-To: d@b.c\nReceived-Date: Sat, 21 Nov 2026 09:00:00 +0000\nSource-IP: 2001:db8::1\n"+
		"--b\nContent-Type: message/rfc822\n\nSubject: bought?\n\nx\n--b--\n"))
	if err != nil || f.Type != "abuse" || f.Incidents != 3 || !slices.Equal(f.Recipients, []string{"a@b.c", "d@b.c"}) || f.Arrival.Hour() != 9 || f.SourceIP.String() != "2001:db8::1" || f.Original.Text("Subject") != "bought?" {
		t.Errorf("got %+v, %v", f, err)
	}
	if _, err := ParseFeedback(parse(t, sample)); !errors.Is(err, ErrNoReport) {
		t.Errorf("a delivery report: got %v", err)
	}
}

// hostile reports grow with n.
var hostile = map[string]func(n int) string{
	"recipients": func(n int) string {
		return report(strings.Repeat("Final-Recipient: rfc822; a@b\nAction: failed\n\n", n))
	},
	"empty lines": func(n int) string { return report(strings.Repeat("\n", n)) },
	"fields":      func(n int) string { return report(strings.Repeat("X: y\n", n)) },
	"escapes": func(n int) string {
		return report("X: y\n\nFinal-Recipient: utf-8; " + strings.Repeat(`\x{4E2D}\x{`, n) + "\n")
	},
	"dots": func(n int) string { return report("X: y\n\nStatus: " + strings.Repeat("5.1.", n) + "\n") },
	"qmail": func(n int) string {
		return "From: a@b\n\nHi. This is the x.\n\n" + strings.Repeat("<a@b>:\n5.1.1\n\n", n)
	},
	"qmail's dashes": func(n int) string {
		return "From: a@b\n\nHi. This is the x.\n\n<a@b>:\n\n" + strings.Repeat("-\n--x\nA: b\n", n)
	},
	"failed": func(n int) string {
		return "X-Failed-Recipients: " + strings.Repeat("a@b, ", n) + "\n\n" + strings.Repeat("a@b\nx\n", n)
	},
}

func report(s string) string {
	return "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n" + s + "\n--b--\n"
}

// Time and memory grow with the length of a report, not with its square.
func TestGrowth(t *testing.T) {
	for name, of := range hostile {
		growth.Linear(t, name, 5000, func(n int) func() {
			m := parse(t, of(n))
			return func() { Parse(m) }
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("Content-Type: message/disposition-notification\n\nDisposition: a\x1b/b; c/d\x01,e\nError: \x7f\nReporting-UA: \x0b\n")
	f.Add(report("Original-Envelope-Id: a\x1bb\n\nFinal-Recipient: a\nAction: \x01failed\nFinal-Log-ID: \x02\n"))
	for _, of := range hostile {
		f.Add(of(2))
	}
	f.Fuzz(func(t *testing.T, raw string) {
		m := parse(t, raw)
		r, err := Parse(m)
		if err != nil {
			if !errors.Is(err, ErrNoReport) {
				t.Fatal(err)
			}
		} else {
			for _, one := range r.Recipients {
				if one.Status != "" && Status(one.Status) != one.Status {
					t.Errorf("the status %q is none", one.Status)
				}
				one.Header = mail.Header{}
				if s := fmt.Sprint(one, r.MessageID(), r.EnvelopeID, r.ReportingMTA, r.Gateway, r.ReceivedFrom); clean(s) != s {
					t.Errorf("%q holds controls", s)
				}
			}
		}
		if _, err := ParseFeedback(m); err != nil && !errors.Is(err, ErrNoReport) {
			t.Fatal(err)
		}
		switch receipt, err := ParseReceipt(m); {
		case err == nil:
			receipt.Header = mail.Header{}
			if s := fmt.Sprint(*receipt); clean(s) != s {
				t.Errorf("%q holds controls", s)
			}
		case !errors.Is(err, ErrNoReport):
			t.Fatal(err)
		}
	})
}
