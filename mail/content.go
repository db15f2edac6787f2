package mail

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"sync"

	"github.com/postrider/postrider/mail/transfer"
	"golang.org/x/text/transform"
)

// What a body is made of decides how it is encoded (RFC 2045, 6): 7bit where the content allows it, because then anyone
// can read it; quoted-printable where few octets need it; base64 for the rest.
//
// Encoding depends on the content alone and never on what the reader might be: the same message gives the same
// octets each time. Text is never sent with lines over 998 characters or with a bare CR or LF (RFC 5322, 2.3),
// because each of these is where two hosts can come to read different messages out of the same octets. So only files are
// ever written as binary (RFC 2045, 2.9), and only to servers that take it.

// A transferEncoding is how a body is written.
type transferEncoding uint8

const (
	enc7bit transferEncoding = iota
	enc8bit
	encBinary
	encQuoted
	encBase64
	encRaw    // as it was parsed, its encoding included
	encNested // another message, written by its own Freeze
)

// String gives the encoding as its field has it. A part that is copied keeps its own field.
func (e transferEncoding) String() string {
	return [...]string{"7bit", "8bit", "binary", "quoted-printable", "base64", "", ""}[e]
}

// A survey is what one pass over a content finds.
// It only counts: what the counts mean is decided in choose, once all of the content has been seen.
type survey struct {
	size    int64
	high    int64 // octets beyond ASCII
	control int64 // NUL and the other controls, but tab and line ends
	equals  int64 // "=", which quoted-printable must escape too
	longest int   // the longest line, without its end
	width   int   // the line so far
	cr      bool  // the last octet was a CR
	bareCR  bool
}

// Write surveys another piece. It never fails.
// It takes pieces cut anywhere, a CRLF included, for it is fed by io.Copy. Line ends of all three kinds end a
// line here, since each of them will be a line end when it is written (see [transfer.EOL]).
func (s *survey) Write(b []byte) (int, error) {
	s.size += int64(len(b))
	for _, c := range b {
		if s.cr {
			s.bareCR = s.bareCR || c != '\n'
			s.cr = false
		}
		switch {
		case c == '\n' || c == '\r':
			s.longest = max(s.longest, s.width)
			s.width = 0
			s.cr = c == '\r'
			continue
		case c >= 0x80:
			s.high++
		case c == '=':
			s.equals++
		case c < ' ' && c != '\t' || c == 0x7f:
			s.control++
		}
		s.width++
	}
	return len(b), nil
}

// text surveys a string. Most of it is plain, which is looked at eight octets at a time.
// A CR that is left when the ends of lines are gone ends none.
func (s *survey) text(t string) {
	s.size += int64(len(t))
	for t != "" {
		var line string
		line, t, _ = cutLine(t)
		s.longest = max(s.longest, len(line))
		b, i := bytesOf(line), 0
		for ; i+8 <= len(b); i += 8 {
			if !plainWord(binary.LittleEndian.Uint64(b[i:])) {
				s.octets(line[i : i+8])
			}
		}
		s.octets(line[i:])
	}
}

// cutLine takes a line from a text, without its end: LF or CRLF. ends is false for a last one that has none.
func cutLine(s string) (line, rest string, ends bool) {
	i := strings.IndexByte(s, '\n')
	if i < 0 {
		return s, "", false
	}
	line, rest = s[:i], s[i+1:]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, rest, true
}

// plainWord says that eight octets are all from space to "~" and none of them "=": what has no top bit as it is, and gets
// none when space, "=" or DEL is compared with it. A borrow from one octet to the next only ever comes from an octet that
// is not plain itself.
// Text is looked at this way because every message's is, and nearly all of it is plain.
func plainWord(w uint64) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	return (w|(w-' '*ones)|((w^'='*ones)-ones)|((w^0x7f*ones)-ones))&tops == 0
}

// appendPlain appends text if all of it is plain ASCII in lines that are not too long: the usual message, for which one
// look is enough. If it is not, b is given back as it was.
// Looking and copying are one pass over memory that is in the cache then; for what is not plain the look was in
// vain, but such a text costs more to encode than to look at.
func appendPlain(b []byte, t string) (out []byte, ok bool) {
	out = b
	for t != "" {
		line, rest, ends := cutLine(t)
		t = rest
		if len(line) > maxBodyLine {
			return b, false
		}
		w, k := bytesOf(line), 0
		for ; k+8 <= len(w); k += 8 {
			if !plainWord(binary.LittleEndian.Uint64(w[k:])) {
				return b, false
			}
		}
		for ; k < len(line); k++ {
			if surveyTable[line[k]] != 0 {
				return b, false
			}
		}
		if out = append(out, line...); ends {
			out = append(out, '\r', '\n')
		}
	}
	return out, true
}

// octets surveys a few octets of a line, one by one.
func (s *survey) octets(b string) {
	for i := range len(b) {
		switch surveyTable[b[i]] {
		case 1:
			s.high++
		case 2:
			s.equals++
		case 3:
			s.control++
		case 4:
			s.bareCR = true
		}
	}
}

// surveyTable sorts octets: 0 plain, 1 beyond ASCII, 2 "=", 3 controls, 4 CR.
// DEL and the C0 controls are legal in 7bit (RFC 2045, 2.7) but for NUL. They are encoded all the same: QUIRK:
// some gateways drop them, and terminals obey them.
var surveyTable = func() (t [256]uint8) {
	for i := range t {
		switch {
		case i >= 0x80:
			t[i] = 1
		case i == '=':
			t[i] = 2
		case i == '\r':
			t[i] = 4
		case i < ' ' && i != '\t' && i != '\n' || i == 0x7f:
			t[i] = 3
		}
	}
	return t
}()

// maxBodyLine is the longest line that a body may have without its CRLF (RFC 5322, 2.1.1).
const maxBodyLine = 998

// choose picks the encoding for text.
func (s *survey) choose(eightBit bool) transferEncoding {
	longest := max(s.longest, s.width)
	switch {
	// RFC 2045, 2.7: 7bit is lines of at most 998 octets, all of them ASCII and not NUL.
	case s.high+s.control == 0 && longest <= maxBodyLine:
		return enc7bit
	// RFC 6152, 3: 8bit lifts the limit on octets and no other one. It is only taken where the server has
	// offered it.
	case s.control == 0 && longest <= maxBodyLine && eightBit:
		return enc8bit
	case 6*(s.high+s.control+s.equals) <= s.size:
		// Quoted-printable adds two octets for each of these, base64 a third and more of everything.
		return encQuoted
	}
	return encBase64
}

// appendText appends text with each line end made CRLF. A text that does not end a line is left so.
// RFC 5321, 2.3.8: CRLF is the only line end in mail, and people's texts have any of three.
func appendText(b []byte, s string) []byte {
	for {
		line, rest, ends := cutLine(s)
		b = appendBareCR(b, line)
		if !ends {
			return b
		}
		b, s = append(b, '\r', '\n'), rest
	}
}

// appendBareCR appends a line in which each CR is a line end too.
// QUIRK: a CR alone was the line end of Mac OS up to 9 and comes out of old files; and as some servers end a
// line at it and others do not, leaving it in is how messages are smuggled.
func appendBareCR(b []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, '\r')
		if i < 0 {
			return append(b, s...)
		}
		b = append(append(b, s[:i]...), '\r', '\n')
		s = s[i+1:]
	}
}

// appendBody appends a text in its encoding.
// RFC 2045, 6.7, rule 4 wants line ends of text to be CRLF in the encoded form too, so they are made so first.
func appendBody(b []byte, s string, enc transferEncoding) []byte {
	switch enc {
	case enc7bit, enc8bit:
		return appendText(b, s)
	}
	// RFC 2045, 6.8: text has its line ends made CRLF before it is encoded in base64, for nobody can do it
	// behind it.
	text := appendText(make([]byte, 0, len(s)+len(s)/16+16), s)
	b, _ = transfer.Append(b, bodyEncoder(enc), text) // neither encoder has an error of its own
	return b
}

// bodyEncoder gives the filter for text in quoted-printable or base64.
// RFC 2045, 6.7 and 6.8: both give lines of 76 characters, so what they make may be sent anywhere.
func bodyEncoder(enc transferEncoding) transform.Transformer {
	if enc == encBase64 {
		return &transfer.Base64Encoder{}
	}
	return &transfer.QuotedEncoder{}
}

// copyBuffers are the memory that writing one message needs, whatever its size.
// They belong to one call of WriteTo, not to the message: several goroutines may write it at once.
type copyBuffers struct{ in, out []byte }

// copying keeps those that no call has.
var copying = sync.Pool{New: func() any { return new(copyBuffers) }}

const copyBlock = 57 * 512 // whole lines of base64, which have 57 octets each; what it takes stays in the second-level cache

// copyBody writes what r holds in an encoding. Text is what its line ends are made CRLF of first. closed says whether
// what was written ends a line, or is empty.
func (c *copyBuffers) copyBody(w io.Writer, r io.Reader, enc transferEncoding, text bool) (written int64, closed bool, err error) {
	if c.out == nil {
		c.out = make([]byte, copyBlock/57*78+512)
	}
	// FromBytes is how most programs attach; its octets go from their place through the encoder without being
	// read first.
	if b, ok := r.(bytesReader); ok && enc == encBase64 && !text {
		e := encodeWriter{w: w, out: c.out}
		_, err := b.WriteTo(&e)
		if err == nil {
			_, err = e.encode(nil, true)
		}
		return e.written, true, err
	}
	if c.in == nil {
		c.in = make([]byte, copyBlock)
	}
	if enc == encBinary {
		written, err := io.CopyBuffer(w, r, c.in)
		return written, true, err
	}
	return c.filter(w, r, bodyFilter(enc, text))
}

// bodyFilter returns what makes a body of its octets. Attachments are encoded octet by octet as they are; text has its
// line ends made CRLF on the way.
func bodyFilter(enc transferEncoding, text bool) transform.Transformer {
	switch {
	case enc == encBase64 && !text:
		return &transfer.Base64Encoder{}
	case enc == encBase64 || enc == encQuoted:
		return transform.Chain(&transfer.EOL{}, bodyEncoder(enc))
	}
	return &transfer.EOL{}
}

// filter writes what t makes of all that r holds.
func (c *copyBuffers) filter(w io.Writer, r io.Reader, t transform.Transformer) (written int64, closed bool, err error) {
	left := 0 // what the filter did not take yet
	closed = true
	for {
		n, rerr := io.ReadFull(r, c.in[left:])
		atEOF := rerr == io.EOF || rerr == io.ErrUnexpectedEOF
		if rerr != nil && !atEOF {
			return written, closed, rerr
		}
		src := c.in[:left+n]
		for {
			nDst, nSrc, err := t.Transform(c.out, src, atEOF)
			src = src[nSrc:]
			if nDst > 0 {
				closed = c.out[nDst-1] == '\n'
				m, werr := w.Write(c.out[:nDst])
				written += int64(m)
				if werr != nil {
					return written, closed, werr
				}
			}
			// A filter that neither takes nor gives with all this room would do so for ever: that is an error
			// below.
			if err == transform.ErrShortDst && nDst+nSrc > 0 {
				continue
			}
			if err != nil && (err != transform.ErrShortSrc || atEOF) {
				return written, closed, err
			}
			break
		}
		if atEOF {
			return written, closed, nil
		}
		left = copy(c.in, src)
	}
}

// An encodeWriter encodes what is written to it in base64: content that is in memory need not be copied to be read.
type encodeWriter struct {
	w       io.Writer
	t       transfer.Base64Encoder
	out     []byte
	written int64
}

// Write encodes another piece.
func (e *encodeWriter) Write(b []byte) (int, error) { return e.encode(b, false) }

func (e *encodeWriter) encode(b []byte, atEOF bool) (int, error) {
	taken := 0
	for {
		nDst, nSrc, err := e.t.Transform(e.out, b[taken:], atEOF)
		taken += nSrc
		n, werr := e.w.Write(e.out[:nDst])
		e.written += int64(n)
		if werr != nil {
			return taken, werr
		}
		if err != transform.ErrShortDst {
			return taken, err
		}
	}
}

// contains says whether the reader's content holds the word, which is short.
// What is kept from one piece to the next is one octet less than the word, so that a word across two pieces is
// found.
func contains(r io.Reader, word string) (bool, error) {
	buf := make([]byte, 32<<10)
	kept := 0
	for {
		n, err := r.Read(buf[kept:])
		if bytes.Contains(buf[:kept+n], []byte(word)) {
			return true, nil
		}
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		k := min(kept+n, len(word)-1)
		kept = copy(buf, buf[kept+n-k:kept+n])
	}
}
