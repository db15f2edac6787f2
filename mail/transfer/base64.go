package transfer

import (
	"bytes"
	"encoding/base64"

	fast "github.com/segmentio/asm/base64"
	"golang.org/x/text/transform"
)

// Base64 as mail has it (RFC 2045, 6.8): lines of 76 characters, and a reader that ignores what does not belong.
//
// Both ways work on blocks of many lines: the line ends are put in after encoding a block, and taken out before decoding
// one. Only what is left at the edges, and what is odd, is gone over byte by byte.
//
// The alphabet is that of RFC 4648, 4; the lines and the forgiving are mail's own. Most of what goes over the
// wire in mail is base64, so this is where speed counts; the careful path is the one that defines what is
// right, and the fast one must agree with it on every input.

const lineWidth = 76 // RFC 2045, 6.8: encoded lines must be no more than 76 characters

// A Base64Encoder encodes to base64 in lines, each ended by CRLF, the last one too.
// The zero value is ready. It never returns an error of its own, only those that a Transformer has for want of
// room.
type Base64Encoder struct {
	Width int // characters a line, rounded down to a multiple of 4; 76 if zero, no line ends at all if negative

	hold [3]byte // bytes that wait for the rest of their group
	n    int     // how many
	col  int     // characters in the line so far
}

// Reset forgets the stream that was encoded, for a new one.
// Width stays.
func (e *Base64Encoder) Reset() { e.n, e.col = 0, 0 }

// width gives the length of lines. It is a multiple of 4, so that no line end falls into a group: readers that decode line
// by line would lose it.
func (e *Base64Encoder) width() int {
	switch {
	case e.Width < 0:
		return int(^uint(0)>>1) - 8 // never reached: a stream of bytes is not that long
	case e.Width == 0:
		return lineWidth
	}
	return max(4, e.Width/4*4)
}

// Transform implements [transform.Transformer].
// It may be called with pieces of any size, and with a dst of six octets at least.
func (e *Base64Encoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	width := e.width()
	for nSrc < len(src) {
		if e.n == 0 && e.col == 0 && e.Width >= 0 {
			d, s := encodeLines(dst[nDst:], src[nSrc:], width)
			nDst, nSrc = nDst+d, nSrc+s
		} else if e.n == 0 && e.Width < 0 {
			if n := min((len(src)-nSrc)/3, (len(dst)-nDst)/4); n > 0 {
				encode(dst[nDst:], src[nSrc:nSrc+3*n])
				nDst, nSrc = nDst+4*n, nSrc+3*n
			}
		}
		if nSrc == len(src) {
			break
		}
		// A group in two pieces is filled up here; behind it the fast way goes on if the line has just begun.
		if e.n < 2 {
			e.hold[e.n] = src[nSrc]
			e.n, nSrc = e.n+1, nSrc+1
			continue
		}
		if len(dst)-nDst < 6 {
			return nDst, nSrc, transform.ErrShortDst
		}
		e.hold[2] = src[nSrc]
		nSrc++
		nDst += e.group(dst[nDst:], width)
	}
	if !atEOF {
		return nDst, nSrc, nil
	}
	if len(dst)-nDst < 6 && (e.n > 0 || e.col > 0) {
		return nDst, nSrc, transform.ErrShortDst
	}
	// RFC 4648, 4: one or two octets that are left make a group with padding.
	if e.n > 0 {
		base64.StdEncoding.Encode(dst[nDst:], e.hold[:e.n])
		nDst += 4
		e.n, e.col = 0, e.col+4
	}
	if e.col > 0 && e.Width >= 0 {
		nDst += copy(dst[nDst:], "\r\n")
	}
	e.col = 0
	return nDst, nSrc, nil
}

// group writes the three bytes held, and the line's end where it is due.
// Its line end is written at once, for the group that would follow may never come.
func (e *Base64Encoder) group(dst []byte, width int) int {
	base64.StdEncoding.Encode(dst, e.hold[:3])
	e.n, e.col = 0, e.col+4
	if e.col < width {
		return 4
	}
	e.col = 0
	copy(dst[4:], "\r\n")
	return 6
}

// encodeLines encodes as many whole lines as src fills and dst holds. A block is encoded at once, into the end of its
// place, and its lines are then moved apart: several times faster than encoding line by line.
func encodeLines(dst, src []byte, width int) (nDst, nSrc int) {
	const block = 64 // lines; they then stay in the first-level cache
	raw := width / 4 * 3
	for {
		// The lines are made at the end of the place, so that moving them to the front never overwrites one
		// that is still to go.
		n := min(block, (len(src)-nSrc)/raw, (len(dst)-nDst)/(width+2))
		if n == 0 {
			return nDst, nSrc
		}
		place := dst[nDst : nDst+n*(width+2)]
		encode(place[2*n:], src[nSrc:nSrc+n*raw])
		if width == lineWidth {
			spread(place, n)
			nDst, nSrc = nDst+len(place), nSrc+n*raw
			continue
		}
		for i := range n {
			at := i * (width + 2)
			copy(place[at:at+width], place[2*n+i*width:])
			place[at+width], place[at+width+1] = '\r', '\n'
		}
		nDst, nSrc = nDst+len(place), nSrc+n*raw
	}
}

// spread moves n lines of the usual width apart; of a length that is known when compiling, they go through registers.
// It goes from the front: each line moves to the left, over what has been moved already.
func spread(place []byte, n int) {
	from := place[2*n:]
	for range n {
		line := [lineWidth]byte(from[:lineWidth])
		to := (*[lineWidth + 2]byte)(place)
		*(*[lineWidth]byte)(to[:]) = line
		to[lineWidth], to[lineWidth+1] = '\r', '\n'
		place, from = place[lineWidth+2:], from[lineWidth:]
	}
}

// encode writes src, whose length is a multiple of 3, in base64 without line ends. It and decode are where the vector
// code of segmentio/asm is used, which is several times as fast as encoding/base64 and falls back to it.
func encode(dst, src []byte) { fast.StdEncoding.Encode(dst, src) }

// decode decodes src, which must be whole groups without padding and line ends. It is false if it is not.
// The library may have written to dst by then; what it wrote is written over.
func decode(dst, src []byte) bool {
	n, err := fast.StdEncoding.Decode(dst, src)
	return err == nil && n == len(src)/4*3
}

// A Base64Decoder decodes base64 leniently: line ends, spaces and foreign bytes are skipped (RFC 2045, 6.8), missing
// padding is forgiven, and padding ends the data. So does, between two groups, a line that begins with two foreign
// bytes: it is the footer that a mailing list has put below the text. It never returns an error of its own.
// The zero value is ready. QUIRK: mailman and other list software adds its footer below an attachment without
// looking at the encoding, and virus scanners do the same with their notes.
type Base64Decoder struct {
	Strange int // counts bytes that did not belong, and characters missing at the end

	acc     uint32 // bits of the characters held
	n       int    // how many characters are held, 0 to 3
	odd     int    // foreign bytes at the beginning of this line
	begun   bool   // the line has had a character
	tried   bool   // whole lines were looked for from the beginning of this line
	done    bool   // nothing counts any more
	scratch []byte // lines without their ends
	pad     bool   // padding was seen: only its second character may follow
}

// Reset forgets the stream that was decoded, for a new one.
// Strange is zero again.
func (d *Base64Decoder) Reset() { *d = Base64Decoder{scratch: d.scratch} }

// Transform implements [transform.Transformer].
// It may be called with pieces of any size, and with a dst of three octets at least.
func (d *Base64Decoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) && !d.done {
		if d.n == 0 && !d.pad && !d.tried {
			// Once a line: what cannot be done at once is then gone over byte by byte to the line's end.
			d.tried = true
			n, s := d.decodeLines(dst[nDst:], src[nSrc:])
			nDst, nSrc = nDst+n, nSrc+s
			if s > 0 {
				d.begun, d.odd = false, 0 // as behind any line end: it may have begun within a line
			}
			if nSrc == len(src) {
				break
			}
		}
		if len(dst)-nDst < 3 {
			return nDst, nSrc, transform.ErrShortDst
		}
		n := d.char(dst[nDst:], src[nSrc])
		nDst, nSrc = nDst+n, nSrc+1
	}
	// RFC 2045, 6.8: "=" is only at the end of the data, so what comes behind it cannot be any.
	if d.done {
		// What follows the padding is not data; it is read to its end and dropped.
		for _, c := range src[nSrc:] {
			if c > ' ' && c != '=' {
				d.Strange++
			}
		}
		nSrc = len(src)
	}
	// QUIRK: padding is left out by programs that took the URL's form of base64 for mail's; what is whole is
	// given.
	if atEOF && d.n > 0 {
		if len(dst)-nDst < 2 {
			return nDst, nSrc, transform.ErrShortDst
		}
		d.Strange += 4 - d.n
		nDst += d.flush(dst[nDst:])
	}
	return nDst, nSrc, nil
}

// char takes one byte of input and returns how many it wrote.
// It is slow and sure: all that is lenient about reading is in here.
func (d *Base64Decoder) char(dst []byte, c byte) int {
	v := decodeTable[c]
	switch {
	case v < 64:
		if d.pad {
			d.done = true // data after one "=": the group is over, and with it the data
			d.Strange++
			return 0
		}
		d.begun = true
		d.acc = d.acc<<6 | uint32(v)
		if d.n++; d.n < 4 {
			return 0
		}
		dst[0], dst[1], dst[2] = byte(d.acc>>16), byte(d.acc>>8), byte(d.acc)
		d.n, d.acc = 0, 0
		return 3
	case c == '\n':
		d.begun, d.tried, d.odd = false, false, 0
	// One "=" ends a group of three characters; of two it takes a second one, which may be in the next piece or
	// missing.
	case c == '=':
		if d.pad || d.n == 3 {
			n := d.flush(dst)
			d.done = true
			return n
		}
		if d.n == 2 {
			n := d.flush(dst)
			d.pad = true
			return n
		}
		d.Strange++
	case c > ' ':
		d.Strange++
		if d.n == 0 && !d.begun {
			if d.odd++; d.odd == 2 {
				d.done = true
			}
		}
	}
	return 0
}

// flush writes the whole bytes of an unfinished group.
// The bits that fill no octet are dropped, zero or not: RFC 4648, 3.5 lets a decoder refuse them, and mail is
// not refused.
func (d *Base64Decoder) flush(dst []byte) int {
	n := 0
	switch d.n {
	case 2:
		dst[0] = byte(d.acc >> 4)
		n = 1
	case 3:
		dst[0], dst[1] = byte(d.acc>>10), byte(d.acc>>2)
		n = 2
	}
	d.n, d.acc = 0, 0
	return n
}

// decodeLines decodes whole clean lines from the beginning of src for as long as there are any.
// A line that the piece does not hold whole is not touched here: where it is cut must make no difference.
func (d *Base64Decoder) decodeLines(dst, src []byte) (nDst, nSrc int) {
	if len(src) < 1024 {
		// So little is decoded line by line, without a place to gather lines in.
		for {
			line := bytes.TrimRight(oneLine(src[nSrc:]), "\r\n")
			whole := len(line)/4*3 + 3
			if len(line) == 0 || len(line)%4 != 0 || line[len(line)-1] == '=' || whole > len(dst)-nDst || !decode(dst[nDst:], line) {
				return nDst, nSrc
			}
			nDst, nSrc = nDst+whole-3, nSrc+len(oneLine(src[nSrc:]))
		}
	}
	if d.scratch == nil {
		d.scratch = make([]byte, min(4096, len(src)+4))
	}
	scratch := d.scratch
	for {
		n, used := gather(scratch[:min(len(scratch), (len(dst)-nDst)/3*4)], src[nSrc:])
		if used == 0 {
			return nDst, nSrc
		}
		if !decode(dst[nDst:], scratch[:n]) {
			// Something in it is odd. The lines before that are decoded one by one; the careful path does the odd one.
			for used > 0 {
				n, used = gather(scratch[:min(len(scratch), (len(dst)-nDst)/3*4)], oneLine(src[nSrc:]))
				if used == 0 || !decode(dst[nDst:], scratch[:n]) {
					return nDst, nSrc
				}
				nDst, nSrc = nDst+n/4*3, nSrc+used
			}
			return nDst, nSrc
		}
		nDst, nSrc = nDst+n/4*3, nSrc+used
	}
}

// gather copies whole lines from the beginning of src into dst, without their ends. Lines with a group that is not whole,
// or with padding, are for the careful path to see.
// A block of lines is then decoded at one go, which is what makes the vector code worth calling.
func gather(dst, src []byte) (n, used int) {
	for {
		i := bytes.IndexByte(src[used:], '\n')
		if i < 0 {
			return n, used
		}
		line := src[used : used+i]
		if i > 0 && line[i-1] == '\r' {
			line = line[:i-1]
		}
		if len(line)%4 != 0 || len(line) > len(dst)-n || len(line) > 0 && line[len(line)-1] == '=' {
			return n, used
		}
		n += copy(dst[n:], line)
		used += i + 1
	}
}

// oneLine gives the first line with its end; nothing if it has none.
// An unfinished line may still go on in the next piece, and so is left to the careful path.
func oneLine(b []byte) []byte { return b[:bytes.IndexByte(b, '\n')+1] }

// decodeTable gives a character's six bits; 255 for those outside of the alphabet.
var decodeTable = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range len(alphabet) {
		t[alphabet[i]] = byte(i)
	}
	return t
}()
