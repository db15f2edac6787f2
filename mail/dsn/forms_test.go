package dsn

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/growth"
	"github.com/postrider/postrider/mail"
)

// one reads the report with one recipient whose fields are these.
func one(t *testing.T, fields string) Recipient {
	t.Helper()
	r, err := Parse(parse(t, report("Reporting-MTA: dns; x\n\n"+fields)))
	if err != nil || len(r.Recipients) != 1 {
		t.Fatalf("%q: got %+v, %v, want one recipient", fields, r, err)
	}
	return r.Recipients[0]
}

// RFC 3464, 2.3.3: the words, in any case and with a comment behind them; another one is kept.
func TestActions(t *testing.T) {
	for in, want := range map[string]Action{
		"failed": Failed, "delayed": Delayed, "delivered": Delivered, "relayed": Relayed, "expanded": Expanded, "EXPANDED": Expanded, " Relayed ": Relayed, "delivered (to a robot)": Delivered,
		"failed\n (for good)": Failed, "": "", "Deferred": "deferred", "fai\x1bled\x7f": Failed,
	} {
		if got := one(t, "Final-Recipient: rfc822; a@b\nAction: "+in+"\n").Action; got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// RFC 3464, 2.1.2: a type, a semicolon and a text. QUIRK: the type is left out.
func TestValues(t *testing.T) {
	for in, want := range map[string]Value{
		"dns; mx.example.com": {"dns", "mx.example.com"}, "DNS;mx.example.com": {"dns", "mx.example.com"}, "  smtp  ;  550 x  ": {"smtp", "550 x"}, "x-unix; 0": {"x-unix", "0"},
		"smtp; 550 5.1.1 <a@b>: no; not here": {"smtp", "550 5.1.1 <a@b>: no; not here"}, "smtp;": {"smtp", ""}, "": {}, ";": {"", ";"}, "; x": {"", "; x"},
		"550 no; not here": {"", "550 no; not here"}, "<a@b>; x": {"", "<a@b>; x"}, "mx.example.com; x": {"", "mx.example.com; x"}, "mx.example.com": {"", "mx.example.com"},
		"smtp; 550-one\n  550 two": {"smtp", "550-one 550 two"}, "smtp; 550-one\n550 two": {"smtp", "550-one 550 two"}, "smtp; 550\nrefused": {"smtp", "550 refused"}, // QUIRK: without the white space that continues a field
		"smtp; =?utf-8?q?n=C3=B6?=": {"smtp", "nö"}, "smtp; a\x1b[31mb\x7f": {"smtp", "a[31mb"},
	} {
		if got := one(t, "Final-Recipient: rfc822; a@b\nDiagnostic-Code: "+in+"\n").Diagnostic; got != want {
			t.Errorf("%q: got %+v, want %+v", in, got, want)
		}
	}
}

// Whom a report is about: RFC 3464, 2.3.1 and 2.3.2, and RFC 6533, 3 for addresses that are not ASCII.
func TestRecipients(t *testing.T) {
	for in, want := range map[string]string{
		"Final-Recipient: rfc822; a@b":                                           "a@b",
		"Final-Recipient: RFC822;<a@b> (Ann)":                                    "a@b",
		"Final-Recipient: a@b":                                                   "a@b",
		"Original-Recipient: rfc822;x@y\nFinal-Recipient: rfc822;a@b":            "x@y",
		"Original-Recipient: rfc822;\nFinal-Recipient: rfc822;a@b":               "a@b",
		"Original-Recipient: rfc822;<>\nFinal-Recipient: rfc822;a@b":             "a@b",
		"Final-Recipient: x400; /S=Ann/":                                         "/S=Ann/",
		"Final-Recipient: utf-8; 中@例え":                                           "中@例え",
		`Final-Recipient: utf-8; \x{4E2D}\x{1F600}@x`:                            "中😀@x",
		`Final-Recipient: UTF-8; \x{e9}@x`:                                       "é@x",
		`Final-Recipient: utf-8; \x{10FFFF}@x`:                                   "\U0010ffff@x",
		`Final-Recipient: utf-8; a\x{2B}b\x{5C}@x`:                               `a+b\@x`,
		`Final-Recipient: utf-8; \x{110000}@x`:                                   `\x{110000}@x`,
		`Final-Recipient: utf-8; \x{D800}@x`:                                     `\x{D800}@x`,
		`Final-Recipient: utf-8; \x{0A}\x{D}\x{0}@x`:                             `\x{0A}\x{D}\x{0}@x`, // a line end is no character of an address
		`Final-Recipient: utf-8; \x{0004E2D}@x`:                                  `\x{0004E2D}@x`,
		`Final-Recipient: utf-8; \x{}\x{4E2D\x{4E2D}@x`:                          `\x{}\x{4E2D中@x`,
		`Final-Recipient: utf-8; \x4E2D \X{4E2D}`:                                `\x4E2D \X{4E2D}`,
		`Final-Recipient: rfc822; \x{4E2D}@x`:                                    `\x{4E2D}@x`,
		"Final-Recipient: rfc822; a\x07@b":                                       "a@b",
		"Final-Recipient: rfc822;\n a@b":                                         "a@b",
		"Final-Recipient: rfc822; \"a b\"@c":                                     `"a b"@c`,
		"Action: failed\nX-Actual-Recipient: rfc822; z@z\nOriginal-Recipient: q": "q",
	} {
		r := one(t, in+"\n")
		if got := r.Address(); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// Dates that cannot be read are none, and all fields stay as they were.
func TestTimesAndHeader(t *testing.T) {
	r := one(t, "Final-Recipient: rfc822; a@b\nLast-Attempt-Date: yesterday\nWill-Retry-Until: Tue, 24 Nov 2026 09:00:00 -0500 (EST)\nFinal-Log-ID: <7@x> and more\nX-Own: kept\n")
	if !r.LastAttempt.IsZero() || r.WillRetryUntil.UTC() != time.Date(2026, 11, 24, 14, 0, 0, 0, time.UTC) || r.FinalLogID != "<7@x> and more" {
		t.Errorf("got %v, %v, %q", r.LastAttempt, r.WillRetryUntil, r.FinalLogID)
	}
	if r.Header.Value("Last-Attempt-Date") != "yesterday" || r.Header.Value("X-Own") != "kept" {
		t.Errorf("the fields are %v", r.Header)
	}
}

// RFC 3464, 2.1: an empty line parts the blocks; gateways lose it, double it, or put spaces on it.
func TestBlocks(t *testing.T) {
	const about, a, b = "Reporting-MTA: dns; x\n", "Final-Recipient: rfc822; a@b\nAction: failed\n", "Final-Recipient: rfc822; c@d\nAction: delayed\n"
	for name, c := range map[string]struct {
		body string
		want string
	}{
		"as it is":                    {about + "\n" + a + "\n" + b, "a@b c@d"},
		"empty lines everywhere":      {"\n\n" + about + "\n\n \n" + a + "\n\t\n" + b + "\n\n", "a@b c@d"},
		"one block for both":          {about + a, "a@b"},
		"nothing about the message":   {a + "\n" + b, "a@b c@d"},
		"a recipient without a field": {about + "\nX: y\n\n" + b, "c@d"},
		"one known by its action":     {about + "\nOriginal-Recipient: rfc822; e@f\nAction: failed\n", "e@f"},
		"text behind the last block":  {about + "\n" + a + "\nThis mail was scanned.\n", "a@b"},
		"a line before the fields":    {about + "\nThe following failed\n" + a, "a@b"},
		"nobody":                      {about, ""},
		"nothing":                     {"", ""},
		"CRLF":                        {strings.ReplaceAll(about+"\n"+a+"\n"+b, "\n", "\r\n"), "a@b c@d"},
	} {
		r, err := Parse(parse(t, report(c.body)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, one := range r.Recipients {
			got = append(got, one.Address())
		}
		if strings.Join(got, " ") != c.want || r.Guessed {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		if strings.Contains(c.body, "Reporting-MTA") && r.ReportingMTA != (Value{"dns", "x"}) {
			t.Errorf("%s: the report is of %+v", name, r.ReportingMTA)
		}
	}
}

// RFC 6522, 4: the message that came back, whole or its header alone, under its names; of two parts of a kind the first.
func TestReturned(t *testing.T) {
	const status = "--b\nContent-Type: %s\n\nFinal-Recipient: rfc822; a@b\nAction: failed\n\n"
	const back = "--b\nContent-Type: %s\n\nMessage-ID: <%s@x>\nSubject: =?utf-8?q?=C3=A4?=\n\nbody\n"
	for _, kind := range returnedTypes {
		for _, of := range []string{"message/delivery-status", "message/global-delivery-status", "Message/Delivery-Status; charset=utf-8"} {
			r, err := Parse(parse(t, "Content-Type: multipart/report; boundary=b\n\n"+fmt.Sprintf(back, kind, "1")+fmt.Sprintf(status, of)+fmt.Sprintf(back, kind, "2")+"--b--\n"))
			if err != nil || r.MessageID() != "1@x" || r.Original.Text("Subject") != "ä" || len(r.Recipients) != 1 {
				t.Errorf("%s and %s: got %+v, %v", of, kind, r, err)
			}
		}
	}
	// Without it there is no identifier; one that holds controls is without them.
	r, err := Parse(parse(t, report("Final-Recipient: rfc822; a@b\n")))
	if err != nil || r.MessageID() != "" || r.Original.Len() != 0 {
		t.Errorf("nothing came back: got %q, %v", r.MessageID(), err)
	}
	r = &Report{Original: mail.ParseHeader("Message-ID: <a\x1bb@x> <c@d>\n")}
	if got := r.MessageID(); got != "ab@x" {
		t.Errorf("got %q, want %q", got, "ab@x")
	}
}

// The texts of programs that know no report, one by one, as each writes them.
func TestFreeForms(t *testing.T) {
	type who struct {
		address string
		action  Action
		status  string
	}
	for name, c := range map[string]struct {
		raw  string
		want []who
		id   string
	}{
		"qmail": {"From: MAILER-DAEMON@x\n\nHi. This is the qmail-send program at x.\n\n<a@b>:\nUser and password not set, continuing without authentication. 192.0.2.1 does not like recipient.\nRemote host said: 550 5.1.1 unknown\nGiving up on 192.0.2.1.\n\n--- Below this line is a copy of the message.\n\nFrom: x@y\nMessage-ID: <7@x>\n",
			[]who{{"a@b", Failed, "5.1.1"}}, "7@x"},
		"qmail's kin":      {"From: a@b\n\n\n  Hi. This is the MTA at y.\n\n<a@b>:\n4.4.1 no answer\n", []who{{"a@b", Delayed, "4.4.1"}}, ""},
		"qmail, two words": {"From: a@b\n\nHi. This is the x.\n\n<a@b>:\nno\n\n<c@d>: not one\n\n<e@f>:\n\n-- \n\n<g@h>:\nno\n", []who{{"a@b", Failed, ""}, {"e@f", Failed, ""}}, ""},
		"Exim": {"X-Failed-Recipients: a@b\nX-Failed-Recipients: c@d,<e@f>\n\nIt failed:\n\n  c@d\n    (ultimately generated from z@z)\n    mailbox is full: 452 4.2.2 over quota\n  a@b:\n    550-5.7.26 no\n    550 5.7.26 DMARC\n\n  a@b\n    said twice\n\n------ This is a copy. ------\n\nReceived: by x\nMessage-ID: <8@x>\n",
			[]who{{"a@b", Failed, "5.7.26"}, {"c@d", Delayed, "4.2.2"}, {"e@f", Failed, ""}}, "8@x"},
		"Exim, no text": {"X-Failed-Recipients: a@b, not one, ,<c@d>\n\n", []who{{"a@b", Failed, ""}, {"c@d", Failed, ""}}, ""},
		"Gmail":         {"X-Failed-Recipients: a@b\n\nDelivery to the following recipient failed permanently:\n\n     a@b\n\nTechnical details of permanent failure:\nGoogle tried to deliver your message.\n\n----- Original message -----\n\nMIME-Version: 1.0\nMessage-ID: <9@x>\n", []who{{"a@b", Failed, ""}}, "9@x"},
		"controls":      {"X-Failed-Recipients: a\x1b@b\n\na\x1b@b\n5.1.1 \x1b[31mno\n", []who{{"a@b", Failed, ""}}, ""},
	} {
		m := parse(t, c.raw)
		r, err := Parse(m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []who
		for _, one := range r.Recipients {
			got = append(got, who{one.Address(), one.Action, one.Status})
			if one.Final.Type != "rfc822" || strings.ContainsAny(one.Diagnostic.Text, "\r\n\x1b") || one.Diagnostic.Text != "" && one.Diagnostic.Type != "x-text" {
				t.Errorf("%s: got %+v", name, one)
			}
		}
		if !slices.Equal(got, c.want) && name != "controls" || !r.Guessed || r.MessageID() != c.id {
			t.Errorf("%s: got %v about %q, want %v about %q", name, got, r.MessageID(), c.want, c.id)
		}
	}
	// A code in a reply's first line counts, one inside a word or a number does not.
	for words, want := range map[string]string{
		"550 5.1.1 no": "5.1.1", "550-5.1.1 no": "5.1.1", "550:5.1.1 no": "5.1.1", "(#5.1.1)": "5.1.1", "[4.2.2]": "4.2.2", `"5.7.1"`: "5.7.1", "<5.7.1>": "5.7.1", "v5.1.1": "", "192.168.5.1": "", "5.1.1.1": "", "2001 5.1": "", "": "",
		"first 4.2.0 then 5.0.0": "4.2.0",
	} {
		if got := statusIn(words); got != want {
			t.Errorf("%q: got %q, want %q", words, got, want)
		}
	}
}

// RFC 8098, 3.2.6: modes, a type and modifiers; programs leave the modes out.
func TestDispositions(t *testing.T) {
	for in, want := range map[string]string{
		"manual-action/MDN-sent-manually; displayed":                     "displayed [] false",
		"automatic-action/MDN-sent-automatically; deleted/error,expired": "deleted [error expired] true",
		"Automatic-Action/MDN-Sent-Manually;Processed/ERROR , ,Warning":  "processed [error warning] true",
		"manual-action/MDN-sent-manually;\n dispatched":                  "dispatched [] false",
		"displayed":         "displayed [] false",
		"displayed/error":   "displayed [error] false",
		"":                  " [] false",
		"automatic-action;": " [] true",
	} {
		r, err := ParseReceipt(parse(t, "Content-Type: message/disposition-notification\n\n\nFinal-Recipient: rfc822;a@b\nOriginal-Recipient: utf-8;\\x{e9}@b\nMDN-Gateway: dns; g\nDisposition: "+in+"\n"))
		if err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		if got := fmt.Sprint(r.Disposition, " ", r.Modifiers, " ", r.Automatic); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
		if r.Final != (Value{"rfc822", "a@b"}) || r.Original != (Value{"utf-8", "é@b"}) || r.Gateway != (Value{"dns", "g"}) {
			t.Errorf("%q: got %+v", in, r)
		}
	}
}

// RFC 5965, 3 and RFC 6591, 3: every field that is read, and what stands for one that is not there.
func TestFeedbackFields(t *testing.T) {
	get := func(fields string) *Feedback {
		f, err := ParseFeedback(parse(t, "Content-Type: message/feedback-report\n\n"+fields))
		if err != nil {
			t.Fatalf("%q: %v", fields, err)
		}
		return f
	}
	f := get("Feedback-Type: auth-failure (DMARC)\nUser-Agent: x\nVersion: 1\nOriginal-Envelope-Id: e\nOriginal-Mail-From: <s@x>\nArrival-Date: Sat, 21 Nov 2026 09:00:00 +0000\nReceived-Date: Sun, 22 Nov 2026 09:00:00 +0000\n" +
		"Reporting-MTA: dns; m\nSource-IP: 192.0.2.1 (host)\nReported-Domain: a\nReported-Domain: b\nReported-URI: <http://a/>\nAuthentication-Results: m; spf=fail\nAuth-Failure: DMARC\nDelivery-Result: Reject\nIncidents: 12\nDKIM-Domain: kept\n")
	got := fmt.Sprint(f.Type, f.UserAgent, f.Version, f.EnvelopeID, f.From, f.Arrival.Day(), f.ReportingMTA, f.SourceIP, f.Domains, f.URIs, f.Results, f.Failure, f.Delivery, f.Incidents, f.Header.Value("DKIM-Domain"))
	if want := "auth-failurex1es@x 21 {dns m} 192.0.2.1 [a b] [http://a/] [m; spf=fail]dmarcreject12kept"; strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for in, want := range map[string]int{"": 1, "Incidents: 0\n": 1, "Incidents: -3\n": 1, "Incidents: x\n": 1, "Incidents: 99999999999999999999\n": 1, "Incidents: 7\n": 7} {
		if got := get("Feedback-Type: abuse\n" + in).Incidents; got != want {
			t.Errorf("%q: got %d incidents, want %d", in, got, want)
		}
	}
	if f := get("Feedback-Type: abuse\nSource-IP: here\nOriginal-Rcpt-To: \nUser-Agent: a\x1bb\n"); f.SourceIP.IsValid() || f.Recipients != nil || f.UserAgent != "ab" || f.Original.Len() != 0 {
		t.Errorf("got %+v", f)
	}
}

var errBroken = errors.New("the disk is gone")

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }
func (brokenReader) Close() error             { return nil }

// What cannot be read is an error, and not the answer that there is no report.
func TestUnreadable(t *testing.T) {
	for _, kind := range []string{"message/delivery-status", "message/disposition-notification", "message/feedback-report", "message/rfc822"} {
		for name, open := range map[string]func() (io.ReadCloser, error){
			"opening": func() (io.ReadCloser, error) { return nil, errBroken },
			"reading": func() (io.ReadCloser, error) { return brokenReader{}, nil },
		} {
			m := &mail.Message{Body: &mail.Part{Header: mail.Fields("Content-Type", "multipart/report"), Parts: []*mail.Part{{Header: mail.Fields("Content-Type", kind), Open: open}}}}
			var errs []error
			if _, err := Parse(m); kind == "message/delivery-status" || kind == "message/rfc822" {
				errs = append(errs, err)
			}
			if _, err := ParseReceipt(m); kind == "message/disposition-notification" {
				errs = append(errs, err)
			}
			if _, err := ParseFeedback(m); kind == "message/feedback-report" {
				errs = append(errs, err)
			}
			for _, err := range errs {
				if !errors.Is(err, errBroken) || errors.Is(err, ErrNoReport) || !strings.HasPrefix(err.Error(), "dsn: ") {
					t.Errorf("%s, %s: got %v, want that %v", kind, name, err, errBroken)
				}
			}
		}
	}
}

// The limits: 10,000 recipients in each form, and a mebibyte of a report.
func TestReportLimits(t *testing.T) {
	const n = maxRecipients + 10
	for name, raw := range map[string]string{
		"a report": report("X: y\n\n" + strings.Repeat("Final-Recipient: rfc822; a@b\n\n", n)),
		"qmail":    "From: a@b\n\nHi. This is the x.\n\n" + strings.Repeat("<a@b>:\nx\n\n", n),
		"Exim":     strings.Repeat("X-Failed-Recipients: "+strings.Repeat("a@b,", 100)+"\n", n/100+1) + "\n",
	} {
		r, err := Parse(parse(t, raw))
		if err != nil || len(r.Recipients) != maxRecipients {
			t.Errorf("%s of %d recipients: got %v, and not %d of them", name, n, err, maxRecipients)
		}
	}
	f, err := ParseFeedback(parse(t, "Content-Type: message/feedback-report\n\n"+strings.Repeat("Original-Rcpt-To: a@b\n", n)))
	if err != nil || len(f.Recipients) != maxRecipients {
		t.Errorf("feedback: got %v, and not %d recipients", err, maxRecipients)
	}
	r, err := Parse(parse(t, report("X: y\n\nFinal-Recipient: rfc822; a@b\n\n"+strings.Repeat(strings.Repeat("z", 99)+"\n", maxReport/100+1)+"\nFinal-Recipient: rfc822; c@d\n")))
	if err != nil || len(r.Recipients) != 1 {
		t.Errorf("beyond a mebibyte: got %v, %d recipients, want the one before it", err, len(r.Recipients))
	}
	// Each of the lines of hyphens could be where a message begins; only the first few are tried.
	growth.Linear(t, "hyphens", 4000, func(n int) func() {
		text := strings.Repeat("--\n", n)
		return func() { returned(text) }
	})
}
