package main

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/internal/human"
	"github.com/postrider/postrider/mail"
)

// What serve prints of the mail that arrives. It goes to a terminal: what a
// sender wrote must not move the cursor or colour the screen. All of it happens
// after the 250, so that nothing here can lose a message or delay its sender.

// maxPrinted is how much of a message's text --print full shows, in octets.
const maxPrinted = 64 << 10

// printMail is called for each message after its 250, in order, by the inbox's
// own goroutine. It is one write, so that lines of others do not come in between.
func (v *server) printMail(e *inbox.Entry) {
	defer v.done()
	// By the time of arrival and not by a mark in the store: a database that is indexed anew must not
	// print years of mail.
	if e.Received.Before(v.started) {
		return // left over from the last run, which told of it or had no time to
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s", e.Received.Format("15:04:05"), route(e), subject(e.Summary))
	fmt.Fprintf(&b, "  (%s%s)\n", human.Size(e.Size), attached(e.Summary))
	if v.options.print == "full" {
		v.printFull(&b, e)
	}
	// Standard output may be closed; the mail is kept all the same.
	_, _ = fmt.Fprint(v.streams.out, b.String())
}

// route says from whom to whom, by the envelope. "<>" is the null sender, as in
// the dialogue (RFC 5321, 4.5.5).
func route(e *inbox.Entry) string {
	from := e.Envelope.From
	if from == "" {
		from = "<>"
	}
	to := "nobody"
	if n := len(e.Envelope.To); n > 0 {
		if to = e.Envelope.To[0].Address; n > 1 {
			to += fmt.Sprintf(" and %d more", n-1)
		}
	}
	return printable(from) + " → " + printable(to)
}

// maxSubject is how much of a subject a line has, in characters: a line of a terminal is not much longer, and what a
// sender wrote shall not push the lines of others off it.
const maxSubject = 100

// subject says what it is about, by the message; --print full and the page have all of it.
func subject(s *inbox.Summary) string {
	if s == nil || s.Subject == "" {
		return "(no subject)"
	}
	text := []rune(printable(s.Subject))
	if len(text) > maxSubject {
		return strings.TrimRight(string(text[:maxSubject-1]), " ") + "…"
	}
	return string(text)
}

// attached says how many files came with it; nothing if none did.
func attached(s *inbox.Summary) string {
	if s == nil || s.Attachments == 0 {
		return ""
	}
	return ", " + count(s.Attachments, "attachment")
}

// printFull prints a message as people read it: decoded, and the text rather than
// the HTML. The octets as they came are on the page.
func (v *server) printFull(b *strings.Builder, e *inbox.Entry) {
	body, err := v.db.Inbox().Open(context.Background(), e.ID)
	if err != nil {
		return // deleted already
	}
	defer body.Close()
	// No more is decoded than is printed.
	parser := mail.Parser{TextBytes: maxPrinted}
	m, err := parser.ParseAt(body, body.Size())
	if err != nil {
		v.log.Error("message cannot be read", "id", e.ID, "err", err)
		return
	}
	// Every field, decoded: who asks for all of it looks for the odd one.
	for f := range m.Header.All() {
		fmt.Fprintf(b, "    %s: %s\n", printable(f.Name()), printable(f.Text()))
	}
	text := m.Text
	// HTML as source, then: to render it is the page's work, which has a sandbox for it.
	if text == "" {
		text = m.HTML
	}
	for line := range strings.Lines("\n" + text) {
		b.WriteString(strings.TrimRight("    "+printable(line), " ") + "\n")
	}
	for _, a := range m.Attachments {
		fmt.Fprintf(b, "    [%s, %s]\n", printable(a.Name), printable(a.Type))
	}
	b.WriteByte('\n')
}

// printable returns text without what a terminal would obey: control characters,
// and those that turn the direction of text, by which a sender can make a name
// read as another's (Unicode, UAX 9).
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r) && r >= 0x202A && r <= 0x2069:
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
