package transfer

import (
	"errors"
	"io"

	"golang.org/x/text/transform"
)

// bufferSize is what a Reader reads and decodes at once: large enough that what happens once a block does not count.
//
// Two of these are what reading a large part costs in memory.
const bufferSize = 32 << 10

// A Reader reads through a filter. It does what transform.Reader does, with larger blocks, and small ones for small
// inputs: most parts of a message are short.
// It is made by [NewReader] and is for one goroutine; the zero Reader cannot be used. There is nothing to
// close: what it reads from belongs to the caller.
type Reader struct {
	r        io.Reader
	t        transform.Transformer
	dst, src []byte
	d0, d1   int  // filtered and not yet given
	s0, s1   int  // read and not yet filtered
	more     bool // the filter waits for more input than is left
	err      error
}

// NewReader makes a Reader; it resets t.
// t belongs to the Reader from then on. Neither may be nil.
func NewReader(r io.Reader, t transform.Transformer) *Reader {
	t.Reset()
	size := bufferSize
	if l, ok := r.(interface{ Len() int }); ok {
		size = min(size, max(l.Len()+128, 512))
	}
	return &Reader{r: r, t: t, dst: make([]byte, size), src: make([]byte, size)}
}

// Read implements [io.Reader].
// The error is that of the input or the filter's own, and comes after all that could be read.
func (r *Reader) Read(p []byte) (int, error) {
	for {
		if r.d0 < r.d1 {
			n := copy(p, r.dst[r.d0:r.d1])
			r.d0 += n
			return n, nil
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
}

// fill filters another block. An error of the input's comes after all that was read before it.
func (r *Reader) fill() error {
	if r.err == nil && (r.s0 == r.s1 || r.more) {
		r.s1 = copy(r.src, r.src[r.s0:r.s1])
		var n int
		n, r.err = r.r.Read(r.src[r.s1:])
		r.s0, r.s1, r.more = 0, r.s1+n, false
	}
	atEOF := errors.Is(r.err, io.EOF)
	if r.err != nil && !atEOF && (r.s0 == r.s1 || r.more) {
		return r.err
	}
	nDst, nSrc, err := r.t.Transform(r.dst, r.src[r.s0:r.s1], atEOF)
	r.d0, r.d1, r.s0 = 0, nDst, r.s0+nSrc
	switch {
	case err == nil:
		if atEOF && nDst == 0 {
			return io.EOF
		}
	// A filter that stands still with the whole of dst before it never will go on: that is an error and not a
	// loop.
	case errors.Is(err, transform.ErrShortDst) && nDst+nSrc > 0:
	case errors.Is(err, transform.ErrShortSrc) && !atEOF && (r.s0 > 0 || r.s1 < len(r.src)):
		r.more = true
	default:
		return err
	}
	return nil
}
