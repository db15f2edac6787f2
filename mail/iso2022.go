package mail

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// The charsets that switch between others by escape sequences (ISO 2022), as mail has them: ISO-2022-KR (RFC 1557),
// ISO-2022-CN (RFC 1922), and those of Japan beyond the one that browsers know (RFC 1554, RFC 2237). WHATWG leaves them out, for
// a page in one of them can be made to look harmless; a text in a message is not run.
//
// The octets of one set are gathered and converted at once, in the charset of eight bits that has the same characters.

// An isoSet is a set of characters that an escape sequence calls for.
type isoSet struct {
	charset encoding.Encoding // in which its octets, with their eighth bit set, mean the same; nil for ASCII
	octets  int               // of one character
	lead    string            // goes before each of its characters there
	plane   int               // of CNS 11643, if it is one of those: its characters have other octets there
}

var (
	isoASCII   = isoSet{octets: 1}
	isoUnknown = isoSet{charset: encoding.Replacement, octets: 2}
)

// isoSets are the sets by the end of their escape sequences: the final octet, behind "$" for those of two octets a
// character, and "." for those of 96 characters.
var isoSets = map[string]isoSet{
	"B": isoASCII, "J": isoASCII, "I": {charset: japanese.ShiftJIS, octets: 1},
	"$@": {charset: japanese.EUCJP, octets: 2}, "$B": {charset: japanese.EUCJP, octets: 2}, "$D": {charset: japanese.EUCJP, octets: 2, lead: "\x8f"},
	"$O": {charset: japanese.EUCJP, octets: 2}, "$Q": {charset: japanese.EUCJP, octets: 2},
	"$A": {charset: simplifiedchinese.GBK, octets: 2}, "$C": {charset: korean.EUCKR, octets: 2},
	"$G": {charset: traditionalchinese.Big5, octets: 2, plane: 1}, "$H": {charset: traditionalchinese.Big5, octets: 2, plane: 2},
	".A": {charset: charmap.ISO8859_1, octets: 1}, ".F": {charset: charmap.ISO8859_7, octets: 1},
}

// decodeISO2022 decodes a text. What cannot be converted is U+FFFD.
func decodeISO2022(b []byte) string {
	d := isoDecoder{}
	d.reset() // a text begins as each of its lines does
	for len(b) > 0 {
		switch c := b[0]; {
		case c == 0x1b:
			b = b[d.escape(b):]
			continue
		case c == 0x0e || c == 0x0f: // SO and SI: the other of two sets
			d.flush()
			d.shifted = c == 0x0e
		case c == '\n':
			d.flush()
			d.out.WriteByte(c)
			d.reset()
		// Controls and the space are in no set, and mean the same in each.
		case c <= ' ' || c == 0x7f:
			d.flush()
			d.out.WriteByte(c)
		default:
			set := d.sets[0]
			if d.shifted {
				set = d.sets[1]
			}
			b = b[d.character(set, b):]
			continue
		}
		b = b[1:]
	}
	d.flush()
	return d.out.String()
}

// An isoDecoder is a text that is being decoded.
type isoDecoder struct {
	out     strings.Builder
	sets    [4]isoSet // G0 to G3
	shifted bool      // G1 counts instead of G0
	set     isoSet    // what held is in
	held    []byte
}

// reset begins a line, where G0 is ASCII again. QUIRK: ISO-2022-KR designates G1 once, at the beginning of the text; the
// others do in each line.
func (d *isoDecoder) reset() {
	d.sets[0], d.shifted = isoASCII, false
	if d.sets[1].octets == 0 {
		d.sets[1] = isoUnknown
	}
}

// escape takes an escape sequence and gives its length. One that is not known goes without a trace.
func (d *isoDecoder) escape(b []byte) int {
	if len(b) > 1 && (b[1] == 'N' || b[1] == 'O') { // SS2 and SS3: one character of G2 or G3
		return 2 + d.character(d.sets[b[1]-'N'+2], b[2:])
	}
	// ISO 2022: intermediate octets from space to "/", then a final one. "(" to "+" and "," to "/" say which of G0 to G3.
	n, which, kind := 1, 0, ""
	for ; n < len(b) && n < 4 && ' ' <= b[n] && b[n] <= '/'; n++ {
		switch c := b[n]; {
		case c == '$':
			kind = "$"
		case '(' <= c && c <= '+':
			which = int(c - '(')
		case '-' <= c && c <= '/':
			which, kind = int(c-','), "."
		}
	}
	if n == len(b) || n == 1 {
		return n
	}
	// One character of a set that is not known has two octets or one: "$" says which, so that what follows is not lost.
	set, ok := isoSets[kind+string(b[n])]
	if !ok && kind == "$" {
		set = isoUnknown
	} else if !ok {
		set = isoASCII
	}
	d.sets[which] = set
	return n + 1
}

// character takes a character and gives its length. It is held until one of another set comes.
func (d *isoDecoder) character(set isoSet, b []byte) int {
	if d.set != set {
		d.flush()
		d.set = set
	}
	// Half a character, at the end of a line or of the text, is shown as the octet that there is; the line ends all the same.
	n := min(max(set.octets, 1), len(b))
	half := n < set.octets || n == 2 && b[1] <= ' '
	if half {
		n = min(1, n)
	}
	b = b[:n]
	if set.charset == nil || half {
		for _, c := range b {
			if c >= utf8.RuneSelf {
				d.out.WriteRune(utf8.RuneError)
				continue
			}
			d.out.WriteByte(c)
		}
		return n
	}
	switch {
	case set == isoUnknown:
		d.out.WriteRune(utf8.RuneError)
	case set.plane > 0:
		if code := cnsToBig5(set.plane, b[0], b[1]); code > 0 {
			d.held = append(d.held, byte(code>>8), byte(code))
		} else {
			d.held = append(d.held, 0xff) // which is no character of Big5, and so U+FFFD
		}
	default:
		d.held = append(d.held, set.lead...)
		for _, c := range b {
			d.held = append(d.held, c|0x80)
		}
	}
	return n
}

// flush converts what is held.
func (d *isoDecoder) flush() {
	if len(d.held) > 0 {
		d.out.WriteString(decodeWith(d.set.charset, d.held))
	}
	d.held = d.held[:0]
}
