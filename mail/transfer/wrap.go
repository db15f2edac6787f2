package transfer

import "golang.org/x/text/transform"

// Wrapping lines. The encoders here make short lines themselves; these filters are for text that comes from elsewhere.
//
// QUIRK: base64 in one line of megabytes comes from scripts, and servers refuse lines over 998 octets or cut
// them (RFC 5321, 4.5.3.1.6); wrapping it again changes nothing that a decoder sees.

// A Wrapper breaks lines that are longer than Width, wherever that falls, and ends the last one. LF and CRLF are line
// ends, written as CRLF; a CR alone is dropped. It fits text whose line ends mean nothing, as base64.
// The zero value is ready; it never returns an error of its own.
type Wrapper struct {
	Width int // octets a line without its CRLF; 76 if zero (RFC 2045, 6.8)

	col int
}

// Reset forgets the stream that was filtered, for a new one.
func (w *Wrapper) Reset() { w.col = 0 }

// Transform implements [transform.Transformer].
func (w *Wrapper) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	width := w.Width
	if width <= 0 {
		width = lineWidth
	}
	for nSrc < len(src) {
		c := src[nSrc]
		if c == '\r' {
			nSrc++
			continue
		}
		// The break is only made when an octet follows, so a line of just this width gets no empty line behind
		// it.
		if c == '\n' || w.col == width {
			if len(dst)-nDst < 2 {
				return nDst, nSrc, transform.ErrShortDst
			}
			nDst += copy(dst[nDst:], "\r\n")
			w.col = 0
			if c == '\n' {
				nSrc++
			}
			continue
		}
		n := 0
		for n < min(len(src)-nSrc, width-w.col) && src[nSrc+n] != '\n' && src[nSrc+n] != '\r' {
			n++
		}
		n = copy(dst[nDst:], src[nSrc:nSrc+n])
		if n == 0 {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst, nSrc, w.col = nDst+n, nSrc+n, w.col+n
	}
	if atEOF && w.col > 0 {
		if len(dst)-nDst < 2 {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += copy(dst[nDst:], "\r\n")
		w.col = 0
	}
	return nDst, nSrc, nil
}

// A QuotedWrapper breaks the lines of quoted-printable text by soft breaks, never inside an escape, and ends an
// unfinished last line by one. LF and CRLF are line ends, written as CRLF; a CR alone is dropped.
// The zero value is ready; it never returns an error of its own. Lines that are short enough stay as they are.
type QuotedWrapper struct {
	Width int // octets a line, its "=" among them, without CRLF; 76 if zero (RFC 2045, 6.7, rule 5)

	col  int
	left int // octets of an escape that are still to come
}

// Reset forgets the stream that was filtered, for a new one.
func (w *QuotedWrapper) Reset() { w.col, w.left = 0, 0 }

// Transform implements [transform.Transformer].
func (w *QuotedWrapper) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	width := w.Width
	if width <= 0 {
		width = lineWidth
	}
	// A smaller one could hold no escape at all.
	width = max(width, 4) // an escape and the "=" of the break
	for ; nSrc < len(src); nSrc++ {
		if len(dst)-nDst < 4 {
			return nDst, nSrc, transform.ErrShortDst
		}
		c := src[nSrc]
		switch {
		case c == '\r':
			continue
		case c == '\n':
			nDst += copy(dst[nDst:], "\r\n")
			w.col, w.left = 0, 0
			continue
		// The rest of an escape always fits: room for all three octets was made at its "=".
		case w.left > 0:
			w.left--
		case c == '=':
			if w.col+3 > width-1 {
				nDst += w.soft(dst[nDst:])
			}
			w.left = 2
		case w.col+1 > width-1:
			nDst += w.soft(dst[nDst:])
		}
		dst[nDst] = c
		nDst++
		w.col++
	}
	if atEOF && w.col > 0 {
		if len(dst)-nDst < 3 {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += w.soft(dst[nDst:])
	}
	return nDst, nSrc, nil
}

// soft writes a soft break.
func (w *QuotedWrapper) soft(dst []byte) int {
	w.col = 0
	return copy(dst, "=\r\n")
}
