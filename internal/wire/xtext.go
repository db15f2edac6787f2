package wire

import (
	"errors"
	"strings"
)

// ErrXtext is text that is not xtext.
var ErrXtext = errors.New("not valid xtext")

const upperHex = "0123456789ABCDEF"

// EncodeXtext writes s as xtext (RFC 3461, 4): what is not printable ASCII, and
// "+" and "=", as "+" and two digits.
func EncodeXtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < '!' || c > '~' || c == '+' || c == '=' {
			b.WriteByte('+')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// DecodeXtext is the reverse. Digits must be in upper case, as the RFC has them,
// and what comes out holds no control characters: nobody needs them, and they
// end lines further on.
func DecodeXtext(s string) (string, error) {
	if !strings.ContainsAny(s, "+=") && printable(s) {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '+' {
			if i+2 >= len(s) {
				return "", ErrXtext
			}
			hi, lo := strings.IndexByte(upperHex, s[i+1]), strings.IndexByte(upperHex, s[i+2])
			if hi < 0 || lo < 0 {
				return "", ErrXtext
			}
			c = byte(hi<<4 | lo)
			i += 2
		} else if c < '!' || c > '~' || c == '=' {
			return "", ErrXtext
		}
		if c < ' ' || c == 0x7f {
			return "", ErrXtext
		}
		b = append(b, c)
	}
	return string(b), nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return true
}
