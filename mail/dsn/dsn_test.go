package dsn

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/peers"
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

// expected is what other programs read in a bounce that somebody got.
type expected struct {
	File   string
	Fields *struct {
		MTA        *string `json:"reporting_mta"`
		Arrival    *string `json:"arrival_date"`
		ENVID      *string `json:"original_envelope_id"`
		Recipients []struct {
			Original   string `json:"original_recipient"`
			Final      string `json:"final_recipient"`
			Action     string
			Status     string
			Remote     string `json:"remote_mta"`
			Diagnostic string `json:"diagnostic_code"`
		}
	} `json:"rfc3464"`
	Bounce []struct{ Status string } `json:"bounce_expectation"`
	Graded bool
}

func TestCorpus(t *testing.T) {
	dir := filepath.Join(peers.Corpora(t), "dsn", "sisimai")
	var cases struct{ Cases []expected }
	b, err := os.ReadFile(filepath.Join(dir, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	var reports, agreed, texts, guessed, statuses int
	for _, c := range cases.Cases {
		raw, err := os.ReadFile(filepath.Join(dir, c.File))
		if err != nil {
			t.Fatal(err)
		}
		r, err := Parse(parse(t, string(raw)))
		if c.Fields == nil {
			texts++
			if err == nil {
				guessed++
				if len(c.Bounce) == len(r.Recipients) && c.Bounce[0].Status == r.Recipients[0].Status {
					statuses++
				}
			}
			continue
		}
		reports++
		if c.File == "messages/lhost-x5-01.eml" {
			// A report inside a message inside another message: somebody has forwarded it, and it is not about that message.
			if !errors.Is(err, ErrNoReport) {
				t.Errorf("%s: got %+v", c.File, r)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.File, err)
			continue
		}
		// Of those that are not graded the others read less than there is.
		switch why := disagrees(c, r); {
		case why == "":
			agreed++
		case c.Graded || len(r.Recipients) < len(c.Fields.Recipients):
			t.Errorf("%s: %s", c.File, why)
		}
	}
	t.Logf("%d of %d reports agree; of %d bounces without fields %d were read, %d with the status that was expected", agreed, reports, texts, guessed, statuses)
	if guessed < 59 {
		t.Errorf("%d bounces without fields were read: there were more", guessed)
	}
}

func disagrees(c expected, r *Report) string {
	text := func(s string) string {
		_, after, ok := strings.Cut(s, ";")
		if !ok {
			after = s
		}
		return bare(strings.Join(strings.Fields(after), " "))
	}
	if c.Fields.MTA != nil && r.ReportingMTA.Text != text(*c.Fields.MTA) {
		return "reporting MTA " + r.ReportingMTA.Text
	}
	if c.Fields.ENVID != nil && r.EnvelopeID != *c.Fields.ENVID {
		return "envelope " + r.EnvelopeID
	}
	if len(r.Recipients) != len(c.Fields.Recipients) {
		return fmt.Sprintf("%d recipients, want %d: %+v", len(r.Recipients), len(c.Fields.Recipients), r.Recipients)
	}
	for i, want := range c.Fields.Recipients {
		got := r.Recipients[i]
		status, _, _ := strings.Cut(want.Status, " ")
		if got.Final.Text != text(want.Final) || want.Original != "" && got.Original.Text != text(want.Original) || string(got.Action) != strings.ToLower(want.Action) || got.Status != status ||
			bare(got.RemoteMTA.Text) != text(want.Remote) || bare(got.Diagnostic.Text) != text(want.Diagnostic) {
			return "recipient " + got.Final.Text + " " + got.Status + " " + got.Diagnostic.Text
		}
	}
	return ""
}

func TestOtherCorpus(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(peers.Corpora(t), "dsn", "enmime", "*.raw"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Parse(parse(t, string(raw)))
		if err != nil || len(r.Recipients) == 0 || r.Recipients[0].Action == "" || r.Recipients[0].Status == "" {
			t.Errorf("%s: got %+v, %v", name, r, err)
		}
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

func TestFeedbackCorpus(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(peers.Corpora(t), "reports", "arf", "*.eml"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		var want struct {
			Type     string   `json:"feedback_type"`
			Arrival  *int64   `json:"arrival_date"`
			Results  []string `json:"authentication_results"`
			N        int      `json:"incidents"`
			ENVID    string   `json:"original_envelope_id"`
			From     string   `json:"original_mail_from"`
			To       string   `json:"original_rcpt_to"`
			Domains  []string `json:"reported_domain"`
			URIs     []string `json:"reported_uri"`
			IP       string   `json:"source_ip"`
			Agent    string   `json:"user_agent"`
			Failure  string   `json:"auth_failure"`
			Selector string   `json:"dkim_selector"`
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(strings.TrimSuffix(name, ".eml") + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		f, err := ParseFeedback(parse(t, string(raw)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		words := func(list []string) string { return strings.Join(strings.Fields(strings.Join(list, " ")), " ") }
		var to string
		if len(f.Recipients) > 0 {
			to = f.Recipients[0]
		}
		for what, pair := range map[string][2]string{
			"type":    {strings.ReplaceAll(f.Type, "-", ""), strings.ToLower(want.Type)},
			"results": {words(f.Results), words(want.Results)}, "envelope": {f.EnvelopeID, want.ENVID}, "from": {f.From, bare(want.From)}, "to": {to, bare(want.To)},
			"domains": {words(f.Domains), words(want.Domains)}, "URIs": {words(f.URIs), words(want.URIs)}, "agent": {f.UserAgent, want.Agent},
			"incidents": {fmt.Sprint(f.Incidents), fmt.Sprint(want.N)}, "selector": {f.Header.Value("DKIM-Selector"), want.Selector},
			"failure": {f.Failure, strings.Replace(strings.ToLower(want.Failure), "unspecified", "", 1)},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %s: got %q, want %q", name, what, pair[0], pair[1])
			}
		}
		if want.Arrival != nil && f.Arrival.Unix() != *want.Arrival || want.IP != "" && f.SourceIP.String() != want.IP || f.Original.Len() == 0 {
			t.Errorf("%s: got %v, %v, %d original fields", name, f.Arrival, f.SourceIP, f.Original.Len())
		}
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
	if testing.Short() {
		t.Skip("measures times, which -short leaves out")
	}
	for name, of := range hostile {
		few, many := parse(t, of(2500)), parse(t, of(10000))
		quickest := func(m *mail.Message) time.Duration {
			best := time.Hour
			for range 5 {
				begin := time.Now()
				Parse(m)
				best = min(best, time.Since(begin))
			}
			return best
		}
		var a, b time.Duration
		for range 6 { // other work on the machine makes single runs long
			if a, b = quickest(few), quickest(many); b < 9*a+time.Millisecond/5 {
				break
			}
		}
		if b >= 9*a+time.Millisecond/5 {
			t.Errorf("%s: %v at n/2, %v at 2n", name, a, b)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		Parse(many)
		runtime.ReadMemStats(&after)
		if made := after.TotalAlloc - before.TotalAlloc; made > 64<<20 {
			t.Errorf("%s: %d octets were allocated", name, made)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
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
				if s := one.Address() + one.Diagnostic.Text + r.MessageID(); strings.ContainsAny(s, "\r\n\x00") {
					t.Errorf("%q holds a line end", s)
				}
			}
		}
		if _, err := ParseFeedback(m); err != nil && !errors.Is(err, ErrNoReport) {
			t.Fatal(err)
		}
		if _, err := ParseReceipt(m); err != nil && !errors.Is(err, ErrNoReport) {
			t.Fatal(err)
		}
	})
}
