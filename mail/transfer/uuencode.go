package transfer

import (
	"bytes"

	"golang.org/x/text/transform"
)

// uuencode, which is older than MIME and goes on in text: a line "begin 644 name", lines that begin with how many octets
// they hold, an empty one, and "end" (POSIX, uuencode).
//
// QUIRK: "`" and the space both stand for 0, and the spaces at the end of a line are lost on the way.

// A UUDecoder decodes uuencoded lines, with or without those of begin and end around them. Lines that are none give
// nothing. The zero value is ready; it never returns an error of its own.
type UUDecoder struct {
	in          [maxUULine]byte // the line so far
	read        int             // its length
	out         [63]byte        // the last line, decoded
	given, held int             // how much of it has been given, and there is
	over        bool            // the end has come
}

// maxUULine is longer than any line: one says how many octets it holds in six bits.
const maxUULine = 128

// Reset forgets the stream that was filtered, for a new one.
func (d *UUDecoder) Reset() { *d = UUDecoder{} }

// Transform implements [transform.Transformer].
func (d *UUDecoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for {
		n := copy(dst[nDst:], d.out[d.given:d.held])
		nDst, d.given = nDst+n, d.given+n
		if d.given < d.held {
			return nDst, nSrc, transform.ErrShortDst
		}
		rest := src[nSrc:]
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			// A line that is too long fills the room, and is none.
			d.read += copy(d.in[d.read:], rest)
			nSrc = len(src)
			if !atEOF || d.read == 0 {
				return nDst, nSrc, nil
			}
		} else {
			d.read += copy(d.in[d.read:], rest[:end])
			nSrc += end + 1
		}
		d.take(bytes.TrimRight(d.in[:d.read], "\r"))
		d.read = 0
	}
}

// take decodes a line.
func (d *UUDecoder) take(line []byte) {
	switch {
	case d.over || d.read == maxUULine:
	case string(line) == "end":
		d.over = true
	default:
		d.given, d.held = 0, uuLine(&d.out, line)
	}
}

// UUEncoded says that a line without its end can be one of uuencoded content, and how many octets it holds.
func UUEncoded(line []byte) (octets int, ok bool) {
	if len(line) == 0 {
		return 0, true // a space that got lost
	}
	octets = int(line[0]-' ') & 63
	if line[0] < ' ' || line[0] > '`' || len(line)-1 > (octets+2)/3*4+2 { // QUIRK: some add a checksum, or padding
		return 0, false
	}
	for _, c := range line[1:] {
		if c < ' ' || c > '`' {
			return 0, false
		}
	}
	return octets, true
}

// uuLine decodes a line; what is missing at its end is spaces.
func uuLine(dst *[63]byte, line []byte) int {
	octets, ok := UUEncoded(line)
	if !ok || octets == 0 {
		return 0
	}
	at := func(i int) byte {
		if i < len(line) {
			return (line[i] - ' ') & 63
		}
		return 0
	}
	for i, j := 0, 1; i < octets; i, j = i+3, j+4 {
		a, b, c, e := at(j), at(j+1), at(j+2), at(j+3)
		for k, octet := range [...]byte{a<<2 | b>>4, b<<4 | c>>2, c<<6 | e} {
			if i+k < octets {
				dst[i+k] = octet
			}
		}
	}
	return octets
}
