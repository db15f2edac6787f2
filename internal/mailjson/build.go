package mailjson

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// Options say what New puts in that is not always wanted. The zero value is what show and the HTTP interface give.
// A value is used once and not kept.
type Options struct {
	Content bool // the attachments' content, in base64
}

// New makes the JSON of a parsed message. The attachments are read once, for their sizes and hashes; nothing of them is
// kept unless it is asked for. Size is for the caller to fill in, as is all that only a server knows. With an error,
// which is one of reading, comes what was made until then.
// Lists are never nil, so that they are [] in the JSON and not null: programs in other languages walk over them
// without asking. It may be called by several goroutines at once.
func New(m *mail.Message, o Options) (*Message, error) {
	j := &Message{
		From: fromList(m.From), ReplyTo: fromList(m.ReplyTo), To: fromList(m.To), Cc: fromList(m.Cc), Bcc: fromList(m.Bcc),
		Subject: m.Subject, MessageID: m.ID, Text: m.Text, HTML: m.HTML,
		Headers: [][2]string{}, Attachments: []Attachment{}, Defects: []string{},
	}
	// RFC 3339, 5.6, with the offset that the sender wrote: whoever wants UTC can make it, but the offset could
	// not be found again.
	if !m.Date.IsZero() {
		j.Date = m.Date.Format(time.RFC3339)
	}
	for f := range m.Header.All() {
		// Lines that were no fields are told among the defects.
		if f.Name() != "" {
			j.Headers = append(j.Headers, [2]string{f.Name(), f.Text()})
		}
	}
	for _, d := range m.Defects {
		j.Defects = append(j.Defects, d.String())
	}
	b := builder{options: o, paths: make(map[*mail.Part]string), sums: make(map[*mail.Part]sum)}
	if m.Body != nil {
		// The paths are those of IMAP (RFC 3501, 6.4.5), so that they mean the same to a client of either.
		for path, p := range m.Body.Walk() {
			b.paths[p] = path
		}
		j.Parts = b.part(m.Body)
	}
	for _, a := range m.Attachments {
		j.Attachments = append(j.Attachments, b.attachment(a, m.HTML))
	}
	return j, b.err
}

// A sum is what reading a part once tells about it.
// content is nil unless it was asked for; an empty file's is "".
type sum struct {
	size    int64
	sha256  string
	content *string
}

// A builder makes the JSON of one message's parts.
// An attachment is a part as well, and is asked for twice: what reading it told is kept.
type builder struct {
	options Options
	paths   map[*mail.Part]string
	sums    map[*mail.Part]sum
	err     error
}

// read reads a leaf, once.
// The first error is kept and the work goes on: a part that cannot be read is no reason not to show the others.
func (b *builder) read(p *mail.Part, keep bool) sum {
	if s, ok := b.sums[p]; ok && (s.content != nil || !keep) {
		return s
	}
	var s sum
	rc, err := p.Reader()
	if err == nil {
		hash := sha256.New()
		var text strings.Builder
		w := io.Writer(hash)
		var enc io.WriteCloser
		if keep {
			enc = base64.NewEncoder(base64.StdEncoding, &text)
			w = io.MultiWriter(hash, enc)
		}
		s.size, err = io.Copy(w, rc)
		rc.Close()
		if keep {
			enc.Close() // a Builder does not fail
			content := text.String()
			s.content = &content
		}
		s.sha256 = hex.EncodeToString(hash.Sum(nil))
	}
	// What was read before the error is counted and hashed, as [New] says: the rest is not there to be told.
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("mailjson: part %s: %w", b.paths[p], err)
	}
	b.sums[p] = s
	return s
}

// part makes a node and all below it. A multipart's own octets say nothing to people, so it is its size in the
// message that is told.
func (b *builder) part(p *mail.Part) *Part {
	out := &Part{Type: p.Type(), Params: map[string]string{}, Path: b.paths[p], Encoding: p.Encoding(), Disposition: p.Disposition()}
	for name, value := range p.Params() {
		// The first of two counts, as it does in mail.Part.
		if _, ok := out.Params[name]; !ok {
			out.Params[name] = value
		}
	}
	if !p.IsMultipart() {
		out.Size = b.read(p, false).size
		return out
	}
	out.Size = p.RawSize()
	for _, child := range p.Parts {
		out.Parts = append(out.Parts, b.part(child))
	}
	return out
}

// attachment makes one file's entry. One that was not parsed has no part, and gets one for the time of the
// reading.
func (b *builder) attachment(a mail.Attachment, html string) Attachment {
	out := Attachment{Name: a.Name, Type: a.Media(), CID: a.CID}
	p := a.Part()
	if p == nil {
		p = &mail.Part{Open: a.Open}
	}
	s := b.read(p, b.options.Content)
	// The hash lets programs find a file again, and know it, without its content.
	out.Size, out.SHA256, out.Content, out.Part = s.size, s.sha256, s.content, b.paths[p]
	// Shown inside the text: it says so, or the HTML refers to it.
	out.Inline = p.Disposition() == "inline" || a.CID != "" && strings.Contains(html, "cid:"+a.CID)
	return out
}
