package transfer

import (
	"bytes"

	"golang.org/x/text/transform"
)

// yEnc, which comes from news and carries octets nearly as they are: each has 42 added, and the few that lines cannot hold
// are escaped. There is no RFC; the draft of its author, version 1.3, is what programs follow.

// A YencDecoder decodes the lines between =ybegin and =yend; lines that begin with "=y" give nothing themselves. The zero
// value is ready; it never returns an error of its own.
type YencDecoder struct {
	begun  bool // inside of a line
	escape bool // behind "="
	skip   bool // in a line that begins with "=y"
}

// Reset forgets the stream that was filtered, for a new one.
func (d *YencDecoder) Reset() { *d = YencDecoder{} }

// Transform implements [transform.Transformer].
func (d *YencDecoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		c := src[nSrc]
		switch {
		case c == '\n':
			d.begun, d.escape, d.skip = false, false, false
		case c == '\r':
		case d.skip:
			if n := bytes.IndexByte(src[nSrc:], '\n'); n > 0 {
				nSrc += n - 1
			}
		case d.escape && !d.begun && c == 'y':
			d.skip = true
		case !d.escape && c == '=':
			d.escape = true
			nSrc++
			continue // which of the two it is, the next octet tells
		default:
			if nDst == len(dst) {
				return nDst, nSrc, transform.ErrShortDst
			}
			if d.escape {
				c -= 64
			}
			dst[nDst] = c - 42
			nDst++
			d.escape, d.begun = false, true
		}
		nSrc++
	}
	return nDst, nSrc, nil
}
