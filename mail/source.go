package mail

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unsafe"
)

// Where a message's bytes come from: memory, or a file that is read through a window.
//
// In memory nothing is copied: fields, texts and preambles are strings that share the message's octets, which
// is why these octets are never written to again. Out of a file only the window is in memory, so that a message
// of a gigabyte costs no more than a short one. Lines are cut at LF alone: what the CR before it means is the
// caller's to say.

// A source is a message's bytes.
type source struct {
	data string      // all of it, if at is nil: header, texts and preambles are pieces of it, not copies
	at   io.ReaderAt // else
	size int64
	err  error // the first of at's
}

// wholeSource reads a small message at once.
// An io.ReaderAt may return io.EOF with the last octets; with all of them there, that is no error.
func wholeSource(r io.ReaderAt, size int64) source {
	b := make([]byte, size)
	n, err := r.ReadAt(b, 0)
	if int64(n) == size {
		err = nil
	}
	return source{data: stringOf(b[:n]), size: int64(n), err: err}
}

// stringOf gives octets that nobody changes any more as a string.
// Copying would double what a message costs in memory.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf gives a string as octets, which nobody may change.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// section opens the octets from begin to end.
// Each call gives a reader of its own, so parts may be read at once by several goroutines.
func (s *source) section(begin, end int64) io.Reader {
	if s.at == nil {
		return strings.NewReader(s.data[begin:end])
	}
	return io.NewSectionReader(s.at, begin, end-begin)
}

// windowSize is how much of a file is in memory while it is indexed.
const windowSize = 64 << 10

// lineEndSize is how much of what is behind stays in the window: the line end before a boundary is the boundary's.
const lineEndSize = 2

// A lines walks over a source's lines. It gives them as they are in the window; a line longer than the window comes in
// pieces, of which only the first says that it begins a line.
// A line of any length is handed on, so that no message can make us keep more than the window.
type lines struct {
	src *source
	buf []byte // a window on the source; all of it if that is in memory
	off int64  // where buf begins
	pos int    // how far in buf we are
	mid bool   // pos is inside a line
}

// offset is where the next line begins.
func (l *lines) offset() int64 { return l.off + int64(l.pos) }

// back goes back to an offset, where a line begins. passed is what has been read since.
// It goes back only to the beginning of a body, which the window nearly always still holds.
func (l *lines) back(offset int64, passed string) {
	l.mid = false
	if offset >= l.off {
		l.pos = int(offset - l.off)
		return
	}
	if s, ok := l.src.at.(*stream); ok {
		s.again(offset, passed+string(l.buf[l.pos:]))
		if errors.Is(l.src.err, io.EOF) {
			l.src.err = nil // its end comes once more
		}
	}
	l.off, l.pos, l.buf = offset, 0, l.buf[:0]
}

// more moves the window on, so that it begins just before pos and is full. It is false if there is nothing to add.
func (l *lines) more() bool {
	s := l.src
	if s.at == nil {
		if l.buf == nil && len(s.data) > 0 {
			l.buf = bytesOf(s.data) // lines are only read
			return true
		}
		return false
	}
	// A window that is full and wholly unread is a line longer than it, to be given as a piece.
	end, kept := l.off+int64(len(l.buf)), min(l.pos, lineEndSize)
	if end >= s.size || s.err != nil || l.pos == kept && len(l.buf) == windowSize {
		return false
	}
	if cap(l.buf) < windowSize {
		l.buf = append(make([]byte, 0, windowSize), l.buf...)
	}
	n := copy(l.buf, l.buf[l.pos-kept:])
	l.off, l.pos = l.off+int64(l.pos-kept), kept
	want := int(min(int64(windowSize-n), s.size-end))
	got, err := s.at.ReadAt(l.buf[n:n+want], end)
	l.buf = l.buf[:n+got]
	if got < want {
		s.size = end + int64(got) // the file is shorter than was said; err tells if that was more than its end
		s.err = err
	}
	return got > 0
}

// next gives the next line with its line end, or a piece of one. begins is false for a piece that begins none.
// It is good until the next call, for the window moves.
func (l *lines) next() (line []byte, begins, ok bool) {
	begins = !l.mid
	for {
		if i := bytes.IndexByte(l.buf[l.pos:], '\n'); i >= 0 {
			line = l.buf[l.pos : l.pos+i+1]
			l.pos, l.mid = l.pos+i+1, false
			return line, begins, true
		}
		if !l.more() {
			break
		}
	}
	line = l.buf[l.pos:]
	l.pos, l.mid = len(l.buf), len(line) > 0
	return line, begins, len(line) > 0
}

// dashes finds the next line that begins with "--", from the beginning of a line on; the lines before it are passed
// over. prior is the length of the line end before it.
// This is where the time goes in a large message: between two boundaries nothing else is looked at.
func (l *lines) dashes() (line []byte, start int64, prior int, ok bool) {
	for {
		if !l.dash() {
			if !l.more() {
				return nil, 0, 0, false
			}
			continue
		}
		start, prior = l.offset(), l.prior()
		line, _, ok = l.next()
		if !ok || len(line) > 1 && line[1] == '-' {
			return line, start, prior, ok
		}
	}
}

// dash goes to the next line in the window that begins with a hyphen, or else to the window's end.
func (l *lines) dash() bool {
	for l.pos < len(l.buf) {
		// Hyphens are rarer than line ends, and base64 has none at all: it is they that are looked for.
		i := bytes.IndexByte(l.buf[l.pos:], '-')
		if i < 0 {
			l.mid = l.buf[len(l.buf)-1] != '\n'
			l.pos = len(l.buf)
			return false
		}
		at := l.pos + i
		if i == 0 && l.mid || i > 0 && l.buf[at-1] != '\n' {
			l.pos, l.mid = at+1, true
			continue
		}
		l.pos, l.mid = at, false
		return true
	}
	return false
}

// prior gives the length of the line end before pos: 2 for CRLF, 1 for LF, 0 at the very beginning. The window always
// holds it, but behind a seek, where nothing before pos counts.
func (l *lines) prior() int {
	switch {
	case l.offset() == 0:
		return 0
	case l.pos >= 2 && l.buf[l.pos-2] == '\r':
		return 2
	}
	return 1
}
