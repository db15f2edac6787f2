package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/postrider/postrider/internal/human"
	"github.com/postrider/postrider/internal/mailjson"
	"github.com/postrider/postrider/mail"
)

// How show prints one message.

// A viewer prints messages, one after the other.
type viewer struct {
	options  showOptions
	out      *bufio.Writer // its error is kept, and met when it is flushed
	terminal bool
	several  bool   // more than one message may come: each gets a line of its own before it
	many     bool   // the file may hold more than one
	name     string // of the file
	count    int    // the messages of that file so far
	printed  bool   // something has been
}

// maxNamed is how many addresses of a field are printed; a list has thousands.
const maxNamed = 20

// message prints a message in the form that is asked for. source gives its octets.
func (v *viewer) message(m *mail.Message, source func() io.Reader) error {
	v.count++
	o := v.options
	// What a program reads gets no line between: JSON objects part themselves, and a source or a part must be what it is.
	if v.several && !o.json && !o.source && o.part == "" {
		if v.printed {
			fmt.Fprintln(v.out)
		}
		fmt.Fprintf(v.out, "==> %s", printable(v.name))
		if v.many {
			fmt.Fprintf(v.out, ", message %d", v.count)
		}
		fmt.Fprintln(v.out)
	}
	v.printed = true
	// Any octets can be parsed, a picture too, into a message without fields: that is no mail, and exit code 65 says so.
	if !o.source && !named(m) {
		return exitf(exitData, "%s: no message: it does not begin with the fields of one", v.name)
	}
	// What is written fails at the latest when it is flushed; what fails here is that parts cannot be read.
	var err error
	switch {
	case o.json:
		err = v.json(m, source)
	// Decoded, for people; octet by octet they are in the source.
	case o.headers:
		for f := range m.Header.All() {
			if f.Name() != "" {
				fmt.Fprintf(v.out, "%s: %s\n", printable(f.Name()), printable(f.Text()))
			}
		}
	case o.source:
		err = v.octets(source())
	case o.part != "":
		err = v.part(m)
	default:
		v.head(m)
		v.text(m)
		err = v.parts(m)
		v.defects(m)
	}
	if err != nil {
		if _, ok := errors.AsType[*exitError](err); !ok {
			err = exitf(exitIO, "%w", err)
		}
		return fmt.Errorf("%s: %w", v.name, err)
	}
	return nil
}

// named says whether a message has any field.
func named(m *mail.Message) bool {
	for f := range m.Header.All() {
		if f.Name() != "" {
			return true
		}
	}
	return false
}

// head prints the fields that matter to people.
func (v *viewer) head(m *mail.Message) {
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(v.out, "%-9s %s\n", name+":", value)
		}
	}
	// In the order of reading: who, to whom, when, about what.
	field("From", people(m.From))
	// RFC 5322, 3.6.2: it should not be there if it says what From does, and is no news if it is.
	if m.Sender.Address != "" && (len(m.From) != 1 || m.From[0].Address != m.Sender.Address) {
		field("Sender", people([]mail.Address{m.Sender}))
	}
	// Without the field it is From; only where answers go elsewhere it matters.
	if people(m.ReplyTo) != people(m.From) {
		field("Reply-To", people(m.ReplyTo))
	}
	field("To", people(m.To))
	field("Cc", people(m.Cc))
	field("Bcc", people(m.Bcc))
	// A date that cannot be read is shown as it stands: it is what somebody looks for who asks why mail is sorted wrongly.
	if date := m.Header.Text("Date"); m.Date.IsZero() && date != "" {
		field("Date", printable(date))
	} else if !m.Date.IsZero() {
		field("Date", m.Date.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	}
	field("Subject", strings.Join(strings.Fields(printable(m.Subject)), " ")) // folds leave runs of spaces
}

// people gives a list of addresses in one line.
func people(list []mail.Address) string {
	var out []string
	// Past these nobody reads on, and the text would be pushed off the screen.
	for i, a := range list {
		if i == maxNamed {
			out = append(out, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		out = append(out, printable(a.String()))
	}
	return strings.Join(out, ", ")
}

// text prints the text, or that of the HTML where there is no other. Empty lines at
// its end are left out.
func (v *viewer) text(m *mail.Message) {
	text := m.Text
	if strings.TrimSpace(text) == "" {
		text = mail.TextFromHTML(m.HTML)
	}
	// A message of files alone has no text, and its parts follow at once.
	if text = strings.TrimRight(text, " \t\n"); text == "" {
		return
	}
	fmt.Fprintln(v.out)
	for line := range strings.Lines(text + "\n") {
		fmt.Fprintln(v.out, strings.TrimRight(lineOf(line), " \t"))
	}
}

// lineOf makes a line of text harmless. Tabs stay.
func lineOf(line string) string {
	// What is left out would move a terminal's cursor or change its state; a tab does neither.
	cells := strings.Split(line, "\t")
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	return strings.Join(cells, "\t")
}

// parts prints the tree of parts, unless the message is nothing but text.
func (v *viewer) parts(m *mail.Message) error {
	if ok, err := listed(m); !ok || err != nil {
		return err
	}
	fmt.Fprintln(v.out, "\nParts:")
	for path, p := range m.Body.Walk() {
		indent := strings.Repeat("  ", min(strings.Count(path, "."), maxIndented))
		// It has no content of its own, and so neither size nor name.
		if p.IsMultipart() {
			fmt.Fprintf(v.out, "  %s%-4s %s\n", indent, path, printable(p.Type()))
			continue
		}
		size, err := sizeOf(p)
		if err != nil {
			return fmt.Errorf("part %s: %w", path, err)
		}
		line := fmt.Sprintf("  %s%-4s %s  %s", indent, path, printable(p.Type()), human.Size(size))
		if name := printable(p.Name()); name != "" {
			line += "  " + name
		}
		// RFC 2046, 5.2.3: message/external-body stands for what lies elsewhere. It is told, never fetched.
		if where := printable(p.External()); where != "" {
			line += "  (not here, but at " + where + ")"
		}
		fmt.Fprintln(v.out, line)
		if err := v.files(indent, path, p); err != nil {
			return fmt.Errorf("part %s: %w", path, err)
		}
	}
	return nil
}

// listed says whether a message needs the list of its parts: it is more than text.
func listed(m *mail.Message) (bool, error) {
	if m.Body.IsMultipart() || len(m.Attachments) > 0 {
		return true, nil
	}
	files, err := m.Body.Files()
	return len(files) > 0, err
}

// files prints what a part holds in a form of its own, and how it is asked for.
func (v *viewer) files(indent, path string, p *mail.Part) error {
	// Those before one that is damaged are listed; then it is told what was wrong.
	files, err := p.Files()
	for i, f := range files {
		size, err := sizeOf(&mail.Part{Open: f.Open})
		if err != nil {
			return err
		}
		fmt.Fprintf(v.out, "    %s%s:%d %s  %s  %s\n", indent, path, i+1, printable(f.Media()), human.Size(size), printable(f.Name))
	}
	return err
}

// maxIndented is how deep the tree of parts is shown as one.
const maxIndented = 10

// sizeOf gives the length of a part's content, by reading it.
func sizeOf(p *mail.Part) (int64, error) {
	// Decoded, as this is what saving it will take; what is encoded is a third longer.
	rc, err := p.Reader()
	if err != nil {
		return 0, err
	}
	defer rc.Close()
	return io.Copy(io.Discard, rc)
}

// defects prints what was odd in the message.
func (v *viewer) defects(m *mail.Message) {
	if len(m.Defects) == 0 {
		return
	}
	fmt.Fprintln(v.out, "\nOdd in this message:")
	// In the order in which they were found, which is nearly that of the message.
	for _, d := range m.Defects {
		fmt.Fprintln(v.out, "  "+printable(d.String()))
	}
}

// json prints the message as JSON.
func (v *viewer) json(m *mail.Message, source func() io.Reader) error {
	j, err := mailjson.New(m, mailjson.Options{})
	if err != nil {
		return err
	}
	if j.Size, err = io.Copy(io.Discard, source()); err != nil {
		return err
	}
	// Where it is, for a program that wants all of it; a pipe has been emptied.
	if v.name != "standard input" {
		j.Original = v.name
	}
	// < and & stay as they are, since this is no HTML and people read it.
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(j); err != nil {
		return err
	}
	_, err = v.out.WriteString(escapeControls(b.String()))
	return err
}

// escapeControls writes as escapes what encoding/json leaves alone and a terminal
// may not: DEL, the C1 controls, and what turns the direction of text. All of it
// can only stand in strings.
func escapeControls(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= 0x7f && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r <= 0xffff) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// part prints the content of one part.
func (v *viewer) part(m *mail.Message) error {
	p, err := find(m, v.options.part)
	if err != nil {
		return err
	}
	if p == nil {
		return exitf(exitData, "there is no part %s: without --part the list of parts is shown", printable(v.options.part))
	}
	// On a terminal text is in the terminal's charset; in a file it is what was sent, octet by octet.
	text := strings.HasPrefix(p.Type(), "text/") || strings.HasPrefix(p.Type(), "message/")
	switch {
	case v.terminal && !text && !p.IsMultipart():
		return exitf(exitUsage, "part %s is %s: redirect it to a file", v.options.part, printable(p.Type()))
	case v.terminal && text:
		s, err := p.Text()
		if err != nil {
			return err
		}
		return v.octets(strings.NewReader(s))
	}
	// A multipart gives its octets as they are in the message, its parts' headers among them.
	rc, err := p.Reader()
	if err != nil {
		return err
	}
	defer rc.Close()
	return v.octets(rc)
}

// find finds a part by its path, or a file in one by the part's path, a colon and
// its number. It is nil if there is none.
func find(m *mail.Message, path string) (*mail.Part, error) {
	// A path of MIME has digits and dots alone, so that the colon is free.
	path, number, inside := strings.Cut(path, ":")
	p := m.Body.At(path)
	if p == nil || !inside {
		return p, nil
	}
	files, err := p.Files()
	// Files are counted from 1, as the list of parts does.
	n, _ := strconv.Atoi(number) // 0 if it is none
	if n < 1 || n > len(files) {
		return nil, err
	}
	return &mail.Part{Header: mail.Fields("Content-Type", files[n-1].Media()), Open: files[n-1].Open}, nil
}

// octets prints what it is given as it is, or, on a terminal, made harmless.
func (v *viewer) octets(r io.Reader) error {
	if !v.terminal {
		_, err := io.Copy(v.out, r)
		return err
	}
	// A line may be longer than the buffer: it comes in pieces then, and each is made harmless by itself.
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		text := string(line)
		_, ends := strings.CutSuffix(text, "\n")
		v.out.WriteString(lineOf(text)) // its error is kept for Flush
		if ends {
			v.out.WriteByte('\n')
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}
