package transfer

import (
	"bytes"

	"golang.org/x/text/transform"
)

// Dots (RFC 5321, 4.5.2): in DATA a line with a dot alone is the end, so lines of the text that begin with a dot get
// another one on the way. Lines end in CRLF and in nothing else; put an [EOL] before a Stuffer where that is not certain.
//
// Here a wrong answer is a hole: if two hosts disagree about where the text ends, what follows is a message to
// one of them and commands to the other. So a dot behind a bare LF or CR is neither stuffed nor taken as the
// end.

// A Stuffer puts a dot before each dot that begins a line.
// The line with the dot that ends the text is not its: the client writes that once the text is over. The zero
// value is ready; it never returns an error of its own.
type Stuffer struct {
	last [2]byte // the last two octets; zero at the beginning, which is the beginning of a line
	any  bool    // there was an octet
	dot  bool    // a dot is owed before the next octet, which is one
}

// Reset forgets the stream that was filtered, for a new one.
func (s *Stuffer) Reset() { *s = Stuffer{} }

// Transform implements [transform.Transformer].
// Nothing is held back between two pieces but what the last two octets were.
func (s *Stuffer) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if !s.dot && src[nSrc] == '.' && (!s.any || s.last == [2]byte{'\r', '\n'}) {
			s.dot = true
		}
		if s.dot {
			if len(dst)-nDst < 2 {
				return nDst, nSrc, transform.ErrShortDst
			}
			// Both dots or neither: a dst with room for one would need a state for half of the work.
			dst[nDst], dst[nDst+1] = '.', '.'
			s.last, s.any, s.dot = [2]byte{0, '.'}, true, false
			nDst, nSrc = nDst+2, nSrc+1
			continue
		}
		n := copy(dst[nDst:], src[nSrc:nSrc+untilDot(src[nSrc:])])
		if n == 0 {
			return nDst, nSrc, transform.ErrShortDst
		}
		s.last, s.any = lastTwo(s.last, src[nSrc:nSrc+n]), true
		nDst, nSrc = nDst+n, nSrc+n
	}
	return nDst, nSrc, nil
}

// untilDot gives how much of b there is before a dot that follows CRLF; what is at its beginning does not count.
// Searching for line ends and not for dots is quicker: text has more dots than lines.
func untilDot(b []byte) int {
	for i := 0; ; {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 || i+j+1 == len(b) {
			return len(b)
		}
		i += j + 1
		if b[i] == '.' && i >= 2 && b[i-2] == '\r' {
			return i
		}
		if b[i] == '.' && i < 2 {
			return i // the CR may be in what came before: the caller looks
		}
	}
}

// lastTwo gives the last two octets of a stream that ended in last, and now in b too, which is not empty.
// Two are enough, for a line begins behind CRLF and nowhere else (RFC 5321, 2.3.8).
func lastTwo(last [2]byte, b []byte) [2]byte {
	if len(b) == 1 {
		return [2]byte{last[1], b[0]}
	}
	return [2]byte(b[len(b)-2:])
}

// An Unstuffer takes the dots away that a Stuffer has put in. A dot alone on a line ends the text: it and all behind it
// are dropped.
// The zero value is ready. Without that line the text goes to the end of the stream and Ended is false, which
// for a server means that the message is not whole.
type Unstuffer struct {
	Ended bool // the line with a dot alone was there

	last [2]byte
	any  bool
	held []byte // a dot that began a line, and perhaps the CR behind it
}

// Reset forgets the stream that was filtered, for a new one.
func (u *Unstuffer) Reset() { u.Ended, u.last, u.any, u.held = false, [2]byte{}, false, u.held[:0] }

// Transform implements [transform.Transformer].
// RFC 5321, 4.5.2: a dot that begins a line goes, whether or not another one follows it.
func (u *Unstuffer) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) && !u.Ended {
		c := src[nSrc]
		switch {
		case len(u.held) == 1 && c == '\r':
			u.held = append(u.held, c)
			nSrc++
			continue
		// RFC 5321, 4.1.1.4: only CRLF, a dot and CRLF are the end. QUIRK: servers that took a bare LF for one
		// of the two are how messages were smuggled past others, in 2023.
		case len(u.held) == 2 && c == '\n':
			u.Ended = true
			continue
		case len(u.held) == 2:
			// A dot, then a CR that ends nothing: the dot goes, the CR stays.
			if nDst == len(dst) {
				return nDst, nSrc, transform.ErrShortDst
			}
			dst[nDst] = '\r'
			nDst++
			u.last, u.held = [2]byte{'.', '\r'}, u.held[:0]
			continue
		case len(u.held) == 1:
			// The dot goes; what follows it is no beginning of a line any more, though it may be a dot.
			u.last, u.held = [2]byte{0, '.'}, u.held[:0]
		case c == '.' && (!u.any || u.last == [2]byte{'\r', '\n'}):
			u.held, u.any = append(u.held, c), true
			nSrc++
			continue
		}
		n := copy(dst[nDst:], src[nSrc:nSrc+untilDot(src[nSrc:])])
		if n == 0 {
			return nDst, nSrc, transform.ErrShortDst
		}
		u.last, u.any = lastTwo(u.last, src[nSrc:nSrc+n]), true
		nDst, nSrc = nDst+n, nSrc+n
	}
	if u.Ended {
		nSrc, u.held = len(src), u.held[:0]
	}
	// The text ended in a dot and a CR: they are no end without the LF, and only the dot was ours to take.
	if atEOF && len(u.held) == 2 {
		if nDst == len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		dst[nDst] = '\r'
		nDst++
		u.held = u.held[:0]
	}
	return nDst, nSrc, nil
}
