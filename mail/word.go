package mail

import (
	"encoding/base64"
	"strings"
)

// Decoding the encoded words of fields (RFC 2047). The wild breaks each of its rules: words inside other text, of any
// length, with spaces, with a character split between two of them. All of that is read. One pass: a word that turns out
// to be none gives way at the next "=?", so that nothing is looked at twice.
//
// Decoding is the last step and is done on one piece of text at a time: no structure is looked for in what
// comes out. It is always valid UTF-8 in one line.

// words decodes the encoded words in s. A nil Parser is the zero one.
func (p *Parser) words(s string) string {
	i := strings.Index(s, "=?")
	if i < 0 {
		return s
	}
	d := wordDecoder{p: p, out: make([]byte, 0, len(s))}
	for i >= 0 {
		w, n := cutWord(s[i:])
		if n == 0 {
			// Not a word: its first two characters are text, the search goes on behind them.
			d.text(s[:i+2])
			s = s[i+2:]
		} else {
			d.text(s[:i])
			d.word(w)
			s = s[i+n:]
		}
		i = strings.Index(s, "=?")
	}
	d.text(s)
	d.flush()
	return string(d.out)
}

// An encodedWord is one word in its pieces.
// It points into the field: nothing is copied before it is decoded.
type encodedWord struct {
	charset  string
	encoding byte // 'b' or 'q'
	text     string
}

// cutWord takes the word that s begins with and tells its length; 0 if there is none.
// QUIRK: spaces inside of Q words come from scripts that encode whole sentences, so a word ends
// at "?=" and nowhere else; RFC 2047, 2 forbids white space in it.
func cutWord(s string) (encodedWord, int) {
	const longest = 80 // charset and language together; the longest registered charset has 45 characters
	head := s[2:min(len(s), 2+longest)]
	q := strings.IndexByte(head, '?')
	if q <= 0 || q+2 >= len(head) || head[q+2] != '?' {
		return encodedWord{}, 0
	}
	w := encodedWord{charset: head[:q], encoding: head[q+1] | 0x20}
	// RFC 2047, 4: there are two, in either case; the 0x20 has made them lower.
	if w.encoding != 'b' && w.encoding != 'q' {
		return encodedWord{}, 0
	}
	// RFC 2231, 5: a language may follow the charset.
	w.charset, _, _ = strings.Cut(w.charset, "*")
	begin := 2 + q + 3
	for i := begin; ; i++ {
		j := strings.IndexByte(s[i:], '?')
		if j < 0 {
			return encodedWord{}, 0
		}
		i += j
		if i+1 < len(s) && s[i+1] == '=' {
			w.text = s[begin:i]
			return w, i + 2
		}
		if i > begin && s[i-1] == '=' {
			return encodedWord{}, 0 // another word begins: this one has no end
		}
	}
}

// encodedWordLen is the length of the encoded word at the beginning of s, if it is one that could stand in a list of
// tokens: without white space or quotes.
// With white space in it a word could take in what is other tokens of the list.
func encodedWordLen(s string) int {
	const longest = 1000 // RFC 2047, 2 allows 75; the bound keeps a list of many beginnings linear
	if len(s) < 2 || s[1] != '?' {
		return 0
	}
	s = s[:min(len(s), longest)]
	if i := strings.IndexAny(s, " \t\r\n\""); i >= 0 {
		s = s[:i]
	}
	_, n := cutWord(s)
	return n
}

// A wordDecoder puts text together. Words with one charset that follow each other are converted together, because old
// programs split characters between them.
// QUIRK: splitting a character between two words is forbidden by RFC 2047, 5; older programs in PHP and Java
// cut every so many octets, wherever that falls.
type wordDecoder struct {
	p       *Parser
	out     []byte
	charset string
	held    []byte // decoded but not converted
	after   bool   // the last thing was a word
}

// text takes what is between words.
func (d *wordDecoder) text(s string) {
	if s == "" {
		return
	}
	if d.after && trimSpace(s) == "" {
		return // RFC 2047, 6.2: white space between words is not shown; text sees it once more if no word follows
	}
	d.flush()
	d.out = append(d.out, s...)
	d.after = false
}

// word takes one word and decodes its encoding; the charset waits for what follows.
func (d *wordDecoder) word(w encodedWord) {
	// Two charsets have no characters in common that could be split.
	if d.charset != "" && !equalFold(w.charset, d.charset) {
		d.flush()
	}
	d.charset, d.after = w.charset, true
	if w.encoding == 'q' {
		d.held = appendQ(d.held, w.text)
		return
	}
	d.held = appendB(d.held, w.text)
}

// flush converts what was held.
// It is called wherever a run of words ends: at text, at another charset, at the end.
func (d *wordDecoder) flush() {
	if len(d.held) > 0 {
		s, _ := d.p.convert(d.charset, d.held)
		// A line break in decoded text would be one in whatever it is put into.
		d.out = append(d.out, cleanLine(s)...)
	}
	d.held, d.charset = d.held[:0], ""
}

// cleanLine takes the characters out that end lines, and NUL.
// A line feed is a space because it stood between words; a CR beside it would make two of one.
func cleanLine(s string) string {
	if badByte(s) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '\r', 0:
			return -1
		case '\n':
			return ' '
		}
		return r
	}, s)
}

// appendQ decodes the Q encoding (RFC 2047, 4.2): as quoted-printable, with "_" for a space.
// An equals sign that begins no escape stands for itself: QUIRK: words cut at 75 octets in the middle of one.
func appendQ(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_':
			b = append(b, ' ')
		case c == '=' && i+2 < len(s) && hexValue(s[i+1]) >= 0 && hexValue(s[i+2]) >= 0:
			b = append(b, byte(hexValue(s[i+1])<<4|hexValue(s[i+2])))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return b
}

// appendB decodes the B encoding, with padding or without, and passes over what does not belong.
// QUIRK: padding in the middle, spaces and missing padding come from programs that join two words' text without
// decoding.
func appendB(b []byte, s string) []byte {
	s = strings.TrimRight(s, "=")
	n := base64.RawStdEncoding.DecodedLen(len(s))
	start := len(b)
	b = append(b, make([]byte, n)...)
	n, err := base64.RawStdEncoding.Decode(b[start:], []byte(s))
	if err == nil {
		return b[:start+n]
	}
	b = b[:start]
	// The library gives up at the first foreign octet; from here on each character counts for itself.
	acc, bits := uint32(0), 0
	for i := range len(s) {
		v := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", s[i])
		if v < 0 {
			continue
		}
		acc, bits = acc<<6|uint32(v), bits+6
		if bits >= 8 {
			bits -= 8
			b = append(b, byte(acc>>bits))
		}
	}
	return b
}

// hexValue gives the value of a digit in either case; -1 if it is none.
func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
