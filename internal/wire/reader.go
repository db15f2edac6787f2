// Package wire reads and writes the octets of an SMTP connection: lines, the
// dot-stuffed text of a message, chunks and xtext.
//
// It is the fast path. A [Reader] scans its buffer with bytes.IndexByte and
// hands out slices of it; the rules of line ends are checked in the same pass.
// RFC 5321 (2.3.8, 4.5.2, 4.5.3.1), RFC 3030 (chunks), RFC 3461 (xtext).
package wire

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// A Reader holds one buffer. A session that waits for a command has the small
// one; the large one comes from a pool when a read has filled what there was,
// and goes back when it is empty again, so that an idle session costs little.
// Where a Budget is used up reading goes on with the small one: slower, so that
// the other side is held back (TCP's window closes), but nobody is turned away.

const (
	smallBuffer = 4 << 10
	lineBuffer  = 16 << 10  // for a line that is longer than small, without a Budget for large
	largeBuffer = 128 << 10 // a read costs as much as the copying of some 30 KiB
	// skipMax bounds what is read to find the end of a line that is too long.
	skipMax = 1 << 20
)

var (
	// ErrLineEnd is a CR without LF or an LF without CR. RFC 5321, 2.3.8 forbids
	// both, and whoever takes either for a line's end can be made to see commands
	// where others see text.
	ErrLineEnd = errors.New("a line must end in CRLF, and CR and LF occur nowhere else")
	// ErrTooLong is a line over its limit. Of a command it has been read to its
	// end, so that the next line is a command again.
	ErrTooLong = errors.New("line too long")
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// A Budget bounds the memory that many Readers take for their large buffers
// together. nil sets no bound. It may be used from anywhere.
type Budget struct{ left atomic.Int64 }

// NewBudget returns a Budget of so many octets.
func NewBudget(octets int64) *Budget {
	b := new(Budget)
	b.left.Store(octets)
	return b
}

// take reports whether there is enough left for a large buffer, which is then
// taken.
func (b *Budget) take() bool {
	if b == nil {
		return true
	}
	if b.left.Add(-largeBuffer) >= 0 {
		return true
	}
	b.give()
	return false
}

func (b *Budget) give() {
	if b != nil {
		b.left.Add(largeBuffer)
	}
}

// A Reader reads lines and messages from a connection. It is not for use from
// several goroutines at once.
type Reader struct {
	Budget     *Budget // for the large buffer; set it before the first read
	src        io.Reader
	beforeRead func() error // called when a read may block; nil: nothing
	buf        []byte
	small      *[smallBuffer]byte
	large      *[largeBuffer]byte // nil while buf is small
	r, w       int                // buf[r:w] is unread
	full       bool               // the last read filled the buffer: more is waiting
	err        error              // sticky, after what was read with it
}

// NewReader returns a Reader of src. beforeRead is called before each read of
// src: the place to write what the other side waits for, and to set deadlines.
func NewReader(src io.Reader, beforeRead func() error) *Reader {
	small := smallBuffers.Get().(*[smallBuffer]byte)
	return &Reader{src: src, beforeRead: beforeRead, buf: small[:], small: small}
}

// Reset makes r read from src and forget what it has buffered.
func (r *Reader) Reset(src io.Reader) {
	r.Release()
	r.src, r.r, r.w, r.err, r.full = src, 0, 0, nil, false
}

// Buffered returns how many octets have been read from the connection and not
// been asked for yet.
func (r *Reader) Buffered() int { return r.w - r.r }

// Peek returns what is buffered.
func (r *Reader) Peek() []byte { return r.buf[r.r:r.w] }

// Discard forgets the first n octets of what is buffered.
func (r *Reader) Discard(n int) { r.r += n }

// Release gives the large buffer back if nothing is left in it.
func (r *Reader) Release() {
	if len(r.buf) == smallBuffer || r.r != r.w {
		return
	}
	r.giveBack()
	r.buf, r.r, r.w, r.full = r.small[:], 0, 0, false
}

// Free ends r's life: what it has buffered is forgotten, and all it holds goes back to
// where it came from.
func (r *Reader) Free() {
	r.giveBack()
	smallBuffers.Put(r.small)
	*r = Reader{err: io.ErrClosedPipe}
}

// giveBack returns the large buffer to where it came from.
func (r *Reader) giveBack() {
	if r.large != nil {
		largeBuffers.Put(r.large)
		r.large = nil
		r.Budget.give()
	}
}

// Fill reads more from the connection, at least one octet. What Peek and
// ReadLine returned before is no longer valid.
func (r *Reader) Fill() error {
	if r.err != nil {
		return r.err
	}
	if r.beforeRead != nil {
		if err := r.beforeRead(); err != nil {
			return err
		}
	}
	r.makeRoom()
	for range 100 {
		free := len(r.buf) - r.w
		n, err := r.src.Read(r.buf[r.w:])
		r.full = n == free
		r.w += n
		if n > 0 {
			r.err = sticky(err)
			return nil
		}
		if err != nil {
			r.err = sticky(err)
			return err
		}
	}
	return io.ErrNoProgress
}

// sticky returns err unless it may pass: a deadline that was moved to interrupt
// a read says nothing about the connection.
func sticky(err error) error {
	if err == nil {
		return nil
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return nil
	}
	return err
}

// makeRoom moves what is unread to the front and takes the large buffer when
// the small one has proved too small.
func (r *Reader) makeRoom() {
	stuck := r.w-r.r == len(r.buf)
	switch {
	case r.large == nil && (r.full || stuck) && r.Budget.take():
		large := largeBuffers.Get().(*[largeBuffer]byte)
		r.large = large
		r.moveTo(large[:])
		return
	case stuck:
		r.moveTo(make([]byte, max(lineBuffer, len(r.buf))))
		return
	}
	if r.r > 0 {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
}

// moveTo makes buf the buffer, with what is unread at its front.
func (r *Reader) moveTo(buf []byte) {
	r.w = copy(buf, r.buf[r.r:r.w])
	r.buf, r.r = buf, 0
}

// ReadLine returns the next line without its CRLF; it is valid until the next
// read. limit bounds its octets, CRLF included, and is at most 16 KiB
// under a Budget, else 128 KiB.
// The end of the connection within a line is io.ErrUnexpectedEOF, before one io.EOF.
func (r *Reader) ReadLine(limit int) ([]byte, error) {
	seen := 0
	for {
		b := r.buf[r.r:r.w]
		if i := bytes.IndexByte(b[seen:], '\n'); i >= 0 {
			end := seen + i
			if end+1 > limit {
				r.r += end + 1
				return nil, ErrTooLong
			}
			// The first CR must be the one before the LF.
			if end == 0 || bytes.IndexByte(b[:end], '\r') != end-1 {
				return nil, ErrLineEnd
			}
			r.r += end + 1
			return b[:end-1], nil
		}
		seen = len(b)
		if seen >= limit {
			return nil, r.skipLine()
		}
		if err := r.Fill(); err != nil {
			if err == io.EOF && seen > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// skipLine reads to the end of a line that is too long, within bounds.
func (r *Reader) skipLine() error {
	for skipped := 0; skipped < skipMax; {
		b := r.buf[r.r:r.w]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			r.r += i + 1
			return ErrTooLong
		}
		skipped += len(b)
		r.r = r.w
		if err := r.Fill(); err != nil {
			return err
		}
	}
	return ErrLineEnd // no line at all: nothing that follows can be trusted
}
