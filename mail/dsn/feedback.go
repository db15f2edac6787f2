package dsn

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// A Feedback is a complaint about a message: somebody has marked it as spam, or it has failed a check of who it is from (RFC
// 5965 and 6591). What it does not say is the zero value.
type Feedback struct {
	Type      string // "abuse", "fraud", "virus", "not-spam", "auth-failure", "other" or another one, in lower case
	UserAgent string // who made the report
	Version   string
	Incidents int // how many complaints this stands for; 1 if it says nothing

	// About the message and how it came. Addresses are bare.
	EnvelopeID   string
	From         string // the envelope's sender
	Recipients   []string
	Arrival      time.Time
	ReportingMTA Value
	SourceIP     netip.Addr
	Domains      []string // that the report is about
	URIs         []string // that are in the message
	Results      []string // Authentication-Results, as they are

	// Of an auth-failure, in lower case (RFC 6591, 3).
	Failure  string // what has failed: "bodyhash", "signature", "spf", "dmarc", …
	Delivery string // what was done: "delivered", "spam", "policy", "reject", "other"

	Header   mail.Header // all fields of the report, DKIM-Domain and others among them
	Original mail.Header // the header of the message that it is about
}

// Large hosts send a report for each complaint, to whom the message says it came from, and blank out who has complained: the
// recipient is often missing, and the message's own identifiers are what is left to go by.

// ParseFeedback reads the message/feedback-report in a message. Without one the error is [ErrNoReport]; other errors are those
// of reading the message. At most 1 MiB of it is read.
func ParseFeedback(m *mail.Message) (*Feedback, error) {
	s, original, err := found(m, "message/feedback-report")
	if err != nil {
		return nil, err
	}
	f := readFeedback(mail.ParseHeader(strings.TrimLeft(s, "\r\n")))
	f.Original = original
	return f, nil
}

// readFeedback takes the fields (RFC 5965, 3).
func readFeedback(h mail.Header) *Feedback {
	// Everything here was written by somebody else and goes to logs and terminals: controls are taken out.
	f := &Feedback{
		Type: lower(h, "Feedback-Type"), UserAgent: clean(h.Text("User-Agent")), Version: clean(h.Value("Version")), Incidents: 1,
		EnvelopeID: clean(h.Value("Original-Envelope-Id")), From: bare(h.Value("Original-Mail-From")),
		Arrival: date(h, "Arrival-Date"), ReportingMTA: value(h, "Reporting-MTA"),
		Failure: lower(h, "Auth-Failure"), Delivery: lower(h, "Delivery-Result"), Header: h,
	}
	if f.Arrival.IsZero() {
		f.Arrival = date(h, "Received-Date") // the same, by its older name (RFC 5965, 3.2)
	}
	// RFC 5965, 3.2: one report may stand for many complaints, if the message is the same.
	if n, err := strconv.Atoi(h.Value("Incidents")); err == nil && n > 0 {
		f.Incidents = n
	}
	f.SourceIP, _ = netip.ParseAddr(lower(h, "Source-IP")) // with an error it is the zero one
	// RFC 5965, 3.3: these may be there more than once.
	for _, one := range []struct {
		name string
		to   *[]string
		read func(string) string
	}{
		{"Original-Rcpt-To", &f.Recipients, bare}, {"Reported-Domain", &f.Domains, clean},
		{"Reported-URI", &f.URIs, bare}, {"Authentication-Results", &f.Results, clean},
	} {
		for _, v := range h.Values(one.name) {
			if v = one.read(v); v != "" && len(*one.to) < maxRecipients {
				*one.to = append(*one.to, v)
			}
		}
	}
	return f
}

// lower reads a word.
func lower(h mail.Header, name string) string {
	word, _, _ := strings.Cut(clean(h.Value(name)), " ") // QUIRK: a comment follows, or the host's name
	return strings.ToLower(word)
}
