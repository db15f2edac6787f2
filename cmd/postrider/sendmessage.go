package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// What send sends, and what its errors say. A message is either made of flags, and
// then the library writes it, or complete, and then its octets are left alone but
// for Bcc: changing more would break signatures (RFC 6376, 3.7).

// An outgoing is a message with its envelope. They are apart because what the
// message says of its recipients need not be who gets it (RFC 5321, 2.3.1).
type outgoing struct {
	envelope *smtp.Envelope
	body     io.WriterTo
}

// maxStdin is how much is read from standard input. A pipe may have no end, and
// what it gives is held in memory.
const maxStdin = 64 << 20

// fromStdin counts who wants standard input, which can be read once.
func (o *sendOptions) fromStdin() int {
	// Whichever came first would get all of it, and the other nothing, without a word.
	n := 0
	for _, v := range []string{o.text, o.html, o.eml} {
		if v == "-" {
			n++
		}
	}
	return n
}

// message makes the message of the flags, and its envelope. It is frozen here, so
// that what is wrong with it is said before anybody is connected to, and --dry-run
// shows what would be sent.
func (o *sendOptions) message(in io.Reader) (outgoing, error) {
	m := &mail.Message{Subject: o.subject}
	// From is a list like the others while it is read, so that a slip in it is told in the same words.
	var from []mail.Address
	for _, list := range []struct {
		flag   string
		values []string
		to     *[]mail.Address
	}{{"from", nonEmpty(o.from), &from}, {"to", o.to, &m.To}, {"cc", o.cc, &m.Cc}, {"bcc", o.bcc, &m.Bcc}, {"reply-to", o.replyTo, &m.ReplyTo}} {
		for _, v := range list.values {
			more, err := mail.ParseAddressList(v)
			if err != nil {
				return outgoing{}, flagf(exitUsage, list.flag, " %q: %s; write ann@example.com or \"Ann <ann@example.com>\", with commas between", v, strings.TrimPrefix(err.Error(), "mail: "))
			}
			*list.to = append(*list.to, more...)
		}
	}
	// Sender and recipients are all that it takes from the flags.
	if o.eml != "" {
		return complete(in, from, m.Recipients())
	}
	switch {
	case len(from) == 0:
		return outgoing{}, usagef("say who it is from: --from ann@example.com")
	case len(from) > 1:
		return outgoing{}, flagf(exitUsage, "from", " takes one address")
	case len(m.Recipients()) == 0:
		return outgoing{}, usagef("say who it is for: --to bob@example.net")
	}
	// From here it is the library's: it writes the fields, chooses encodings and validates.
	m.From = from
	if err := o.content(m, in); err != nil {
		return outgoing{}, err
	}
	// Date and Message-ID are fixed by it, so that a second attempt is the same message.
	frozen, err := m.Freeze()
	if err != nil {
		return outgoing{}, messageError(err)
	}
	return outgoing{smtp.NewEnvelope(from[0].Address, m.Recipients()...), frozen}, nil
}

// nonEmpty makes a list of a flag that is given once.
func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// content fills in texts, files and further fields.
func (o *sendOptions) content(m *mail.Message, in io.Reader) error {
	var err error
	if m.Text, err = valueOf("text", o.text, in); err != nil {
		return err
	}
	if m.HTML, err = valueOf("html", o.html, in); err != nil {
		return err
	}
	if len(o.embed) > 0 && m.HTML == "" {
		return flagf(exitUsage, "embed", " is for --html, which is not given; --attach attaches a file")
	}
	if err := o.pictures(m); err != nil {
		return err
	}
	for _, list := range []struct {
		flag  string
		files []string
	}{{"attach", o.attach}, {"embed", o.embed}} {
		for _, name := range list.files {
			// That it cannot be read is better known before anybody is spoken to.
			info, err := os.Stat(name)
			if err != nil {
				return flagf(exitNoInput, list.flag, ": %w", err)
			}
			if !info.Mode().IsRegular() {
				return flagf(exitNoInput, list.flag, ": %s is no file", name)
			}
			// Read when the message is written, and as often as it is: it is never in memory whole.
			a := mail.FromFile(name)
			if list.flag == "embed" {
				if a.CID = filepath.Base(name); strings.ContainsAny(a.CID, "<> \t") {
					return flagf(exitUsage, "embed", ": %q cannot be named in cid:, for its spaces or brackets: rename the file", a.CID)
				}
			}
			m.Attachments = append(m.Attachments, a)
		}
	}
	// What cannot be the name or the value of a field is refused below, before anything is written.
	for _, h := range o.header {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return flagf(exitUsage, "header", " %q: it is \"NAME: VALUE\"", h)
		}
		if why := o.refused(m, name, value); why != "" {
			return flagf(exitUsage, "header", " %q: %s", h, why)
		}
		m.Header.Append(name, strings.TrimSpace(value))
	}
	if err := m.Header.Validate(); err != nil {
		return flagf(exitUsage, "header", ": %s", strings.TrimPrefix(err.Error(), "mail: "))
	}
	return nil
}

// refused says what is wrong with one more field; "": nothing. One that another flag gives, or the content, would be dropped
// without a word, and with it, perhaps, a recipient. Of those that there may be but one of (RFC 5322, 3.6) readers believe
// whichever they like.
func (o *sendOptions) refused(m *mail.Message, name, value string) string {
	for _, by := range []struct {
		name, flag string
		set        bool
	}{{"From", "from", true}, {"To", "to", len(o.to) > 0}, {"Cc", "cc", len(o.cc) > 0}, {"Bcc", "bcc", len(o.bcc) > 0},
		{"Reply-To", "reply-to", len(o.replyTo) > 0}, {"Subject", "subject", o.subject != ""}} {
		if by.set && strings.EqualFold(name, by.name) {
			return "--" + by.flag + " says it already"
		}
	}
	switch strings.ToLower(name) {
	case "mime-version", "content-type", "content-transfer-encoding":
		return "it is made of --text, --html and --attach"
	case "date":
		if _, err := mail.ParseDate(value); err != nil {
			return "it is no date: write it as Sat, 21 Nov 2026 10:00:00 +0000"
		}
		fallthrough
	case "to", "cc", "bcc", "reply-to", "subject", "sender", "message-id", "in-reply-to", "references":
		if m.Header.Has(name) {
			return "there may be one such field"
		}
	}
	return ""
}

// pictures sends those along that a page in a file names beside it, as <img src="logo.png">: whoever gets the page alone
// would see none of them. The page may be another's work, so what it names is a picture below its own folder, or an error.
func (o *sendOptions) pictures(m *mail.Message) error {
	page, isFile := strings.CutPrefix(o.html, "@")
	if !isFile {
		return nil
	}
	// It is closed when nothing refers to it any more: the pictures are read when the message is written.
	folder, err := os.OpenRoot(filepath.Dir(page))
	if err != nil {
		return flagf(exitNoInput, "html", ": %w", err)
	}
	if err := m.Embed(folder.FS()); err != nil {
		return flagf(exitNoInput, "html", " %s: %s", o.html, strings.TrimPrefix(err.Error(), "mail: "))
	}
	return nil
}

// valueOf reads a value that is text, @FILE or -. A text that begins with @ is
// given by one of the other two.
func valueOf(flag, value string, in io.Reader) (string, error) {
	switch {
	// Whole, as a text is encoded by what is in it.
	case value == "-":
		b, err := io.ReadAll(io.LimitReader(in, maxStdin+1))
		if err != nil {
			return "", flagf(exitNoInput, flag, ": standard input: %w", err)
		}
		if len(b) > maxStdin {
			return "", flagf(exitData, flag, ": standard input is longer than %d MiB", maxStdin>>20)
		}
		return string(b), nil
	case strings.HasPrefix(value, "@"):
		b, err := os.ReadFile(value[1:])
		if err != nil {
			return "", flagf(exitNoInput, flag, ": %w", err)
		}
		return string(b), nil
	}
	return value, nil
}

// mixed refuses flags that do not go together. With --eml the message is complete: which of two
// subjects is meant, nobody can tell.
func (o *sendOptions) mixed() error {
	// Two that want one stream, and two that say one thing, are both told by name.
	if n := o.fromStdin(); n > 1 {
		return usagef("standard input can be one of --text, --html and --eml")
	}
	for _, other := range []struct {
		flag string
		set  bool
	}{{"subject", o.subject != ""}, {"text", o.text != ""}, {"html", o.html != ""}, {"attach", len(o.attach) > 0}, {"embed", len(o.embed) > 0}, {"header", len(o.header) > 0}, {"reply-to", len(o.replyTo) > 0}} {
		if other.set && o.eml != "" {
			return usagef("--%s and --eml do not go together: with --eml the message is complete", other.flag)
		}
	}
	return nil
}

// complete reads a message that is complete. It goes out as it is, but for Bcc, which nobody may see.
func complete(in io.Reader, from []mail.Address, to []string) (outgoing, error) {
	message, err := readOriginal(in)
	if err != nil {
		return outgoing{}, emlError(err)
	}
	// Who passes a message on is not its author: the flags come first.
	said, err := message.parsed()
	if err != nil {
		return outgoing{}, emlError(err)
	}
	// Who has resent it last, else Sender, else the first of From (RFC 5322, 3.6.2 and 3.6.6).
	sender := said.Originator()
	if len(from) > 0 {
		sender = from[0].Address
	}
	if len(to) == 0 {
		to = said.Recipients()
	}
	switch {
	case sender == "":
		return outgoing{}, flagf(exitData, "eml", ": the message has no author; say with --from who sends it")
	case len(to) == 0:
		return outgoing{}, flagf(exitData, "eml", ": the message has no recipients; say with --to who it is for")
	}
	// After its recipients have been read from it, and before anybody else sees it.
	message.withoutBcc()
	env := smtp.NewEnvelope(sender, to...)
	// What the body holds is not looked at. To say that there may be octets beyond
	// ASCII in it is true of every message (RFC 6152, 3).
	env.Options.Body = smtp.Body8BitMIME
	return outgoing{env, message}, nil
}

// emlError tells a file that cannot be read from one that is no message.
func emlError(err error) error {
	if errors.Is(err, errLongHeader) {
		return flagf(exitData, "eml", ": %w", err)
	}
	return flagf(exitNoInput, "eml", ": %w", err)
}

// messageError says what is wrong with the message that the flags make. A file
// that went away in between is the input's fault, anything else the data's.
func messageError(err error) error {
	text := strings.TrimPrefix(err.Error(), "mail: ")
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return exitf(exitNoInput, "%w", pathErr)
	}
	return exitf(exitData, "the message cannot be written: %s", text)
}
