package mail

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// Writing a message. Freeze fixes what was left open (Date, Message-ID, boundaries, encodings) and lays the message out
// in segments: octets that are ready, and bodies that are opened and encoded while they are written. What it returns
// never changes, so it may be written any number of times, by several goroutines at once, in constant memory.
//
// A form that never changes is what a queue needs: a message that is tried again on the next day has to have
// the Message-ID and the octets of the first day, or readers show it twice and signatures break (RFC 6376,
// 3.7).

// A frozen is a message that is ready to be written. It is repeatable, knows its size and adapts to a server; see the
// small interfaces that package smtp looks for.
// What is in it is only read after render, but for the size, which is guarded: hence several goroutines at
// once.
type frozen struct {
	msg   *Message  // a copy that is nobody else's, where the form outlives the call
	date  time.Time // its Date and ID, or those that it was given
	id    string
	made  []byte    // the ID's octets, if it was not given
	lit   []byte    // all that is ready, one segment behind the other
	segs  []segment // nil: lit alone is the message
	form  form      // how it is written
	gains form      // what would make it shorter
	needs string    // an address that only SMTPUTF8 can carry

	sizing sync.Once
	size   int64
	err    error
}

// A form is what a server must take besides the usual; the zero form is 7bit, which all do.
type form struct {
	eightBit bool // 8BITMIME (RFC 6152): text in lines as it is
	binary   bool // BINARYMIME (RFC 3030): attachments as they are
	utf8     bool // SMTPUTF8 (RFC 6531): fields in UTF-8
}

// A segment is octets of lit, then a body, which may be nil.
type segment struct {
	begin, end int
	body       *plan
}

// Freeze validates the message and fixes what was left open: Date, Message-ID, encodings and boundaries. What it returns
// writes the same octets each time, 7-bit clean but for addresses whose local part is not ASCII (RFC 6532); the message
// itself is not changed. Beside WriteTo it has Size, Repeatable and Adapt. The message, what it points to and its
// files must not be changed as long as it is in use. An error says which field or part is wrong, and why.
func (m *Message) Freeze() (io.WriterTo, error) {
	own := *m // what the caller does with the fields of m later is not our concern
	f := &frozen{}
	if err := f.freeze(&own, form{}, 0); err != nil {
		return nil, err
	}
	return f, nil
}

// WriteTo freezes the message and writes it. Its errors are those of w, of what is wrong with the message, in which
// case nothing is written, and of attachments that cannot be read, in which case a part of it is. It may be called by
// several goroutines at once.
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	f := writing.Get().(*frozen)
	defer f.release()
	if err := f.freeze(m, form{}, 0); err != nil {
		return 0, err
	}
	return f.WriteTo(w)
}

// writing keeps the memory of forms that were written at once and are not needed any more: a short message costs more to
// make room for than to lay out.
var writing = sync.Pool{New: func() any { return new(frozen) }}

// release gives a form back for other messages; what it was made of is written over then. A long one is let go.
func (f *frozen) release() {
	lit := f.lit[:0]
	if cap(lit) > inlineText {
		lit = nil
	}
	*f = frozen{lit: lit, made: f.made}
	writing.Put(f)
}

// freeze fixes and lays out the message, which lies in as many others as nesting says, without copying it. The message must
// stay as it is for as long as the form is in use, which its caller sees to.
func (f *frozen) freeze(m *Message, want form, nesting int) error {
	f.msg, f.date, f.id = m, m.Date, m.ID
	// RFC 5322, 3.6: Date is required and Message-ID should be there. What the author or an earlier host has
	// set stays.
	if f.date.IsZero() && !m.Header.Has("Date") {
		f.date = time.Now()
	}
	if f.id == "" && !m.Header.Has("Message-ID") {
		f.made = appendID(f.made[:0], m.From)
		f.id = stringOf(f.made)
	}
	return f.render(want, nesting)
}

// render lays the message out with the identity that it has.
func (f *frozen) render(want form, nesting int) error {
	f.form = want
	r := renderer{frozen: f, m: f.msg, nesting: nesting, f: folder{b: f.lit[:0], utf8: want.utf8}}
	if err := r.message(); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	return nil
}

// Repeatable says that WriteTo may be called again and writes the same octets.
func (f *frozen) Repeatable() bool { return true }

// WriteTo writes the message. An attachment that cannot be read is an error, and ends the writing there and then.
func (f *frozen) WriteTo(w io.Writer) (int64, error) {
	if f.segs == nil {
		n, err := w.Write(f.lit)
		return int64(n), err
	}
	var written int64
	buffers := copying.Get().(*copyBuffers)
	defer copying.Put(buffers)
	for _, s := range f.segs {
		n, err := w.Write(f.lit[s.begin:s.end])
		written += int64(n)
		if err != nil {
			return written, err
		}
		if s.body == nil {
			continue
		}
		m, err := s.body.writeBody(w, buffers)
		written += m
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// Size tells how many octets WriteTo writes. Attachments whose length is not known without reading are read once for
// it; that is done at the first call.
// It is what SIZE= of MAIL announces (RFC 1870, 6). Several goroutines may ask; all get the first answer,
// errors included.
func (f *frozen) Size() (int64, error) {
	f.sizing.Do(func() {
		f.size = int64(len(f.lit))
		buffers := copying.Get().(*copyBuffers)
		defer copying.Put(buffers)
		for _, s := range f.segs {
			if s.body == nil {
				continue
			}
			n, err := s.body.bodySize(buffers)
			if err != nil {
				f.err = err
				return
			}
			f.size += n
		}
	})
	return f.size, f.err
}

// errNeedsUTF8 explains an address that cannot go to a server without SMTPUTF8.
func errNeedsUTF8(address string) error {
	return fmt.Errorf("mail: address %q needs a server with SMTPUTF8: only the part behind the @ can be written in ASCII (RFC 6531)", address)
}

// Adapt gives the form of the message for a server, of which offered tells the extensions, and the extensions that the
// form uses. Bodies go as 8bit (RFC 6152) where that saves an encoding, attachments as binary (RFC 3030) where the message
// asks for it. An address with a local part beyond ASCII uses SMTPUTF8 (RFC 6531), and then the fields are in UTF-8; if it
// is not offered the error names the address.
// The form is f itself if nothing is to be changed. Date, Message-ID and boundaries are those of f in any form.
// A nil offered is not allowed. Several goroutines may call it at once.
func (f *frozen) Adapt(offered func(extension string) bool) (_ io.WriterTo, uses []string, err error) {
	if f.needs != "" && !offered("SMTPUTF8") {
		return nil, nil, errNeedsUTF8(f.needs)
	}
	want := form{
		eightBit: f.gains.eightBit && offered("8BITMIME"),
		// RFC 3030, 3: lines mean nothing in it, so DATA cannot carry it.
		binary: f.gains.binary && offered("BINARYMIME") && offered("CHUNKING"),
		utf8:   f.gains.utf8 && (f.msg.UTF8 || f.needs != "") && offered("SMTPUTF8"),
	}
	if f.needs != "" || want.utf8 {
		uses = append(uses, "SMTPUTF8")
	}
	switch {
	case want.binary:
		uses = append(uses, "BINARYMIME")
	case want.eightBit:
		uses = append(uses, "8BITMIME")
	}
	if want == f.form {
		return f, uses, nil
	}
	// Boundaries come out the same, as they are hashes of the Message-ID and the place (see chooseBoundary).
	other := &frozen{msg: f.msg, date: f.date, id: f.id}
	if err := other.render(want, 0); err != nil {
		return nil, nil, err
	}
	return other, uses, nil
}

// A renderer lays a message out.
type renderer struct {
	*frozen
	m       *Message
	f       folder
	from    int              // where in the literal the segment begins that is being made
	laid    bool             // the text is laid out already
	textEnc transferEncoding // of a message that is nothing but text
	nesting int              // how many messages this one lies in
}

// message lays out the whole message.
func (r *renderer) message() error {
	body, err := r.body()
	if err != nil {
		return err
	}
	r.f.b = slices.Grow(r.f.b, 512+r.guess())
	if err := r.header(body); err != nil {
		return err
	}
	if err := r.layBody(body); err != nil {
		return err
	}
	// A message ends with a line end, as everything in mail does.
	if n := len(r.f.b); n > r.from && (n < 2 || r.f.b[n-1] != '\n') {
		r.f.end()
	}
	if r.segs != nil {
		r.cut(nil)
	}
	r.lit, r.gains.utf8 = r.f.b, r.f.beyond
	return nil
}

// layBody lays out what follows the header.
func (r *renderer) layBody(body *plan) error {
	if r.laid {
		return nil
	}
	r.f.end()
	if body == nil {
		r.text()
		return nil
	}
	return r.write(body)
}

// guess estimates how much will be laid out at once.
// One allocation of about the right size is half of what writing a short message costs; too little is only
// slower.
func (r *renderer) guess() int {
	n := 60 * (len(r.m.To) + len(r.m.Cc) + len(r.m.References))
	if len(r.m.Text) <= inlineText {
		n += len(r.m.Text) + len(r.m.Text)/32
	}
	if len(r.m.HTML) <= inlineText {
		n += len(r.m.HTML) + len(r.m.HTML)/32
	}
	for i := range r.m.Header.fields {
		n += len(r.m.Header.fields[i].raw) + len(r.m.Header.fields[i].body) + 32
	}
	return n
}

// cut ends a segment, with the body that follows its octets.
func (r *renderer) cut(body *plan) {
	r.segs = append(r.segs, segment{r.from, len(r.f.b), body})
	r.from = len(r.f.b)
}

// inlineText is the longest text that is encoded at once; a longer one is encoded each time it is written.
const inlineText = 64 << 10
