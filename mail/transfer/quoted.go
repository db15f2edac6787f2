package transfer

import (
	"bytes"

	"golang.org/x/text/transform"
)

// Quoted-printable (RFC 2045, 6.7). The encoder keeps to the letter of it: 76 characters a line with the soft break's
// "=", nothing but CRLF ends a line, no white space before a line end. The decoder takes what the wild writes: lower
// case digits, bare LF, white space after a soft break, escapes that are none (they are passed on as they are).
//
// What is encoded here passes gateways unharmed that change charsets, drop white space or fold lines, which is
// what the encoding is for. What comes in has often been through several of those.

const hexDigits = "0123456789ABCDEF" // RFC 2045, 6.7: upper case letters must be used

// A QuotedEncoder encodes to quoted-printable. It holds back a space, tab or CR until it knows what follows: at the
// end of the stream such a byte is escaped.
// The zero value is for text and ready. It never returns an error of its own.
type QuotedEncoder struct {
	Binary bool // CRLF is data too, written =0D=0A, so that no relay can change it; else CRLF is a line end and stays

	col  int  // characters in the line so far
	held byte // a space, tab or CR that waits for what follows it; 0 if none
}

// Reset forgets the stream that was encoded, for a new one.
// Binary stays.
func (e *QuotedEncoder) Reset() { e.col, e.held = 0, 0 }

// Transform implements [transform.Transformer].
func (e *QuotedEncoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	const most = 2*(3+3) + 2 // a soft break and an escape, for the byte held and for this one, and a line end
	for nSrc < len(src) {
		if e.held == 0 {
			n := e.plain(dst[nDst:], src[nSrc:])
			nDst, nSrc = nDst+n, nSrc+n
			if nSrc == len(src) {
				break
			}
		}
		if len(dst)-nDst < most {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += e.put(dst[nDst:], src[nSrc])
		nSrc++
	}
	// RFC 2045, 6.7, rule 3: white space must not end an encoded line, and the end of the data ends one.
	if atEOF && e.held != 0 {
		if len(dst)-nDst < most {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += e.escape(dst[nDst:], e.held)
		e.held = 0
	}
	return nDst, nSrc, nil
}

// plain copies what needs nothing done: plain octets, white space before one of them, and in text line ends. It stops at
// what needs more, and where this line has no room.
// It is the quick way through text that is mostly ASCII; put decides whatever it leaves.
func (e *QuotedEncoder) plain(dst, src []byte) int {
	// One octet of src is left, so that the one behind white space can be looked at.
	n, end := 0, min(len(src)-1, len(dst)-1)
	for n < end {
		c := src[n]
		switch {
		case quotedPlain[c]:
		case (c == ' ' || c == '\t') && quotedPlain[src[n+1]]:
		case c == '\r' && src[n+1] == '\n' && !e.Binary:
			dst[n], dst[n+1] = '\r', '\n'
			n, e.col = n+2, 0
			continue
		default:
			return n
		}
		// RFC 2045, 6.7, rule 5: the soft break's "=" is one of the 76, so 75 are for what is said.
		if e.col == lineWidth-1 {
			return n
		}
		dst[n] = c
		n, e.col = n+1, e.col+1
	}
	return n
}

// quotedPlain says which octets stand for themselves anywhere in a line.
var quotedPlain = func() (t [256]bool) {
	for c := '!'; c <= '~'; c++ {
		t[c] = c != '='
	}
	return t
}()

// put encodes one byte and whatever was held before it.
// dst has room for the worst case, so that a byte is done once it is taken.
func (e *QuotedEncoder) put(dst []byte, c byte) int {
	n := 0
	if e.held != 0 {
		held := e.held
		e.held = 0
		switch {
		case held == '\r' && c == '\n':
			e.col = 0
			return copy(dst, "\r\n")
		case held == '\r':
			n = e.escape(dst, held)
		case c == '\r' && !e.Binary:
			// Whether this white space ends its line is not known before the byte after the CR is: escape it in any case,
			// which is always allowed, rather than hold two bytes.
			n = e.escape(dst, held)
		default:
			n = e.literal(dst, held)
		}
	}
	switch {
	case c == ' ' || c == '\t' || c == '\r' && !e.Binary:
		e.held = c
	case c < ' ' || c == '=' || c > '~':
		n += e.escape(dst[n:], c)
	default:
		n += e.literal(dst[n:], c)
	}
	return n
}

// literal writes an octet that stands for itself.
// A dot or "From " at the beginning of a line is one of these too: dots are the transport's to stuff (RFC 5321,
// 4.5.2).
func (e *QuotedEncoder) literal(dst []byte, c byte) int {
	n := e.room(dst, 1)
	dst[n] = c
	e.col++
	return n + 1
}

// escape writes an octet as "=" and two digits; the three are never parted by a soft break.
// RFC 2045, 6.7, rule 5 does not allow it, and readers would show both halves.
func (e *QuotedEncoder) escape(dst []byte, c byte) int {
	n := e.room(dst, 3)
	dst[n], dst[n+1], dst[n+2] = '=', hexDigits[c>>4], hexDigits[c&15]
	e.col += 3
	return n + 3
}

// room begins a new line by a soft break if fewer than want characters fit before the "=" of one.
// The one character less is for the "=" itself, which the 76 include (RFC 2045, 6.7, rule 5).
func (e *QuotedEncoder) room(dst []byte, want int) int {
	if e.col+want <= lineWidth-1 {
		return 0
	}
	e.col = 0
	return copy(dst, "=\r\n")
}

// A QuotedDecoder decodes quoted-printable leniently. Line ends are passed on as they are; white space at the end of a
// line is dropped, for a relay put it there (RFC 2045, 6.7, rule 3). It never returns an error of its own.
// The zero value is ready. Soft breaks vanish, and so does one at the very end of the data.
type QuotedDecoder struct {
	Strange int // counts escapes that are none

	held []byte // white space, or an escape that is not whole yet
	out  []byte // decoded, but dst had no room
}

// maxHeld bounds the white space that is held back: a line has 998 characters at the most (RFC 5322, 2.1.1), so a
// longer run of white space is data.
const maxHeld = 1000

// Reset forgets the stream that was decoded, for a new one.
func (d *QuotedDecoder) Reset() { d.Strange, d.held, d.out = 0, d.held[:0], nil }

// Transform implements [transform.Transformer].
// Most octets stand for themselves and are copied in runs; only escapes and the ends of lines go through step.
func (d *QuotedDecoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for {
		if len(d.out) > 0 {
			n := copy(dst[nDst:], d.out)
			nDst, d.out = nDst+n, d.out[n:]
			if len(d.out) > 0 {
				return nDst, nSrc, transform.ErrShortDst
			}
		}
		switch {
		case nSrc == len(src):
			if !atEOF || len(d.held) == 0 {
				return nDst, nSrc, nil
			}
			d.end()
		case len(d.held) > 0:
			if d.step(src[nSrc]) {
				nSrc++
			}
		default:
			n, full := decodePlain(dst[nDst:], src[nSrc:])
			nDst, nSrc = nDst+n, nSrc+n
			if full {
				return nDst, nSrc, transform.ErrShortDst
			}
			// What stopped the copying is held; but it may also have been the end of decodePlain's window.
			if nSrc < len(src) && (src[nSrc] == '=' || blank(src[nSrc:nSrc+1])) {
				d.held = append(d.held, src[nSrc])
				nSrc++
			}
		}
	}
}

// decodePlain copies up to the next escape, or white space that may be at the end of a line. full says that dst was
// too small for it.
func decodePlain(dst, src []byte) (n int, full bool) {
	for n < len(src) {
		// The window keeps this linear: a line full of escapes is searched for its end once an escape.
		line := src[n:min(len(src), n+2*lineWidth)]
		end := bytes.IndexByte(line, '\n')
		if end >= 0 {
			line = line[:end]
		}
		if stop := bytes.IndexByte(line, '='); stop >= 0 {
			line, end = line[:stop], -1
		} else if body := bytes.TrimRight(line, " \t\r"); len(body) < len(line) {
			// A line end of CRLF with nothing before it to drop is the usual case and is taken whole.
			if end >= 0 && len(body) == len(line)-1 && line[len(body)] == '\r' {
				body = line
			} else {
				end = -1
			}
			line = body
		}
		if end >= 0 {
			line = src[n : n+len(line)+1]
		}
		k := copy(dst[n:], line)
		n += k
		if k < len(line) {
			return n, true
		}
		if end < 0 {
			break
		}
	}
	return n, false
}

// step takes one byte while others are held; false if it was not used up.
// What is held then tells which rule applies: an "=" first is an escape or a soft break, anything else is white
// space.
func (d *QuotedDecoder) step(c byte) bool {
	switch {
	case d.held[0] != '=':
		switch {
		case (c == ' ' || c == '\t' || c == '\r') && len(d.held) < maxHeld:
			d.held = append(d.held, c)
			return true
		case c == '\n':
			// The white space goes; the CR before LF is the line end's.
			if d.held[len(d.held)-1] == '\r' {
				d.out = append(d.out[:0], '\r')
			}
			d.out = append(d.out, '\n')
			d.held = d.held[:0]
			return true
		}
	case len(d.held) == 1 && isHex(c):
		d.held = append(d.held, c)
		return true
	case len(d.held) == 2 && isHex(d.held[1]) && isHex(c):
		d.out = append(d.out[:0], unhex(d.held[1])<<4|unhex(c))
		d.held = d.held[:0]
		return true
	case blank(d.held[1:]):
		switch {
		case c == '\n':
			d.held = d.held[:0] // a soft break
			return true
		case (c == ' ' || c == '\t' || c == '\r') && len(d.held) < maxHeld:
			d.held = append(d.held, c) // QUIRK: relays and editors leave white space behind a soft break
			return true
		}
	}
	d.giveBack()
	return false
}

// giveBack passes on what is held as it is: no escape after all, or white space inside a line.
// RFC 2045, 6.7 advises to show what is no escape as it is. QUIRK: URLs with "=" in them, in text that was
// labelled quoted-printable and never encoded.
func (d *QuotedDecoder) giveBack() {
	if d.held[0] == '=' {
		d.Strange++
	}
	d.out = append(d.out[:0], d.held...)
	d.held = d.held[:0]
}

// end settles what is held at the end of the data, which ends a line too.
// Half an escape is given back, as anywhere; white space and a lone "=" are a soft break or what a relay has
// left.
func (d *QuotedDecoder) end() {
	if d.held[0] == '=' && !blank(d.held[1:]) {
		d.giveBack()
		return
	}
	d.held = d.held[:0]
}

// blank says that there is nothing but white space, CR included, for it stands before the LF of a line end.
// An empty b is blank too: a lone "=" is a soft break that has not met its line end yet.
func blank(b []byte) bool {
	for _, c := range b {
		if c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

// isHex takes lower case too. QUIRK: RFC 2045, 6.7 forbids it, and programs write it.
func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' || 'a' <= c && c <= 'f'
}

// unhex gives the value of a digit that isHex has taken.
func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}
