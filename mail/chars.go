package mail

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The classes of characters that the grammars of RFC 5322 and RFC 2045 are made of, and small things for strings.
//
// Octets are looked up rather than compared: each of the grammars has its own set of specials, they overlap,
// and this is where a parser spends its time. All names in mail are ASCII and compared without regard to case
// (RFC 5322, 1.2.2), so nothing here depends on a locale or on Unicode's tables.

const (
	classAtext  = 1 << iota // RFC 5322, 3.2.3; also everything beyond ASCII (RFC 6532, 3.2)
	classToken              // RFC 2045, 5.1
	classFtext              // RFC 5322, 3.6.8: a field's name
	classLetter             // letters and digits
	classPlain              // may stand anywhere as it is: printable ASCII and space
	class2231               // RFC 2231, 7: attribute-char
	classID                 // printable ASCII but angle brackets: what is in an identifier
)

// A byte holds all seven classes: one look-up answers any question about an octet. It is made once and never
// changed.
var classes = func() (t [256]uint8) {
	for i := range t {
		c := byte(i)
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		printable := '!' <= c && c <= '~'
		if letter {
			t[i] |= classLetter
		}
		// RFC 6532, 3.2 adds every character beyond ASCII to atext. Its octets are enough to look at; whether
		// they are UTF-8 is checked once for the whole, by those who write.
		if letter || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0 || c >= utf8.RuneSelf {
			t[i] |= classAtext
		}
		if printable && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0 {
			t[i] |= classToken
			if c != '*' && c != '\'' && c != '%' {
				t[i] |= class2231
			}
		}
		if printable && c != ':' {
			t[i] |= classFtext
		}
		if printable && c != '<' && c != '>' {
			t[i] |= classID
		}
		if printable || c == ' ' {
			t[i] |= classPlain
		}
	}
	return t
}()

func isAtext(c byte) bool       { return classes[c]&classAtext != 0 }
func isToken(c byte) bool       { return classes[c]&classToken != 0 }
func isLetterDigit(c byte) bool { return classes[c]&classLetter != 0 }
func isSpace(c byte) bool       { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// isASCII says that a string needs no encoding for its characters; its controls are another matter.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// isName says whether s can be the name of a field.
// RFC 5322, 3.6.8: printable ASCII without the colon, one character at least.
func isName(s string) bool {
	for i := range len(s) {
		if classes[s[i]]&classFtext == 0 {
			return false
		}
	}
	return s != ""
}

// badByte finds the first CR, LF or NUL: what no name and no value may hold, for it would begin a field of its own.
// It is -1 if there is none.
// This is the check against header injection: a name or a subject from a web form with a CRLF in it would
// otherwise add recipients to somebody else's mail. NUL is refused with them, because programs in C end a
// string there.
func badByte(s string) int {
	for i := range len(s) {
		if c := s[i]; c == '\r' || c == '\n' || c == 0 {
			return i
		}
	}
	return -1
}

// controlName names a control for people, who cannot see it.
// An error that printed the octet itself would break the log's lines as it would have broken the message's.
func controlName(c byte) string {
	switch c {
	case '\r':
		return "a carriage return"
	case '\n':
		return "a line feed"
	case 0:
		return "a NUL"
	}
	return fmt.Sprintf("the character 0x%02x", c)
}

// equalFold compares ASCII without regard to case, which is what names in mail are made of.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// lower is for ASCII alone: names in mail know no other letters, and Unicode folding would make K of the Kelvin sign.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// toLower is strings.ToLower for ASCII alone; it leaves what is lower case already where it is.
func toLower(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			return strings.Map(func(r rune) rune {
				if 'A' <= r && r <= 'Z' {
					return r | 0x20
				}
				return r
			}, s)
		}
	}
	return s
}

// cutPrefixFold is strings.CutPrefix without regard to case.
func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && equalFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// trimSpace drops white space, folds among it, from both ends.
// Only the white space of mail's grammars goes: a no-break space is part of a name.
func trimSpace(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// unfold takes the line ends out of a field's body (RFC 5322, 2.2.3); the white space behind them stays.
// Every CR and LF goes, not only those of proper folds: what is left must be one line whatever it was. The
// white space stays, because RFC 5322, 2.2.3 counts it as part of the text.
func unfold(s string) string {
	if strings.IndexByte(s, '\n') < 0 && strings.IndexByte(s, '\r') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if c := s[i]; c != '\r' && c != '\n' {
			b = append(b, c)
		}
	}
	return string(b)
}
