package mail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/postrider/postrider/mail/transfer"
	"golang.org/x/text/transform"
)

// Parts: the tree that a message's body is. A part that was parsed knows where its bytes are and gives them when it is
// opened; one that was made has Open, or Parts.
//
// What a part tells about itself is read from its Header when asked, so that a program may change the Header
// and be believed; what the index found is kept beside it, for the octets in the message do not change with the
// Header.

// A Part is a node of a message's body: a leaf with content, or a multipart with Parts.
// The zero Part is an empty text/plain. Several goroutines may read a Part at once, and open it, as long as
// none changes it. A Part may be in several messages, and in none.
type Part struct {
	Header   Header                        // Content-Type and the other fields that describe it; text/plain if it says nothing
	Open     func() (io.ReadCloser, error) // opens the content, decoded; called for each writing. Nil: as parsed, or empty
	Preamble string                        // before the first part of a multipart, which only old readers show
	Parts    []*Part                       // the parts of a multipart
	Epilogue string                        // behind the last part

	str  *string // the content of a part made from a string
	file bool    // an attachment: its octets count, even if it is text

	// What follows is known of parts that were parsed.
	src        *source
	from       *Reader // what it is read from, once
	whole      bool    // the source is the message that this is the body of
	begin, end int64   // the body, as it is in the message
	media      string  // the media type in lower case, and its parameters
	charset    string
	boundary   string
	encoding   string // the content-transfer encoding in lower case; "" for none
}

// TextPart makes a leaf out of a string: TextPart("text/plain", "hello"). It is written in UTF-8. The type may have
// parameters of its own, as "text/plain; format=flowed" has.
// A charset that the type names is replaced by utf-8 when it is written, for that is what s is.
func TextPart(media, s string) *Part {
	return &Part{Header: Fields("Content-Type", media), str: &s}
}

// Type gives the media type in lower case; "text/plain" if there is none that can be read (RFC 2045, 5.2).
func (p *Part) Type() string {
	if p.src != nil && p.Open == nil {
		return p.media
	}
	l := (*Parser)(nil).params(p.Header.Value("Content-Type"), nil)
	if major, minor, ok := strings.Cut(l.value, "/"); ok && isTokenString(major) && minor != "" {
		return l.value
	}
	return "text/plain"
}

// Param gives a parameter of Content-Type, decoded (RFC 2231); "" if there is none.
// If it is there twice the first one counts.
func (p *Part) Param(name string) string { return p.param("Content-Type", toLower(name)) }

// Params walks over the parameters of Content-Type in order.
func (p *Part) Params() iter.Seq2[string, string] {
	l := (*Parser)(nil).params(p.Header.Value("Content-Type"), nil)
	return func(yield func(name, value string) bool) {
		for _, one := range l.params {
			if !yield(one.name, one.value) {
				return
			}
		}
	}
}

// param reads one parameter of a field. Fields are read each time they are asked for: they may have been changed, and most
// are never asked for.
func (p *Part) param(field, name string) string {
	i := p.Header.index(field)
	if i < 0 {
		return ""
	}
	var values [2]string
	if f := &p.Header.fields[i]; f.raw != "" {
		(*Parser)(nil).find(f.body, [2]string{name}, &values, nil)
	} else {
		l := madeParams(f.body)
		values[0] = l.get(name)
	}
	return values[0]
}

// Disposition gives "inline", "attachment" or what else Content-Disposition says, in lower case; "" if it is not there.
// RFC 2183, 2.8: a disposition that is not known is to be treated as "attachment"; that is for the caller to
// do.
func (p *Part) Disposition() string {
	i := p.Header.index("Content-Disposition")
	if i < 0 {
		return ""
	}
	var values [2]string
	return (*Parser)(nil).find(p.Header.fields[i].body, [2]string{}, &values, nil)
}

// Name gives the file name: of Content-Disposition, else of Content-Type; "" if there is none. It is what the sender
// wrote and may hold anything but line breaks: do not use it as a path.
// QUIRK: until about 2000 most programs wrote name and no filename, and some devices still do.
func (p *Part) Name() string {
	if name := p.param("Content-Disposition", "filename"); name != "" {
		return name
	}
	return p.param("Content-Type", "name")
}

// CID gives the Content-ID without its angle brackets, as cid: URLs have it (RFC 2392).
// "" if there is none. The URL has it percent-encoded where it needs to be; this is not.
func (p *Part) CID() string { return trimID(p.Header.Value("Content-ID")) }

// Encoding gives the content-transfer encoding in lower case; "7bit" if the part says nothing (RFC 2045, 6.1).
func (p *Part) Encoding() string {
	if e := encodingName(p.Header.Value("Content-Transfer-Encoding")); e != "" {
		return e
	}
	return "7bit"
}

// IsMultipart says whether the part's content is its Parts.
// It goes by what is there, not by the type: a multipart without a boundary in sight is a leaf, and is read as
// text.
func (p *Part) IsMultipart() bool { return len(p.Parts) > 0 }

// RawSize gives how many octets the body has in the message, encoded; 0 for a part that was not parsed.
func (p *Part) RawSize() int64 { return p.end - p.begin }

// Reader opens the content, decoded: that of Open if it is set, else what was parsed. The caller closes it. The content
// of a multipart is its body as it was; of a part that was neither parsed nor has Open it is empty. Text is in its own
// charset: see [Part.Text].
// Its errors are those of Open and, while reading, those of the message's source: what is broken in an encoding
// is no error, and as much as can be decoded is given. It may be called by several goroutines at once.
func (p *Part) Reader() (io.ReadCloser, error) { return p.reader(nil) }

// reader is Reader with the decoders of a Parser. A small part is decoded at once; a large one while it is read.
func (p *Part) reader(parser *Parser) (io.ReadCloser, error) {
	if p.Open != nil {
		return p.Open()
	}
	if p.from != nil {
		return p.from.open(p, parser)
	}
	if p.src == nil {
		s := ""
		if p.str != nil {
			s = *p.str
		}
		return io.NopCloser(strings.NewReader(s)), nil
	}
	if p.src.at == nil && p.end-p.begin <= windowSize {
		return p.openSmall(parser), nil
	}
	r := p.src.section(p.begin, p.end)
	if t := p.decoder(parser, &decoders{}); t != nil {
		r = transfer.NewReader(r, t)
	}
	return io.NopCloser(r), nil
}

// A smallPart is an open part whose content is in memory, with what it takes to decode it.
type smallPart struct {
	strings.Reader
	decoders
}

// decoders are the usual ones, to be used one after the other.
type decoders struct {
	quoted transfer.QuotedDecoder
	base64 transfer.Base64Decoder
}

// Close does nothing.
func (*smallPart) Close() error { return nil }

// openSmall decodes a small part at once.
// Most parts are a few kilobytes: buffers for a stream would be larger than what goes through them.
func (p *Part) openSmall(parser *Parser) io.ReadCloser {
	s := &smallPart{}
	t := p.decoder(parser, &s.decoders)
	raw := p.src.data[p.begin:p.end]
	if t == nil {
		s.Reader.Reset(raw)
		return s
	}
	b, err := transfer.Append(make([]byte, 0, len(raw)+128), t, bytesOf(raw))
	s.Reader.Reset(stringOf(b))
	if err != nil { // a foreign decoder's: what it gave comes first
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(s, failed{err}), s}
	}
	return s
}

// A failed fails with its error.
type failed struct{ err error }

// Read fails.
func (r failed) Read([]byte) (int, error) { return 0, r.err }

// decoder finds what undoes the part's transfer encoding; nil if there is nothing to undo.
func (p *Part) decoder(parser *Parser, d *decoders) transform.Transformer {
	switch p.encoding {
	case "base64":
		return &d.base64
	case "quoted-printable":
		return &d.quoted
	// RFC 2045, 6.2: these three are the identity; they say what is in the octets and not that something was
	// done to them.
	case "", "7bit", "8bit", "binary":
		return nil
	}
	if parser != nil && parser.Decoder != nil {
		return parser.Decoder(p.encoding)
	}
	return nil
}

// errTooLong says that a text was cut at a limit.
var errTooLong = errors.New("longer than the limit")

// Text gives the content as UTF-8 with line feeds for line ends, whatever its charset and transfer encoding were. What
// cannot be converted is U+FFFD. The lines of a paragraph of format=flowed are one line (RFC 3676). At most 16 MiB are read;
// more is an error, and what was read comes with it.
func (p *Part) Text() (string, error) {
	s, _, err := p.text(nil, (*Parser)(nil).limits().textBytes, &decoders{})
	if err != nil {
		err = fmt.Errorf("mail: text of a part: %w", err)
	}
	return s, err
}

// text is Text with a parser's charsets and a limit in octets. ok is false if the charset had to be guessed.
func (p *Part) text(parser *Parser, limit int64, d *decoders) (s string, ok bool, err error) {
	label := p.charset
	if p.src == nil || p.Open != nil {
		label = p.Param("charset")
	}
	// What is in memory is decoded in one go; the rest goes through a reader that stops at the limit.
	inMemory := p.Open == nil && p.src != nil && p.src.at == nil
	switch t := p.decoder(parser, d); {
	case inMemory && t == nil:
		s = p.src.data[p.begin:p.end]
	case inMemory && p.end-p.begin <= 4*limit:
		// Decoding makes nothing longer, but a foreign decoder may: what is over the limit is cut below.
		raw := p.src.data[p.begin:p.end]
		var b []byte
		b, err = transfer.Append(make([]byte, 0, len(raw)+128), t, bytesOf(raw))
		if inASCII(label) {
			b = dropCRs(b)
		}
		s = stringOf(b)
	default:
		r, err := p.reader(parser)
		if err != nil {
			return "", true, err
		}
		defer r.Close()
		var b bytes.Buffer
		b.Grow(int(min(max(p.end-p.begin, 0), limit)) + bytes.MinRead) // so that it need not grow at the end
		_, err = b.ReadFrom(io.LimitReader(r, limit+1))
		s = stringOf(b.Bytes())
		if inASCII(label) {
			s = stringOf(dropCRs(b.Bytes())) // here, where it costs no copy
		}
		if err != nil {
			return s, true, err
		}
	}
	if int64(len(s)) > limit {
		s, err = s[:limit], errTooLong
	}
	if inASCII(label) && utf8.ValidString(s) {
		return p.paragraphs(lineFeeds(s)), true, err
	}
	s, ok = parser.convert(label, bytesOf(s))
	return p.paragraphs(lineFeeds(s)), ok, err
}

// inASCII says that a charset's octets are ASCII's and UTF-8's, so that a text in UTF-8 need not be converted.
func inASCII(label string) bool {
	return label == "" || equalFold(label, "utf-8") || equalFold(label, "us-ascii")
}

// Walk goes over the part and all below it, depth first, with their paths: "" is the multipart at the top, "2.1" the
// first part of its second. A leaf at the top is "1" (RFC 3501, 6.4.5).
// A nil Part has nothing below it. A tree that contains itself is walked for ever: only made ones can.
func (p *Part) Walk() iter.Seq2[string, *Part] {
	return func(yield func(string, *Part) bool) {
		if p == nil {
			return
		}
		if !p.IsMultipart() {
			yield("1", p)
			return
		}
		p.walk("", yield)
	}
}

// walk does the walking; false says that whoever is walked for has seen enough.
func (p *Part) walk(path string, yield func(string, *Part) bool) bool {
	if !yield(path, p) {
		return false
	}
	for i, child := range p.Parts {
		below := strconv.Itoa(i + 1)
		if path != "" {
			below = path + "." + below
		}
		if !child.walk(below, yield) {
			return false
		}
	}
	return true
}

// At finds the part at a path as [Part.Walk] gives it; nil if there is none.
// Paths are short and trees small: walking is simpler than taking the path apart and has no mistakes of its
// own.
func (p *Part) At(path string) *Part {
	for at, part := range p.Walk() {
		if at == path {
			return part
		}
	}
	return nil
}

// encodingName reads Content-Transfer-Encoding; 7bit, which is the default, is "".
func encodingName(s string) string {
	s = toLower(trimSpace(s))
	// QUIRK: comments and parameters behind it, and "7-bit", "8-bit".
	if i := strings.IndexAny(s, " ;(\t\r\n"); i >= 0 {
		s = s[:i]
	}
	switch s {
	case "7bit", "7-bit":
		return ""
	case "8-bit":
		return "8bit"
	case "quotedprintable", "quoted_printable":
		return "quoted-printable"
	}
	return s
}

// knownEncoding says that an encoding is one of RFC 2045, 6.1. 8bit and binary are none really: what they hold is what is
// there.
func knownEncoding(s string) bool {
	switch s {
	case "", "8bit", "binary", "base64", "quoted-printable":
		return true
	}
	return false
}

// dropCRs makes LF of each CRLF, in place. In UTF-8 and ASCII these octets are nothing else.
// In UTF-16, which is text in mail too, they may be halves of characters: it is not for those.
func dropCRs(b []byte) []byte {
	i := bytes.IndexByte(b, '\r')
	if i < 0 {
		return b
	}
	out := b[:i]
	for i < len(b) {
		if b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n' {
			i++
		}
		j := bytes.IndexByte(b[i+1:], '\r')
		if j < 0 {
			j = len(b) - i - 1
		}
		out = append(out, b[i:i+1+j]...)
		i += 1 + j
	}
	return out
}

// lineFeeds gives s with a line feed for each line end.
func lineFeeds(s string) string {
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for {
		i := strings.IndexByte(s, '\r')
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		b.WriteByte('\n')
		s = s[i+1:]
		if s != "" && s[0] == '\n' {
			s = s[1:]
		}
	}
	b.WriteString(s)
	return b.String()
}
