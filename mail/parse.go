package mail

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// Parsing a message: an index of its parts in one pass (index.go), then the view people have of it (view.go). What the
// message says is never an error; it is a Defect.
//
// The order matters: what is shown of the header may need the charset of the first text, so the whole tree is
// known first.

// A Parser reads messages. The zero Parser is what [Parse] and [ParseAt] use. It may be used by several goroutines at
// once as long as its fields are not changed.
type Parser struct {
	Depth        int   // how deep multiparts may lie in each other; 100 if zero. What is deeper is one part, not opened
	Parts        int   // how many parts a message may have; 1,000 if zero. The rest of the message is then one part
	HeaderBytes  int64 // octets kept of one header, of the message or of a part; 1 MiB if zero. The rest is dropped
	HeaderFields int   // fields kept of one header; 10,000 if zero. The rest is dropped
	LineBytes    int   // octets kept of one line of a header; 256 KiB if zero. The rest is dropped
	TextBytes    int64 // octets of Text, and of HTML, after decoding; 16 MiB if zero. The rest is left out
	MessageBytes int64 // octets that Parse keeps in memory; 256 MiB if zero. The rest is not read

	// Charset finds a charset that the WHATWG's and the IANA's lists do not have, or that is to be read another way. It
	// gets the label as it is in the message. Nil, or a nil result: only those lists.
	Charset func(label string) encoding.Encoding

	// Decoder finds a decoder for a content-transfer encoding other than RFC 2045's, by its name in lower case. Nil, or a
	// nil result: such a part is given as it is.
	Decoder func(name string) transform.Transformer

	unlabelled string // the charset to try for raw 8-bit text in fields, before Windows-1252
}

// limits are a Parser's, with the defaults filled in.
// They are copied once for each message, so that a Parser that is changed meanwhile cannot change a message
// halfway.
type limits struct {
	depth, parts           int
	headerBytes            int64
	headerFields           int
	lineBytes              int
	textBytes, memoryBytes int64
}

// limits fills in the defaults. A nil Parser has all of them, which is what Parse uses: it need not be made then.
func (p *Parser) limits() limits {
	if p == nil {
		p = &Parser{}
	}
	return limits{
		depth: orDefault(p.Depth, 100), parts: orDefault(p.Parts, 1000),
		headerBytes: orDefault(p.HeaderBytes, 1<<20), headerFields: orDefault(p.HeaderFields, 10000), lineBytes: orDefault(p.LineBytes, 256<<10),
		textBytes: orDefault(p.TextBytes, 16<<20), memoryBytes: orDefault(p.MessageBytes, 256<<20),
	}
}

// orDefault gives n, or d for zero.
func orDefault[T int | int64](n, d T) T {
	if n == 0 {
		return d
	}
	return n
}

// Parse reads a message to the end of r and keeps its bytes in memory; see [ParseAt] for large ones. The error is r's
// own or nil: whatever the message holds, all of it that can be made sense of is returned, and Defects tells the rest.
// With an error of r's comes what was read until then.
func Parse(r io.Reader) (*Message, error) { return (*Parser)(nil).Parse(r) }

// ParseAt reads a message of size octets out of r, in one pass and without keeping it: bodies are read again when they
// are opened, so r must stay usable as long as the Message is. Only Text, HTML and the headers are in memory. A message
// of up to 64 KiB is read at once and kept.
func ParseAt(r io.ReaderAt, size int64) (*Message, error) { return (*Parser)(nil).ParseAt(r, size) }

// Parse is the function [Parse] with this Parser's limits.
func (p *Parser) Parse(r io.Reader) (*Message, error) {
	lim := p.limits()
	data, err := readAll(r, lim.memoryBytes)
	tooLong := int64(len(data)) > lim.memoryBytes
	if tooLong {
		data = data[:lim.memoryBytes]
	}
	m := p.build(source{data: data, size: int64(len(data))}, lim)
	if tooLong {
		m.Defects = append(m.Defects, Defect{DefectLimit, lim.memoryBytes, "the message is longer than the limit, the rest was not read"})
	}
	if err != nil {
		return m, fmt.Errorf("mail: reading a message: %w", err)
	}
	return m, nil
}

// ParseAt is the function [ParseAt] with this Parser's limits.
func (p *Parser) ParseAt(r io.ReaderAt, size int64) (*Message, error) {
	src := source{at: r, size: size}
	if size <= windowSize {
		src = wholeSource(r, size)
	}
	m := p.build(src, p.limits())
	if err := m.Body.src.err; err != nil && !errors.Is(err, io.EOF) {
		return m, fmt.Errorf("mail: reading a message: %w", err)
	}
	return m, nil
}

// readAll reads up to one octet more than limit.
// The one octet more tells a message that is as long as the limit from one that is longer.
func readAll(r io.Reader, limit int64) (string, error) {
	if s, ok := r.(interface{ Len() int }); ok && int64(s.Len()) <= limit {
		b := make([]byte, s.Len()) // known, as a bytes.Reader's is: one allocation of the right size
		n, err := io.ReadFull(r, b)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = nil
		}
		return stringOf(b[:n]), err
	}
	var b strings.Builder
	_, err := io.Copy(&b, io.LimitReader(r, limit+1))
	return b.String(), err
}

// A document is what is kept of a message that was parsed, in one piece.
// A message, its source and its outermost part live and die together: one allocation serves for the three.
type document struct {
	msg  Message
	src  source
	root Part
}

// A work is what parsing one message needs, in one piece.
// It is let go of when the message is made, which keeps nothing of it, and serves for the next one.
type work struct {
	index index
	view  view
}

var working = sync.Pool{New: func() any { return new(work) }}

// build makes the message from its index.
func (p *Parser) build(src source, lim limits) *Message {
	d := &document{src: src}
	w := working.Get().(*work)
	defer func() {
		*w = work{}
		working.Put(w)
	}()
	w.index.p, w.index.lim, w.index.lines.src = p, lim, &d.src
	w.index.run(&d.root)
	m := &d.msg
	m.Body = &d.root
	w.view.p, w.view.lim, w.view.m, w.view.defects = p, lim, m, &w.index.defects
	w.view.fill(w.index.header)
	m.Defects = w.index.defects.list
	return m
}
