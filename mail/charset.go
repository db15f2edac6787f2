package mail

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode/utf32"
)

// Charsets. Labels are read as the WHATWG does, which knows what mail calls them, then as the IANA does, then by a short
// list of our own. Nothing here fails: what cannot be converted becomes U+FFFD.
//
// The WHATWG comes first because it reads labels as senders mean them: QUIRK: what is labelled ISO-8859-1 is
// Windows-1252 in nearly all mail, for Outlook Express wrote it so, with curly quotes where the standard has
// controls; gb2312 is GBK and ks_c_5601-1987 is the code page of Korean Windows for the same reason.
//
// We only ever write UTF-8 and its subset ASCII: all of this is for reading.

// convert gives b, text in the charset, as UTF-8. ok is false if the label is not known or the text is not in it; then
// the text is taken as UTF-8 if it is that, else as Windows-1252, which is what unlabelled 8-bit mail mostly was.
func (p *Parser) convert(label string, b []byte) (s string, ok bool) {
	switch {
	// RFC 2045, 5.2: text without a charset is US-ASCII, of which UTF-8 is what has come of it. QUIRK: cron and
	// scripts send UTF-8 and say nothing.
	// "unknown-8bit" says the same (RFC 1428).
	case label == "" || equalFold(label, "utf-8") || equalFold(label, "us-ascii") || equalFold(label, "utf8") || equalFold(label, "unknown-8bit"):
		if utf8.Valid(b) {
			return string(b), true
		}
		if equalFold(label, "utf-8") || equalFold(label, "utf8") {
			// It said that it is UTF-8, and most of it will be: one broken octet is no reason to read all the
			// others as Windows-1252.
			return strings.ToValidUTF8(string(b), "\ufffd"), false
		}
	// The WHATWG refuses it, for browsers were attacked through it. A text in a message is not sniffed: it is
	// UTF-7 only if it says so. QUIRK: old Outlook and Exchange could be set to send it.
	case equalFold(label, "utf-7") || equalFold(label, "unicode-1-1-utf-7"):
		return decodeUTF7(b), true
	default:
		// The user's own comes before our lists, so that a label they get wrong can be set right.
		if p != nil && p.Charset != nil {
			if e := p.Charset(label); e != nil {
				return decodeWith(e, b), true
			}
		}
		if e := charset(label); e != nil {
			return decodeWith(e, b), true
		}
		if _, ok := cutPrefixFold(label, "iso-2022-"); ok || equalFold(label, "csISO2022KR") {
			return decodeISO2022(b), true
		}
		if utf8.Valid(b) {
			return string(b), false
		}
	}
	return decodeWith(charmap.Windows1252, b), false
}

// decodeWith converts by an x/text encoding. Those put U+FFFD for what they do not know and fail for nothing else; should
// one fail all the same, what is valid UTF-8 stays.
func decodeWith(e encoding.Encoding, b []byte) string {
	out, err := e.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\ufffd")
	}
	return string(out)
}

// repair gives s as valid UTF-8: raw 8-bit in a field is UTF-8 (RFC 6532) or, failing that, Windows-1252.
// It is what makes everything behind it safe to cut at any ASCII character: no charset that hides ASCII octets
// inside longer characters, as Shift_JIS does, gets past it.
func (p *Parser) repair(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	label := ""
	if p != nil {
		label = p.unlabelled
	}
	out, _ := p.convert(label, []byte(s))
	return out
}

// ownCharsets are those that mail has and browsers do not. QUIRK: cp932 is how Python and Ruby call Microsoft's Shift_JIS.
var ownCharsets = map[string]encoding.Encoding{
	"hz-gb-2312": simplifiedchinese.HZGB2312, // RFC 1843
	"utf-32":     utf32.UTF32(utf32.BigEndian, utf32.UseBOM), "utf-32be": utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM),
	"utf-32le": utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM),
	"cp932":    japanese.ShiftJIS, "cp858": charmap.CodePage858, "ibm858": charmap.CodePage858, "ibm00858": charmap.CodePage858,
}

// charset finds a charset by its label; nil if there is none.
func charset(label string) encoding.Encoding {
	label = strings.Trim(toLower(label), " \t\"'")
	if e := ownCharsets[label]; e != nil {
		return e
	}
	if e, err := htmlindex.Get(label); err == nil {
		if name, _ := htmlindex.Name(e); name == "replacement" {
			// The replacement charset shows one U+FFFD for a whole text. Ours is to show what can be read of
			// it.
			return nil // the WHATWG's way to refuse a charset
		}
		return e
	}
	if e, err := ianaindex.MIME.Encoding(label); err == nil && e != nil {
		return e
	}
	// QUIRK: names that programs made up.
	for _, prefix := range []string{"x-", "cp-", "cp", "windows"} {
		rest, ok := strings.CutPrefix(label, prefix)
		if !ok {
			continue
		}
		for _, name := range []string{rest, "windows-" + strings.TrimPrefix(rest, "-"), "ibm" + strings.TrimPrefix(rest, "-")} {
			if e, err := htmlindex.Get(name); err == nil {
				return e
			}
			if e, err := ianaindex.MIME.Encoding(name); err == nil && e != nil {
				return e
			}
		}
	}
	return nil
}

// decodeUTF7 decodes UTF-7 (RFC 2152): "+" begins UTF-16 in base64, "-" or any other character ends it.
// Units that are not whole are dropped, and a half of a surrogate pair comes out as U+FFFD: utf16.Decode sees
// to that.
func decodeUTF7(b []byte) string {
	var out strings.Builder
	for i := 0; i < len(b); {
		if b[i] != '+' {
			if b[i] < utf8.RuneSelf {
				out.WriteByte(b[i])
			} else {
				out.WriteRune(utf8.RuneError)
			}
			i++
			continue
		}
		j := i + 1
		for j < len(b) && (isLetterDigit(b[j]) || b[j] == '+' || b[j] == '/') {
			j++
		}
		switch {
		// RFC 2152, rule 2: "+-" is a plus sign.
		case j == i+1 && j < len(b) && b[j] == '-':
			out.WriteByte('+')
		case j == i+1:
			out.WriteByte('+')
			i = j
			continue
		default:
			raw := make([]byte, base64.RawStdEncoding.DecodedLen(j-i-1))
			// Its error only says that bits are left over at the end, which are padding here.
			n, _ := base64.RawStdEncoding.Decode(raw, b[i+1:j])
			units := make([]uint16, n/2)
			for k := range units {
				units[k] = uint16(raw[2*k])<<8 | uint16(raw[2*k+1])
			}
			out.WriteString(string(utf16.Decode(units)))
		}
		if j < len(b) && b[j] == '-' {
			j++
		}
		i = j
	}
	return out.String()
}
