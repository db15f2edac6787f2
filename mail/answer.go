package mail

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Messages that come of a message: replies, forwards, and the same one sent again (RFC 5322, 3.6.3 to 3.6.6).
//
// What is taken over was written by somebody else: addresses and identifiers that cannot be written are left out, so that
// anything that was read can be answered. What comes out is a Message to be changed and sent like any other.

// maxQuoted is how much of a text an answer quotes, in octets: nobody reads more of it, and answers to answers would double.
const maxQuoted = 1 << 20

// Reply makes a reply to whoever the message says: Mail-Reply-To, else Reply-To, else the authors. One's own message is
// answered to whom it was for. The subject has one "Re: ", In-Reply-To and References go on with the thread (RFC 5322,
// 3.6.4), and Text is the message's, quoted, of at most 1 MiB: write above or below it. HTML is not quoted.
func (m *Message) Reply(from Address) *Message {
	r := &Message{From: []Address{from}, To: m.answerTo(from), Subject: prefixSubject("Re: ", m.Subject)}
	r.thread(m)
	r.Text = m.attribution() + quote(m.quotable())
	return r
}

// ReplyAll makes a reply to all: those of Mail-Followup-To if there is one, else whom [Message.Reply] answers, and in Cc
// all others whom the message was for, each once and without from.
func (m *Message) ReplyAll(from Address) *Message {
	r := m.Reply(from)
	// Oneself is seen from the start: who answers all does not want the copy.
	seen := map[string]bool{addressKey(from.Address): true}
	if list := m.listOf("Mail-Followup-To"); len(list) > 0 {
		r.To = others(list, seen)
		return r
	}
	r.To = others(r.To, seen)
	r.Cc = others(slices.Concat(m.To, m.Cc), seen)
	// To must not stay empty where all that was said is to oneself.
	if len(r.To) == 0 {
		r.To, r.Cc = r.Cc, nil
	}
	return r
}

// Forward makes a message with m attached to it, as message/rfc822: octet by octet as it was read, its signatures
// unharmed, or as it would be written now if it was made. A message from [ParseAt] must stay readable.
func (m *Message) Forward(from Address) *Message {
	f := &Message{From: []Address{from}, Subject: prefixSubject("Fwd: ", m.Subject)}
	f.thread(m)
	f.InReplyTo = nil // it belongs to the thread and answers nothing
	name := strings.TrimSpace(strings.Map(fileRune, m.Subject))
	if name == "" {
		name = "message"
	}
	f.Attachments = []Attachment{{Name: name[:wholeRunes(name, min(len(name), 80))] + ".eml", Type: "message/rfc822", Open: m.opener()}}
	return f
}

// ForwardInline makes a message with the text of m in it, below the fields that tell where it comes from, and with its
// attachments.
func (m *Message) ForwardInline(from Address) *Message {
	f := m.Forward(from)
	// People know the fields by these names whatever language they read; dates keep the offset of who wrote.
	var b strings.Builder
	b.WriteString("\n---------- Forwarded message ----------\n")
	for _, one := range [...]struct{ name, value string }{
		{"From", joinAddresses(m.From)}, {"Date", m.longDate()}, {"Subject", m.Subject}, {"To", joinAddresses(m.To)}, {"Cc", joinAddresses(m.Cc)},
	} {
		if one.value != "" {
			b.WriteString(one.name + ": " + cleanLine(one.value) + "\n")
		}
	}
	f.Text = b.String() + "\n" + m.quotable()
	f.Attachments = slices.Clone(m.Attachments)
	for i := range f.Attachments {
		a := &f.Attachments[i]
		a.CID = "" // the HTML that showed it does not come along
		a.Name = cleanLine(a.Name)
		// A type that nobody may write is no reason to lose the file.
		if _, err := a.made(false); err != nil {
			a.Type = "application/octet-stream"
		}
	}
	return f
}

// Resend makes the same message for other recipients, with a block of Resent fields above it (RFC 5322, 3.6.6): it comes
// from whom it came from, and replies go there. [Message.Recipients] gives those of the block.
func (m *Message) Resend(from Address, to ...Address) *Message {
	r := *m
	// RFC 5322, 3.6.6: the newest block is on top, and each is kept whole.
	var block Header
	block.Append("Resent-Date", string(appendDate(nil, time.Now())))
	block.Append("Resent-From", joinFields([]Address{from}))
	block.Append("Resent-To", joinFields(to))
	block.Append("Resent-Message-ID", "<"+newID([]Address{from})+">")
	block.Join(m.Header)
	r.Header = block
	r.Bcc = nil
	return &r
}

// Automatic says that no person wrote the message, or that it is for many: nothing may answer it by itself (RFC 3834, 2).
// Who writes such an answer sets Auto-Submitted to auto-replied in its Header, so that nothing answers that one.
func (m *Message) Automatic() bool {
	auto, _, _ := strings.Cut(m.Header.Value("Auto-Submitted"), ";")
	if auto = trimSpace(auto); auto != "" && !equalFold(auto, "no") {
		return true
	}
	switch toLower(m.Header.Value("Precedence")) {
	case "bulk", "list", "junk":
		return true
	}
	// RFC 3834, 2: the null return path is that of a report. QUIRK: Exchange says it in a field of its own.
	if m.Header.Has("Return-Path") && trimID(m.Header.Value("Return-Path")) == "" {
		return true
	}
	return m.Header.Has("List-Id") || m.Header.Has("List-Unsubscribe") || equalFold(m.Header.Value("X-Auto-Response-Suppress"), "all") ||
		m.Body != nil && m.Body.Type() == "multipart/report"
}

// answerTo gives whom a reply is for.
func (m *Message) answerTo(from Address) []Address {
	// QUIRK: Mail-Reply-To is of no RFC; people whose list sets Reply-To to itself say by it where they read mail.
	list := m.listOf("Mail-Reply-To")
	if len(list) == 0 {
		list = writable(m.ReplyTo)
	}
	if len(list) == 0 {
		list = writable(m.From)
	}
	// Who answers what they have sent themselves goes on with it: to oneself nobody wants to write.
	own := func(a Address) bool { return addressKey(a.Address) == addressKey(from.Address) }
	if to := writable(m.To); len(to) > 0 && !slices.ContainsFunc(list, func(a Address) bool { return !own(a) }) {
		return to
	}
	return list
}

// listOf reads a field of addresses that Message has no place for.
func (m *Message) listOf(name string) []Address {
	list, _ := new(Parser).Addresses(m.Header.Value(name))
	return writable(list)
}

// writable gives the addresses that can be written.
func writable(list []Address) []Address {
	var out []Address
	for _, a := range list {
		if a.Name = cleanLine(a.Name); a.Validate() == nil {
			out = append(out, a)
		}
	}
	return out
}

// others gives those who were not seen yet, and sees them.
func others(list []Address, seen map[string]bool) []Address {
	var out []Address
	for _, a := range writable(list) {
		if key := addressKey(a.Address); !seen[key] {
			seen[key] = true
			out = append(out, a)
		}
	}
	return out
}

// addressKey is the same for addresses that most likely are one mailbox: case is dropped, for nobody wants two copies.
func addressKey(spec string) string { return strings.ToLower(spec) }

// attribution tells whom a quote is from.
func (m *Message) attribution() string {
	author := joinAddresses(m.From)
	switch date := m.longDate(); {
	case author == "":
		return ""
	case date == "":
		return "\n\n" + cleanLine(author) + " wrote:\n"
	default:
		return "\n\nOn " + date + ", " + cleanLine(author) + " wrote:\n"
	}
}

// longDate gives the date with the offset of who wrote it; "" if there is none.
func (m *Message) longDate() string {
	if m.Date.IsZero() {
		return ""
	}
	return string(appendDate(nil, m.Date))
}

// quotable gives the text that is quoted.
func (m *Message) quotable() string {
	// HTML is read for its text only where there is no other, for it never comes out as its author saw it.
	text := lineFeeds(m.Text)
	if strings.TrimSpace(text) == "" {
		text = TextFromHTML(m.HTML)
	}
	return text[:wholeRunes(text, maxQuoted)]
}

// quote marks each line. A signature is not quoted: nobody answers it.
func quote(text string) string {
	text, _, _ = strings.Cut(text, "\n-- \n")
	var b strings.Builder
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "":
			b.WriteString(">\n")
		// RFC 3676, 4.5: marks of quotes in quotes stand together.
		case line[0] == '>':
			b.WriteString(">" + line + "\n")
		default:
			b.WriteString("> " + line + "\n")
		}
	}
	return b.String()
}

// joinAddresses gives a list for people.
func joinAddresses(list []Address) string {
	var out []string
	for _, a := range list {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}

// joinFields gives a list as the value of a field, whose writing reads it again: what is no address is refused there.
func joinFields(list []Address) string {
	var out []string
	for _, a := range list {
		if a.Name != "" {
			out = append(out, string(appendQuoted(nil, a.Name))+" <"+a.Address+">")
			continue
		}
		out = append(out, a.Address)
	}
	return strings.Join(out, ", ")
}

// fileRune makes a subject fit for the name of a file.
func fileRune(r rune) rune {
	if r < ' ' || r == 0x7f || strings.ContainsRune(`/\:*?"<>|`, r) {
		return '_'
	}
	return r
}

// opener gives the message's octets: those that were read, or those that it writes.
func (m *Message) opener() func() (io.ReadCloser, error) {
	if m.Body != nil && m.Body.whole {
		src := m.Body.src
		return func() (io.ReadCloser, error) { return io.NopCloser(src.section(0, src.size)), nil }
	}
	// Fixed now: what is changed in m afterwards is not forwarded.
	frozen, err := m.Freeze()
	if err != nil {
		err = fmt.Errorf("the message that is forwarded: %w", err)
		return func() (io.ReadCloser, error) { return nil, err }
	}
	return func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() {
			_, err := frozen.WriteTo(w)
			w.CloseWithError(err) // nil is io.EOF; who closes the other end ends the writing
		}()
		return r, nil
	}
}
