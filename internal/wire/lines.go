package wire

import "bytes"

// The lines of a buffer, found fast. Most octets of mail are lines of one length, as
// base64 has them: where a line ends tells where the next one may, and looking there
// is cheaper than searching. A shorter line could be overlooked, but not in secret:
// the CRs and LFs are counted, at the speed of memory, and there must be as many of
// each as lines were found.

// A run is the whole lines at the front of a buffer: each ends in CRLF, and no other
// LF is in them.
type run struct {
	end     int // octets
	lines   int
	longest int // octets of the longest line
}

var (
	crBytes = []byte{'\r'}
	lfBytes = []byte{'\n'}
)

// lines finds the runs of one message. Once it has overlooked a line it guesses no
// more: a message made of lines that are overlooked would be read again to the end of
// the buffer for each few of them.
type lines struct{ exact bool }

// run returns the run of b, whose first line has had begun octets before. It ends
// before an LF without CR, and with dots before a line that begins with a dot, unless
// that is the first. clean means that no other CR is in it either.
func (l *lines) run(b []byte, begun int, dots bool) (r run, clean bool) {
	r, guessed := walk(b, begun, dots, !l.exact)
	if guessed && bytes.Count(b[:r.end], lfBytes) != r.lines {
		l.exact = true
		r, _ = walk(b, begun, dots, false)
	}
	return r, bytes.Count(b[:r.end], crBytes) == r.lines
}

// walk goes from line to line. With guess it tries whether a line is as long as the two
// before it were; guessed tells that it was right, or has overlooked something.
func walk(b []byte, begun int, dots, guess bool) (r run, guessed bool) {
	length, same := 0, false // of the last line, and of the one before it
	for r.end < len(b) && !(dots && r.lines > 0 && b[r.end] == '.') {
		next := r.end + length
		if guess && same && next <= len(b) && b[next-1] == '\n' && b[next-2] == '\r' {
			guessed = true
		} else {
			i := bytes.IndexByte(b[r.end:], '\n')
			if i <= 0 || b[r.end+i-1] != '\r' {
				break
			}
			same = i+1 == length
			length = i + 1
			next = r.end + length
			r.longest = max(r.longest, length+begun)
		}
		begun = 0
		r.end = next
		r.lines++
	}
	return r, guessed
}
