package transfer

import (
	"bytes"

	"golang.org/x/text/transform"
)

// Line ends. In mail there is one, CRLF (RFC 5321, 2.3.8); a CR or LF alone is what people's programs and old systems
// write, and each is a line end here, so that no two readers can disagree about where a line ends.
//
// A CRLF that lies in two pieces of input is one line end as well: that is all the state there is.

// An EOL makes every CRLF, LF and CR alone the same line end.
// It does not end a last line that has no end. The zero value is ready; it never returns an error of its own.
type EOL struct {
	Marker string // CRLF if empty

	cr  bool   // the last octet was a CR, and its marker is written: an LF that follows belongs to it
	out string // of the marker, what dst had no room for
}

// Reset forgets the stream that was filtered, for a new one.
// Marker stays.
func (e *EOL) Reset() { e.cr, e.out = false, "" }

// Transform implements [transform.Transformer].
func (e *EOL) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	marker := e.Marker
	if marker == "" {
		marker = "\r\n"
	}
	// A marker that dst has no room for is owed, and paid first at the next call.
	for {
		if e.out != "" {
			n := copy(dst[nDst:], e.out)
			nDst, e.out = nDst+n, e.out[n:]
			if e.out != "" {
				return nDst, nSrc, transform.ErrShortDst
			}
		}
		if nSrc == len(src) {
			return nDst, nSrc, nil
		}
		if e.cr {
			e.cr = false
			if src[nSrc] == '\n' {
				nSrc++
				continue
			}
		}
		// The window keeps this linear where there is one kind of line end and not the other.
		rest := src[nSrc:min(len(src), nSrc+512)]
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			end = len(rest)
		}
		if i := bytes.IndexByte(rest[:end], '\r'); i >= 0 {
			end = i
		}
		n := copy(dst[nDst:], rest[:end])
		nDst, nSrc = nDst+n, nSrc+n
		if n < end {
			return nDst, nSrc, transform.ErrShortDst
		}
		if end < len(rest) {
			// The marker goes out at the CR, without waiting for an LF: a reader at a terminal may be waiting
			// for the line.
			e.cr = src[nSrc] == '\r'
			e.out = marker
			nSrc++
		}
	}
}
