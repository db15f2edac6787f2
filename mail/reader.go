package mail

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/postrider/postrider/mail/transfer"
)

// Reading a message as it arrives: the index's own pass, stopped at each part. What Parse would put together and keep is
// handed on and forgotten, so a message of any size takes the memory of its largest header and one window.

// A Reader reads a message part by part, in one pass. It is for one goroutine. [Parse] is simpler, and the way to take
// where a message fits into memory or lies in a file.
type Reader struct {
	// Message has the fields of the header, and the Defects found so far. It has no Body, Text or Attachments. Raw 8-bit
	// text in the fields is taken for that of the outermost part's charset: what the others have is not known yet.
	Message *Message

	x       index
	stream  stream
	here    region
	path    string
	given   int64 // up to here the region's octets have been handed on
	safe    int64 // up to here they can be
	ended   bool  // the region has
	next    int   // the level whose boundary has ended it; -1 for none: the message has ended
	closing bool
	start   int64 // where that boundary begins
	prior   int   // the length of the line end before it
	part    *Part // whose content the region is; nil behind the last part of a multipart
}

// NewReader reads the header of a message, and then, part by part, its body. The error is r's own; with it comes what was
// read. Nothing that the message holds is one: Message.Defects tells.
func NewReader(r io.Reader) (*Reader, error) { return (*Parser)(nil).NewReader(r) }

// NewReader is the function [NewReader] with this Parser's limits. Of these, TextBytes and MessageBytes mean nothing here.
func (p *Parser) NewReader(r io.Reader) (*Reader, error) {
	rd := &Reader{stream: stream{r: r}, Message: &Message{}}
	src := &source{at: &rd.stream, size: math.MaxInt64}
	rd.x = index{p: p, lim: p.limits(), passing: true}
	rd.x.lines.src = src
	root := &Part{from: rd}
	rd.x.part(root, nil)
	header := root.Header
	root.Header = contentFields(header)
	v := view{p: p, lim: rd.x.lim, m: rd.Message, defects: &rd.x.defects}
	rd.Message.Body = root // the charset of raw text is looked for in it
	v.header(header)
	rd.Message.Body = nil
	rd.begin(root, rd.x.begin(root))
	if rd.path = "1"; len(rd.x.levels) > 0 {
		rd.path = ""
	}
	return rd, rd.err()
}

// Parts walks over the parts in the order of [Part.Walk], the outermost one first. A multipart comes before its parts;
// its own content is what stands before the first of them, and Parts is empty. The content of a part can be read by
// [Part.Reader] or [Part.Text], once and while it is the current one; what is not read is passed over. An error, with a nil
// part, is one of reading and ends the walk. Parts can be called once.
func (rd *Reader) Parts() iter.Seq2[*Part, error] {
	return func(yield func(*Part, error) bool) {
		for ok := rd.err() == nil && rd.part != nil; ok; ok = rd.advance() {
			if !yield(rd.part, nil) {
				return
			}
		}
		rd.part = nil
		if err := rd.err(); err != nil {
			yield(nil, err)
		}
	}
}

// Path gives the path of the current part, as [Part.Walk] does.
func (rd *Reader) Path() string { return rd.path }

// err gives the error of reading, if there was one.
func (rd *Reader) err() error {
	rd.Message.Defects = rd.x.defects.list
	if err := rd.x.lines.src.err; err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("mail: reading a message: %w", err)
	}
	return nil
}

// begin makes a region the current one.
func (rd *Reader) begin(part *Part, r region) {
	rd.here, rd.part, rd.ended = r, part, false
	rd.given, rd.safe = r.begin, r.begin
}

// advance goes on to the next part. It is false at the end of the message.
func (rd *Reader) advance() bool {
	x := &rd.x
	for {
		// What nobody has read is passed over: the next boundary is behind it.
		for rd.piece() != nil {
		}
		if rd.next < 0 {
			x.end(rd.here, x.lines.src.size, 0)
			x.unclosed(0, x.lines.src.size)
			return false
		}
		x.end(rd.here, rd.start, rd.prior)
		x.unclosed(rd.next+1, max(rd.here.begin, rd.start-int64(rd.prior)))
		path := x.path(rd.next)
		r := x.follow(rd.next, rd.closing)
		// An epilogue is nobody's part: it is passed over as well.
		if r.kind == 'e' {
			rd.begin(nil, r)
			continue
		}
		r.part.from = rd
		rd.path = path
		rd.begin(r.part, r)
		return rd.err() == nil
	}
}

// path gives the path of the part that comes next in level n.
func (x *index) path(n int) string {
	var b strings.Builder
	for i, l := range x.levels[:n+1] {
		if i > 0 {
			b.WriteByte('.')
		}
		if i == n {
			l.children++
		}
		b.WriteString(strconv.Itoa(l.children))
	}
	return b.String()
}

// piece gives the next octets of the region, as they are in the message; nil when it has ended. They are good until the
// next call.
// The last line end is held back as long as a boundary may follow, for it would be the boundary's.
func (rd *Reader) piece() []byte {
	l := &rd.x.lines
	for {
		if rd.given < rd.safe {
			b := l.buf[rd.given-l.off : rd.safe-l.off]
			rd.given = rd.safe
			return b
		}
		switch {
		case rd.ended:
			return nil
		case len(rd.x.levels) == 0: // nothing can end it but the end
			l.pos, l.mid = len(l.buf), true
			if rd.safe = l.offset(); rd.given == rd.safe && !l.more() {
				rd.end(-1)
			}
		case !l.dash():
			rd.safe = max(rd.given, l.offset()-lineEndSize)
			if rd.given == rd.safe && !l.more() {
				rd.safe = l.offset()
				rd.end(-1)
			}
		default:
			rd.start, rd.prior = l.offset(), l.prior()
			if rd.safe = max(rd.given, rd.start-int64(rd.prior)); rd.given < rd.safe {
				continue // before the window moves on
			}
			line, _, ok := l.next()
			if !ok || len(line) < 2 || line[1] != '-' {
				continue
			}
			n, closing := rd.x.match(line)
			if n < 0 {
				continue
			}
			rd.closing = closing
			rd.end(n)
		}
	}
}

// end ends the region at the boundary of level n, or, if that is -1, at the end of the message.
func (rd *Reader) end(n int) { rd.ended, rd.next = true, n }

// errPassed is for who reads a part too late.
var errPassed = errors.New("mail: the part has been passed; a Reader reads each part once, while it is the current one")

// A partReader reads the content of a Reader's current part, encoded as it is.
type partReader struct {
	rd   *Reader
	part *Part
	left []byte
}

// Read implements io.Reader.
func (r *partReader) Read(b []byte) (int, error) {
	if r.rd.part != r.part {
		return 0, errPassed
	}
	if len(r.left) == 0 {
		if r.left = r.rd.piece(); r.left == nil {
			if err := r.rd.err(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
	}
	n := copy(b, r.left)
	r.left = r.left[n:]
	return n, nil
}

// open opens a part's content, decoded, while it is the current one.
func (rd *Reader) open(p *Part, parser *Parser) (io.ReadCloser, error) {
	if rd.part != p {
		return nil, errPassed
	}
	if parser == nil {
		parser = rd.x.p
	}
	r := io.Reader(&partReader{rd: rd, part: p})
	if t := p.decoder(parser, &decoders{}); t != nil {
		r = transfer.NewReader(r, t)
	}
	return io.NopCloser(r), nil
}

// A stream is a source that can be read once, from its beginning to its end.
// What a header has read too far is kept, and read again.
type stream struct {
	r   io.Reader
	pos int64  // where r is
	was string // what lies before it and is to be read again
}

// again has what was read from an offset on read again: all of it, up to where the stream is.
func (s *stream) again(offset int64, was string) { s.pos, s.was = offset, was }

// ReadAt implements io.ReaderAt for the offset where the stream is, which is where a window asks.
func (s *stream) ReadAt(b []byte, offset int64) (int, error) {
	if offset != s.pos {
		return 0, fmt.Errorf("octet %d of a stream that is at %d", offset, s.pos)
	}
	// What has been read too far comes first, then the stream where it is.
	n := copy(b, s.was)
	s.was = s.was[n:]
	var err error
	if n < len(b) {
		var more int
		more, err = io.ReadFull(s.r, b[n:])
		n += more
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF
		}
	}
	s.pos += int64(n)
	return n, err
}
