// Package dsn reads reports about mail: delivery status notifications, which tell what became of a message, message
// disposition notifications, which tell that somebody has seen it, and feedback, which tells that somebody has complained.
//
// [Parse] takes a message that was parsed and gives what its report says of each recipient, or [ErrNoReport]. Bounces that
// follow no standard are read as far as they can be, and say so.
//
// RFC 3464 and RFC 6533 (delivery status), RFC 6522 (multipart/report), RFC 8098 (disposition), RFC 5965 and 6591 (feedback).
package dsn

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// Reports come from everywhere, and anybody can forge one: what is read here says what a message says, and not what has
// happened. It is bounded, and free of controls, for it goes to logs, terminals and databases.
//
// A report's fields are blocks like headers: the first is about the message, each other about a recipient (RFC 3464, 2.1).
// What is not there is the zero value; what cannot be read is so too, and stands in Header as it was.

// ErrNoReport says that a message holds no report that can be read.
var ErrNoReport = errors.New("dsn: the message holds no report")

// An Action is what became of a message for a recipient (RFC 3464, 2.3.3).
type Action string

// The actions that there are; an unknown one is kept, in lower case.
const (
	Failed    Action = "failed"    // given up
	Delayed   Action = "delayed"   // still being tried
	Delivered Action = "delivered" // in the mailbox
	Relayed   Action = "relayed"   // handed to a host that sends no reports
	Expanded  Action = "expanded"  // handed to all members of a list
)

// A Value is text with the type that tells how to read it: "rfc822; ann@example.com", "dns; mx.example.com",
// "smtp; 550 5.1.1 no such user". The zero Value is none.
type Value struct {
	Type string // in lower case; "" if the field has none
	Text string
}

// A Report is a delivery status notification.
type Report struct {
	EnvelopeID   string // what the sender called the message by ENVID (RFC 3461)
	ReportingMTA Value  // who tells
	Gateway      Value  // who translated it
	ReceivedFrom Value  // who had sent the message there
	Arrival      time.Time
	Recipients   []Recipient
	Header       mail.Header // all fields about the message, as they are

	Original mail.Header // the header of the message that it is about, as far as it came back
	Guessed  bool        // the report follows no standard: what is here was found in its text
}

// A Recipient is what became of the message for one of those it was for.
type Recipient struct {
	Original       Value // whom the sender had named by ORCPT; often none
	Final          Value // whom it was for when this happened
	Action         Action
	Status         string // "5.1.1" (RFC 3463); "" if there is none that is one
	RemoteMTA      Value  // who said so
	Diagnostic     Value  // in which words
	LastAttempt    time.Time
	WillRetryUntil time.Time // of a delay
	FinalLogID     string
	Header         mail.Header // all fields about the recipient, as they are
}

// Address gives the bare address that the sender most likely knows the recipient by: Original's, or Final's.
func (r *Recipient) Address() string {
	if r.Original.Text != "" {
		return r.Original.Text
	}
	return r.Final.Text
}

// MessageID gives the Message-ID of the message that the report is about, without angle brackets; "" if it did not come
// back.
func (r *Report) MessageID() string { return bare(r.Original.Value("Message-ID")) }

const (
	maxReport     = 1 << 20 // octets of a report, and of the header that came back
	maxRecipients = 10_000
)

// Parse reads the report in a message: the first message/delivery-status, in whatever multipart that lies, else what
// qmail, Exim and Gmail write. Without either the error is [ErrNoReport]; other errors are those of reading the message.
// At most 1 MiB of a report is read, and 10,000 recipients.
func Parse(m *mail.Message) (*Report, error) {
	s, original, err := found(m, "message/delivery-status", "message/global-delivery-status")
	var r *Report
	switch {
	case err == nil:
		r = readReport(s)
	case !errors.Is(err, ErrNoReport):
		return nil, err
	default:
		if r = guess(m); r == nil {
			return nil, ErrNoReport
		}
	}
	if original.Len() > 0 {
		r.Original = original
	}
	return r, nil
}

// found finds the first part of one of these types, and the header of the message that came back with it. Without such a part
// the error is ErrNoReport, and the header counts all the same.
func found(m *mail.Message, types ...string) (report string, original mail.Header, err error) {
	// The first of each counts: a bounce of a bounce holds another report, within what came back.
	var of, back *mail.Part
	for _, p := range m.Body.Walk() {
		switch t := p.Type(); {
		case of == nil && slices.Contains(types, t):
			of = p
		case back == nil && slices.Contains(returnedTypes, t):
			back = p
		}
	}
	if back != nil {
		s, err := content(back)
		if err != nil {
			return "", original, err
		}
		original = mail.ParseHeader(s)
	}
	if of == nil {
		return "", original, ErrNoReport
	}
	report, err = content(of)
	return report, original, err
}

// returnedTypes are the types of what comes back (RFC 6522, 4). QUIRK: message/rfc822-headers is in no registry and in many
// reports.
var returnedTypes = []string{"message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers", "message/global-headers"}

// content reads the beginning of a part, decoded: RFC 3464, 2.1 wants 7bit for a report, and
// some write base64.
func content(p *mail.Part) (string, error) {
	rc, err := p.Reader()
	if err != nil {
		return "", fmt.Errorf("dsn: %w", err)
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, maxReport))
	if err != nil {
		return "", fmt.Errorf("dsn: %w", err)
	}
	return string(b), nil
}

// blocks gives the blocks of fields, which empty lines part (RFC 3464, 2.1).
func blocks(s string, yield func(h mail.Header) bool) {
	var b strings.Builder
	for line := range strings.Lines(s) {
		// QUIRK: gateways put spaces on the empty line.
		if strings.TrimSpace(line) != "" {
			// QUIRK: replies of several lines go in as they came, without the white space that continues a field.
			if !isField(line) {
				b.WriteByte(' ')
			}
			b.WriteString(line)
			continue
		}
		if b.Len() > 0 && !yield(mail.ParseHeader(b.String())) {
			return
		}
		b.Reset()
	}
	if b.Len() > 0 {
		yield(mail.ParseHeader(b.String()))
	}
}

// isField says that a line begins with a name and a colon, white space between them or not.
func isField(line string) bool {
	name, _, ok := strings.Cut(line, ":")
	return ok && !strings.ContainsAny(strings.TrimRight(name, " \t"), " \t")
}

// readReport reads the content of a message/delivery-status.
func readReport(s string) *Report {
	r := &Report{}
	// The blocks are taken one by one, so that a report of very many recipients ends at the limit and not behind it.
	first := true
	blocks(s, func(h mail.Header) bool {
		if first {
			r.about(h)
		}
		// QUIRK: reports without the empty line behind the first block have one block for both; and where a boundary is
		// missing other text follows the last.
		if h.Has("Final-Recipient") || !first && h.Has("Action") {
			r.Recipients = append(r.Recipients, readRecipient(h))
		}
		first = false
		return len(r.Recipients) < maxRecipients
	})
	return r
}

// about takes the fields about the message (RFC 3464, 2.2). Only Reporting-MTA is required there, and not even that is always
// there: nothing depends on any of them.
func (r *Report) about(h mail.Header) {
	r.Header = h
	r.EnvelopeID = clean(h.Value("Original-Envelope-Id"))
	r.ReportingMTA = value(h, "Reporting-MTA")
	r.Gateway = value(h, "DSN-Gateway")
	r.ReceivedFrom = value(h, "Received-From-MTA")
	r.Arrival = date(h, "Arrival-Date")
}

// readRecipient takes the fields about a recipient (RFC 3464, 2.3). An action or a status that is not known does not make the
// recipient one that nothing is known of.
func readRecipient(h mail.Header) Recipient {
	action, _, _ := strings.Cut(strings.TrimSpace(clean(h.Value("Action"))), " ") // a comment may follow
	return Recipient{
		Original: address(h, "Original-Recipient"), Final: address(h, "Final-Recipient"),
		Action: Action(strings.ToLower(action)), Status: Status(h.Value("Status")),
		RemoteMTA: value(h, "Remote-MTA"), Diagnostic: value(h, "Diagnostic-Code"),
		LastAttempt: date(h, "Last-Attempt-Date"), WillRetryUntil: date(h, "Will-Retry-Until"),
		FinalLogID: clean(h.Value("Final-Log-ID")), Header: h,
	}
}

// value reads a field that has a type.
func value(h mail.Header, name string) Value {
	s := clean(strings.Join(strings.Fields(h.Text(name)), " ")) // folds leave runs of spaces
	kind, text, ok := strings.Cut(s, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	// QUIRK: the type is left out, and a semicolon in the text is no sign of one.
	if !ok || kind == "" || strings.ContainsAny(kind, " \t@<.:") {
		return Value{Text: strings.TrimSpace(s)}
	}
	return Value{Type: kind, Text: strings.TrimSpace(text)}
}

// address reads a field with an address. Those of the type utf-8 have characters written as \x{3B1} (RFC 6533, 3).
func address(h mail.Header, name string) Value {
	v := value(h, name)
	switch v.Type {
	case "utf-8":
		v.Text = unescape(v.Text)
	case "rfc822", "":
		v.Text = bare(v.Text) // QUIRK: angle brackets, which the syntax does not have
	}
	return v
}

// bare takes the angle brackets from an address or an identifier, and controls, which neither has.
func bare(s string) string {
	s = strings.TrimSpace(clean(s))
	if inner, ok := strings.CutPrefix(s, "<"); ok {
		inner, _, _ = strings.Cut(inner, ">")
		return inner
	}
	return s
}

// clean takes controls out of what was read: it goes to logs and terminals.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// date reads a field that is a date (RFC 5322, 3.3); the zero time if it is none. The field itself stays in Header.
func date(h mail.Header, name string) time.Time {
	t, _ := mail.ParseDate(h.Value(name)) // with an error it is the zero time
	return t
}

// Status takes an enhanced status code from the beginning of s; "" if there is none. It is a class of 2, 4 or 5, a subject
// and a detail of at most three digits each, and nothing that goes on behind them (RFC 3463, 2).
func Status(s string) string {
	s = strings.TrimSpace(s)
	end := 0
	for end < len(s) && (isDigit(s[end]) || s[end] == '.') {
		end++
	}
	// What follows may be a comment, or the end of a sentence.
	if end < len(s) && strings.IndexByte(" \t(),:;\"'#]>", s[end]) < 0 {
		return ""
	}
	parts := strings.Split(strings.TrimSuffix(s[:end], "."), ".")
	if len(parts) != 3 || parts[0] != "2" && parts[0] != "4" && parts[0] != "5" {
		return ""
	}
	for _, part := range parts[1:] {
		if part == "" || len(part) > 3 {
			return ""
		}
	}
	return strings.Join(parts, ".")
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
