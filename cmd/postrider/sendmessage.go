package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

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
	var from []mail.Address
	for _, list := range []struct {
		flag   string
		values []string
		to     *[]mail.Address
	}{{"from", nonEmpty(o.from), &from}, {"to", o.to, &m.To}, {"cc", o.cc, &m.Cc}, {"bcc", o.bcc, &m.Bcc}, {"reply-to", o.replyTo, &m.ReplyTo}} {
		for _, v := range list.values {
			more, err := mail.ParseAddressList(v)
			if err != nil {
				return outgoing{}, usagef("--%s %q: %s", list.flag, v, strings.TrimPrefix(err.Error(), "mail: "))
			}
			*list.to = append(*list.to, more...)
		}
	}
	if o.eml != "" {
		return o.complete(in, from, m.Recipients())
	}
	switch {
	case len(from) == 0:
		return outgoing{}, usagef("say who it is from: --from ann@example.com")
	case len(from) > 1:
		return outgoing{}, usagef("--from takes one address")
	case len(m.Recipients()) == 0:
		return outgoing{}, usagef("say who it is for: --to bob@example.net")
	}
	m.From = from
	if err := o.content(m, in); err != nil {
		return outgoing{}, err
	}
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
		return usagef("--embed is for --html, which is not given; --attach attaches a file")
	}
	for _, list := range []struct {
		flag  string
		files []string
	}{{"attach", o.attach}, {"embed", o.embed}} {
		for _, name := range list.files {
			// That it cannot be read is better known before anybody is spoken to.
			info, err := os.Stat(name)
			if err != nil {
				return exitf(exitNoInput, "--%s: %w", list.flag, err)
			}
			if !info.Mode().IsRegular() {
				return exitf(exitNoInput, "--%s: %s is no file", list.flag, name)
			}
			a := mail.FromFile(name)
			if list.flag == "embed" {
				if a.CID = filepath.Base(name); strings.ContainsAny(a.CID, "<> \t") {
					return usagef("--embed: %q cannot be named in cid:, for its spaces or brackets: rename the file", a.CID)
				}
			}
			m.Attachments = append(m.Attachments, a)
		}
	}
	for _, h := range o.header {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return usagef("--header %q: it is \"NAME: VALUE\"", h)
		}
		m.Header.Append(name, strings.TrimSpace(value))
	}
	if err := m.Header.Validate(); err != nil {
		return usagef("--header: %s", strings.TrimPrefix(err.Error(), "mail: "))
	}
	return nil
}

// valueOf reads a value that is text, @FILE or -. A text that begins with @ is
// given by one of the other two.
func valueOf(flag, value string, in io.Reader) (string, error) {
	switch {
	case value == "-":
		b, err := io.ReadAll(io.LimitReader(in, maxStdin+1))
		if err != nil {
			return "", exitf(exitNoInput, "--%s: standard input: %w", flag, err)
		}
		if len(b) > maxStdin {
			return "", exitf(exitData, "--%s: standard input is longer than %d MiB", flag, maxStdin>>20)
		}
		return string(b), nil
	case strings.HasPrefix(value, "@"):
		b, err := os.ReadFile(value[1:])
		if err != nil {
			return "", exitf(exitNoInput, "--%s: %w", flag, err)
		}
		return string(b), nil
	}
	return value, nil
}

// complete reads a message that is complete. It goes out as it is, but for Bcc, which nobody may see.
// The flags and the message do not mix: which of two subjects is meant, nobody can tell. Only the
// envelope is taken from the flags first, as who passes a message on is not its author.
func (o *sendOptions) complete(in io.Reader, from []mail.Address, to []string) (outgoing, error) {
	for _, other := range []struct {
		flag string
		set  bool
	}{{"subject", o.subject != ""}, {"text", o.text != ""}, {"html", o.html != ""}, {"attach", len(o.attach) > 0}, {"embed", len(o.embed) > 0}, {"header", len(o.header) > 0}, {"reply-to", len(o.replyTo) > 0}} {
		if other.set {
			return outgoing{}, usagef("--%s and --eml do not go together: with --eml the message is complete", other.flag)
		}
	}
	raw, err := o.readEML(in)
	if err != nil {
		return outgoing{}, err
	}
	m, err := mail.Parse(bytes.NewReader(raw))
	if err != nil {
		return outgoing{}, exitf(exitNoInput, "--eml: %w", err)
	}
	sender := m.Sender.Address
	if sender == "" && len(m.From) > 0 {
		sender = m.From[0].Address
	}
	if len(from) > 0 {
		sender = from[0].Address
	}
	if len(to) == 0 {
		to = m.Recipients()
	}
	switch {
	case sender == "":
		return outgoing{}, exitf(exitData, "--eml: the message has no author; say with --from who sends it")
	case len(to) == 0:
		return outgoing{}, exitf(exitData, "--eml: the message has no recipients; say with --to who it is for")
	}
	return outgoing{smtp.NewEnvelope(sender, to...), rawMessage(withoutBcc(m.Header, raw))}, nil
}

// readEML reads all of it: the recipients are in the header, and it may be a pipe,
// which cannot be read again.
func (o *sendOptions) readEML(in io.Reader) ([]byte, error) {
	if o.eml != "-" {
		b, err := os.ReadFile(o.eml)
		if err != nil {
			return nil, exitf(exitNoInput, "--eml: %w", err)
		}
		return b, nil
	}
	s, err := valueOf("eml", "-", in)
	return []byte(s), err
}

// withoutBcc takes the Bcc fields out of a message's octets (RFC 5322, 3.6.3 and
// 3.6.6). It compares them with the header as it was parsed and copies the rest
// untouched, so that nothing is folded or spelt anew.
func withoutBcc(h mail.Header, raw []byte) []byte {
	out, at := make([]byte, 0, len(raw)), 0
	for f := range h.All() {
		end := at + len(f.Raw())
		if end > len(raw) || string(raw[at:end]) != f.Raw() {
			break // a header that was cut at a limit: what follows is left as it is
		}
		if name := strings.ToLower(f.Name()); name != "bcc" && name != "resent-bcc" {
			out = append(out, raw[at:end]...)
		}
		at = end
	}
	return append(out, raw[at:]...)
}

// A rawMessage is a message that is complete.
type rawMessage []byte

// WriteTo implements io.WriterTo.
func (m rawMessage) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(m)
	return int64(n), err
}

// Repeatable says that it can be written again: smtp then keeps no copy of it.
func (m rawMessage) Repeatable() bool { return true }

// messageError says what is wrong with the message that the flags make. A file
// that went away in between is the input's fault, anything else the data's.
func messageError(err error) error {
	text := strings.TrimPrefix(err.Error(), "mail: ")
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return exitf(exitNoInput, "%w", pathErr)
	}
	return exitf(exitData, "the message cannot be written: %s", text)
}

// explain adds to an error what can be done about it, in the words of the flags.
// It goes by types and codes, never by text, which is the server's and may be in
// any language. Where it knows nothing better it adds nothing.
func (o *sendOptions) explain(err error) error {
	if err == nil {
		return nil
	}
	advice := ""
	reply, refused := errors.AsType[*smtp.Error](err)
	_, unknownCA := errors.AsType[x509.UnknownAuthorityError](err)
	_, wrongName := errors.AsType[x509.HostnameError](err)
	_, notTLS := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case unknownCA:
		advice = "give the certificate that vouches for the server's with --ca-file"
	case wrongName:
		advice = "the certificate is for another name: give --server the name that it is for"
	case notTLS:
		advice = "the server does not begin with TLS: try --tls starttls"
	case errors.Is(err, syscall.ECONNREFUSED):
		advice = "nothing listens there: check host and port, and that the server runs"
	case errors.Is(err, smtp.ErrNoMechanism):
		advice = "the server takes none of the ways to authenticate that can be used"
	// RFC 4954, 6: 535 is wrong credentials, 530 none. QUIRK: Gmail and others say 535
	// to the account's own password too and want one made for the application.
	case refused && reply.Code == 535:
		advice = "user or password is wrong; large providers want an application password here"
	case refused && reply.Code == 530:
		advice = "the server wants credentials: give --user and --password-file"
	case errors.Is(err, smtp.ErrUnsupported) && !refused:
		advice = "the server cannot do it; if that is about TLS, --tls none sends in clear"
	case errors.Is(err, smtp.ErrUnknown):
		advice = "it may have been delivered: do not send it again before you know"
	}
	if advice == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, advice)
}
