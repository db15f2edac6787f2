package wire

import (
	"bytes"
	"errors"
	"io"
)

// The text of a message after DATA (RFC 5321, 4.5.2): lines that end in CRLF, a
// dot added before each line that begins with one, a dot alone at the end.
//
// Only CRLF "." CRLF ends it. A bare CR or LF anywhere is an error after which
// nothing that follows can be trusted, or, in the loose form, text that ends
// nothing. Several reads may be needed to tell: the last octets of the buffer stay
// there until they can be judged.

// ErrTooBig is a message over its size limit.
var ErrTooBig = errors.New("message too big")

// A Data reads one message. Its Next returns io.EOF only after a valid end; every other
// error is final, except that after ErrTooBig and ErrTooLong Drain can still find the
// end.
type Data struct {
	src     *Reader
	limit   int64
	maxLine int
	size    int64 // octets handed out or dropped so far
	line    int   // octets of the current line so far
	lines   lines
	inLine  bool // not at the beginning of a line
	loose   bool // a bare CR or LF is text
	cr      bool // the last octet handed out was a CR (loose)
	odd     bool // the last line ended in CR CR LF (loose)
	err     error
}

// Start makes d read a message from src: at most limit octets, each line at most
// maxLine octets with its CRLF.
func (d *Data) Start(src *Reader, limit int64, maxLine int) {
	*d = Data{src: src, limit: limit, maxLine: maxLine}
}

// Loose makes a CR or LF that stands alone text: it is handed out as it is and
// ends nothing. A dot behind CR CR LF is still an error where it would end the
// message: some take that for the end and some do not.
func (d *Data) Loose() { d.loose = true }

// Err returns the error that ended the reading: nil while it goes on, io.EOF
// after a valid end.
func (d *Data) Err() error { return d.err }

// Size returns how many octets the message has had so far, dots unstuffed.
func (d *Data) Size() int64 { return d.size }

// Next returns the next octets of the message, unstuffed. They lie in the buffer and are
// valid until the next call.
func (d *Data) Next() ([]byte, error) {
	for d.err == nil {
		if !d.inLine {
			if more := d.dot(); more {
				d.fill()
				continue
			}
			if d.err != nil {
				break
			}
		}
		if chunk := d.scan(); len(chunk) > 0 {
			d.size += int64(len(chunk))
			if d.size > d.limit {
				d.err = ErrTooBig
				break
			}
			return chunk, nil
		}
		if d.err == nil {
			d.fill()
		}
	}
	return nil, d.err
}

// Drain reads on to the end of the message and drops what it reads, at most
// bound octets. It returns nil if it came to a valid end.
func (d *Data) Drain(bound int64) error {
	if d.err == ErrTooBig || d.err == ErrTooLong {
		d.err = nil
	}
	d.limit, d.maxLine = d.size+bound, int(^uint(0)>>1)
	for {
		if _, err := d.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// fill reads more; the connection must not end here.
func (d *Data) fill() {
	if err := d.src.Fill(); err == io.EOF {
		d.err = io.ErrUnexpectedEOF
	} else if err != nil {
		d.err = err
	}
}

// dot looks at the beginning of a line: it takes a stuffed dot away, and sets
// io.EOF at the end. It reports whether more octets are needed to tell.
func (d *Data) dot() (more bool) {
	b := d.src.Peek()
	switch {
	case len(b) == 0:
		return true
	case b[0] != '.':
	case len(b) == 1:
		return true
	case b[1] != '\r':
		d.src.Discard(1)
	case len(b) == 2:
		return true
	case b[2] == '\n' && !d.odd:
		d.src.Discard(3)
		d.err = io.EOF
		return false
	case d.loose && !d.odd: // a dot that was stuffed, and a bare CR
		d.src.Discard(1)
	default:
		d.err = ErrLineEnd
		return false
	}
	d.inLine, d.cr = true, false
	return false
}

// scan takes from the buffer what can be handed out in one piece: up to the
// first line that begins with a dot, or to the end of the buffer without a last
// CR, whose LF may still come.
func (d *Data) scan() []byte {
	b := d.src.Peek()
	if d.loose {
		return d.scanLoose(b)
	}
	run, clean := d.lines.run(b, d.line, true)
	rest := b[run.end:]
	ended := len(rest) == 0 || run.end > 0 && rest[0] == '.'
	switch {
	case run.longest > d.maxLine:
		d.err = ErrTooLong
		return nil
	case !clean, !ended && bytes.IndexByte(rest, '\n') >= 0:
		d.err = ErrLineEnd
		return nil
	case run.end > 0:
		d.line, d.inLine = 0, !ended
	}
	tail := 0
	if !ended {
		if tail = d.tail(rest); d.err == nil && bytes.IndexByte(rest[:tail], '\r') >= 0 {
			d.err = ErrLineEnd
		}
		if d.err != nil {
			return nil
		}
	}
	return d.take(b, run.end+tail)
}

// scanLoose is scan where only CRLF ends a line and all else is text.
func (d *Data) scanLoose(b []byte) []byte {
	end := 0
	for from := 0; from < len(b); {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			break
		}
		at := from + i
		from = at + 1
		// A CR at the end of the buffer waits there for its LF: one at the beginning is bare.
		if at == 0 || b[at-1] != '\r' {
			continue
		}
		if d.line+from-end > d.maxLine {
			d.err = ErrTooLong
			return nil
		}
		d.odd = at == 1 && d.cr || at > 1 && b[at-2] == '\r'
		end, d.line = from, 0
		if end == len(b) || b[end] == '.' {
			d.inLine = false
			return d.takeLoose(b, end)
		}
	}
	if end += d.tail(b[end:]); d.err != nil {
		return nil
	}
	return d.takeLoose(b, end)
}

// tail counts the octets of an unfinished line that can be handed out.
func (d *Data) tail(b []byte) int {
	n := len(b)
	if n > 0 && b[n-1] == '\r' {
		n--
	}
	if d.line += n; d.line > d.maxLine {
		d.err = ErrTooLong
	}
	return n
}

// takeLoose is take, and notes whether the LF of a CRLF may follow.
func (d *Data) takeLoose(b []byte, end int) []byte {
	if end > 0 {
		d.cr = b[end-1] == '\r'
	}
	return d.take(b, end)
}

// take removes b[:end] from the buffer.
func (d *Data) take(b []byte, end int) []byte {
	d.src.Discard(end)
	return b[:end:end]
}

// LineEnds checks that CR and LF occur only as CRLF in octets that come in
// pieces.
type LineEnds struct {
	cr    bool
	lines lines
}

// Check takes the next octets.
func (l *LineEnds) Check(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if l.cr {
		if b[0] != '\n' {
			return ErrLineEnd
		}
		b = b[1:]
	}
	run, clean := l.lines.run(b, 0, false)
	rest := b[run.end:]
	if l.cr = len(rest) > 0 && rest[len(rest)-1] == '\r'; l.cr {
		rest = rest[:len(rest)-1] // its LF may still come
	}
	if !clean || bytes.IndexByte(rest, '\n') >= 0 || bytes.IndexByte(rest, '\r') >= 0 {
		return ErrLineEnd
	}
	return nil
}

// Close tells whether the octets ended within a CRLF.
func (l *LineEnds) Close() error {
	if l.cr {
		return ErrLineEnd
	}
	return nil
}
