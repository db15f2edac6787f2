package mail

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Writing fields: encoded where they must be, folded by construction. A line has 78 characters at the most where there
// is a place to fold it, and never more than 998 (RFC 5322, 2.1.1); one with encoded words 76 (RFC 2047, 2).
//
// A field is written once, from left to right, and folded as it goes: nothing is looked at again, so no line
// can become too long behind our back. Folds are only put where white space already is (RFC 5322, 2.2.3):
// unfolding gives the value back to the octet, but for encoded words, whose white space RFC 2047, 6.2 drops.

const (
	maxLine  = 76  // a line that can be folded is no longer; with room to spare for a comma
	maxWord  = 75  // RFC 2047, 2: an encoded word
	maxToken = 900 // what cannot be folded; with a name before it, it still fits in 998
	maxName  = 76  // a field's name; longer ones are refused
)

// A folder appends a field and knows how far its line has come.
// In UTF-8, characters are counted (RFC 6532, 3.4): 76 of them never have more than 998 octets.
type folder struct {
	b      []byte
	col    int
	utf8   bool // what is beyond ASCII is written as it is
	beyond bool // there was something beyond ASCII
}

// width counts the characters of what is written as it is.
func (f *folder) width(s string) int {
	if f.utf8 {
		return utf8.RuneCountInString(s)
	}
	return len(s)
}

// plain says that all of s may be written as it is.
func (f *folder) plain(s string) bool {
	beyond := false
	for i := range len(s) {
		if classes[s[i]]&classPlain == 0 {
			if !f.utf8 || s[i] < utf8.RuneSelf {
				return false
			}
			beyond = true
		}
	}
	f.beyond = f.beyond || beyond
	return !beyond || utf8.ValidString(s)
}

// start begins a field.
func (f *folder) start(name string) {
	f.put(name)
	f.put(":")
	f.col = len(name) + 1
}

// put appends octets, wherever in their line they are. It does what append does, but leaves the pointer to the memory alone
// where there is room: storing it anew for each word costs more than the words while the garbage collector runs.
func (f *folder) put(s string) {
	n := len(f.b)
	if cap(f.b)-n < len(s) {
		f.b = slices.Grow(f.b, len(s))
	}
	f.b = f.b[:n+len(s)]
	copy(f.b[n:], s)
}

// end ends the field.
func (f *folder) end() { f.put("\r\n") }

// token appends a space and a word, on a new line if this one has no room for it.
func (f *folder) token(s string) {
	f.gap(" ", f.width(s))
	f.stick(s)
}

// stick appends to the last word.
func (f *folder) stick(s string) {
	f.put(s)
	f.col += f.width(s)
}

// gap appends white space, after a fold if the word behind it would not fit.
// The white space goes to the new line, where it is what makes the fold one.
func (f *folder) gap(space string, word int) {
	if f.col+len(space)+word > maxLine && f.col > 1 {
		f.end()
		f.col = 0
	}
	f.stick(space)
}

// text appends unstructured text. Words that are not plain are encoded, those that follow each other together, so that
// the reader gets the same text back to the octet.
// Whatever can be read as it is stays so; a Subject with one name in it that is not ASCII has that name encoded
// and no more. RFC 2047, 5, rule 1: an encoded word must be parted by white space from what is around it, so
// words are encoded whole.
func (f *folder) text(s string) {
	if f.plainText(s) {
		f.stick(" ")
		f.stick(s)
		return
	}
	for first := true; s != ""; first = false {
		space, word := cutText(s)
		sep := space
		if first {
			sep = " "
		}
		room := maxLine - len(sep)
		if first {
			room -= f.col
		}
		// White space at the edges and in long runs does not survive: QUIRK: many relays trim and
		// squeeze it.
		odd := first && space != "" || len(space) > 8 || word == ""
		if !odd && !f.needsWord(word, room) {
			f.gap(sep, f.width(word))
			f.stick(word)
			s = s[len(space)+len(word):]
			continue
		}
		run := f.encodedRun(s, len(space), len(word))
		text := s[:run]
		if !odd {
			text = text[len(space):]
		} else {
			// White space that a reader would drop goes into the encoded word, all but the one that stands before it.
			if !first {
				text, sep = text[1:], space[:1]
			}
		}
		f.words(text, sep)
		s = s[run:]
	}
}

// encodedRun tells how much of s belongs into encoded words, from its first word on: white space between two of them
// would be lost (RFC 2047, 6.2), so it goes inside.
func (f *folder) encodedRun(s string, space, word int) int {
	n := space + word
	for n < len(s) {
		sp, w := cutText(s[n:])
		if w != "" && len(sp) <= 8 && !f.needsWord(w, maxLine-len(sp)) {
			break
		}
		n += len(sp) + len(w)
	}
	return n
}

// plainText says that s can stand as it is, on this line.
// What looks like the beginning of an encoded word is encoded itself, or readers would decode what nobody has
// encoded.
func (f *folder) plainText(s string) bool {
	if f.col+1+f.width(s) > maxLine+2 || s == "" {
		return s == ""
	}
	return f.plain(s) && !strings.Contains(s, "=?") && s[0] != ' ' && s[len(s)-1] != ' '
}

// cutText takes the white space that s begins with, and the word behind it.
func cutText(s string) (space, word string) {
	i := 0
	for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
		i++
	}
	j := i
	for j < len(s) && s[j] != ' ' && s[j] != '\t' {
		j++
	}
	return s[:i], s[i:j]
}

// needsWord says that a word must be encoded: it is not plain, looks like an encoded word, or does not fit in a line.
// A word without white space that is longer than a line cannot be folded as it is, but as several encoded words
// it can, which a reader joins again (RFC 2047, 6.2).
func (f *folder) needsWord(w string, room int) bool {
	return f.width(w) > room || !f.plain(w) || strings.Contains(w, "=?")
}

// words appends s in encoded words of whole characters, the first behind the white space sep, each other on a line of
// its own.
func (f *folder) words(s, sep string) {
	s = strings.ToValidUTF8(s, "\ufffd")
	f.beyond = f.beyond || !isASCII(s)
	const open, shut = "=?utf-8?q?", "?="
	// The shorter of the two; Q if they are alike, for a human can guess at it. RFC 2047, 4 leaves the choice
	// to the writer.
	inQ := qLen(s) <= base64.StdEncoding.EncodedLen(len(s))
	if f.col+len(sep)+len(open)+len(shut)+12 > maxLine && f.col > 1 {
		f.end()
		f.col = 0
	}
	f.stick(sep)
	for {
		// RFC 2047, 5: each encoded word holds whole characters. Readers convert them one by one.
		room := min(maxWord, maxLine-f.col) - len(open) - len(shut)
		n := 0
		if inQ {
			n = qFit(s, room)
		} else {
			n = wholeRunes(s, room/4*3)
		}
		part := s[:n]
		if inQ {
			f.stick(open)
			before := len(f.b)
			f.b = appendQWord(f.b, part)
			f.col += len(f.b) - before
		} else {
			f.stick("=?utf-8?b?")
			before := len(f.b)
			f.b = base64.StdEncoding.AppendEncode(f.b, []byte(part))
			f.col += len(f.b) - before
		}
		f.stick(shut)
		if s = s[n:]; s == "" {
			return
		}
		f.put("\r\n ")
		f.col = 1
	}
}

// wholeRunes gives the length of the longest beginning of s that is at most n octets and ends between two characters;
// at least one character.
// One character is taken even if it is too long, or the caller would make no way.
func wholeRunes(s string, n int) int {
	if n >= len(s) {
		return len(s)
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	if n <= 0 {
		_, n = utf8.DecodeRuneInString(s)
	}
	return n
}

// qSafe says that a byte stands for itself in the Q encoding, wherever the word is (RFC 2047, 5, rule 3).
// In a phrase fewer octets are allowed than in text; with the smallest set, one encoder will do for both.
func qSafe(c byte) bool {
	return isLetterDigit(c) || c == '!' || c == '*' || c == '+' || c == '-' || c == '/'
}

// qLen is the length of s in the Q encoding (RFC 2047, 4.2), without what surrounds it.
// It decides between the encodings without making either.
func qLen(s string) int {
	n := len(s)
	for i := range len(s) {
		if !qSafe(s[i]) && s[i] != ' ' {
			n += 2
		}
	}
	return n
}

// qFit is wholeRunes for the length after encoding.
func qFit(s string, room int) int {
	n, used := 0, 0
	for n < len(s) {
		_, size := utf8.DecodeRuneInString(s[n:])
		cost := qLen(s[n : n+size])
		if used+cost > room && n > 0 {
			break
		}
		n, used = n+size, used+cost
	}
	return n
}

// appendQWord encodes s; a space is an underscore, which is what makes the encoding readable as it is.
func appendQWord(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ':
			b = append(b, '_')
		case qSafe(c):
			b = append(b, c)
		default:
			b = append(b, '=', hex[c>>4], hex[c&15])
		}
	}
	return b
}

// phrase appends a name as RFC 5322, 3.2.5 wants it: atoms, a quoted string, or encoded words.
// Quotes are preferred to encoded words where both would do, because they can be read without decoding.
func (f *folder) phrase(s string) {
	switch {
	// A quoted "=?" would be legal, but QUIRK: Outlook, Gmail and most others decode encoded words inside
	// quotes.
	case f.width(s) >= maxLine-4 || !f.plain(s) || strings.Contains(s, "=?"):
		f.words(s, " ")
	case isPhrase(s):
		for s != "" {
			word, rest, _ := strings.Cut(s, " ")
			f.token(word)
			s = rest
		}
	default:
		var room [2 * maxLine]byte
		f.token(stringOf(appendQuoted(room[:0], s)))
	}
}

// address appends one address. needs is the address that only SMTPUTF8 can carry, if this is one.
// The domain goes out in A-labels whatever the server can do: they mean the same, and any host takes them (RFC
// 5890, 2.3.2.1). A local part has no such form.
func (f *folder) address(a Address, last bool) (needs string, err error) {
	spec := a.Address
	if !plainSpec(spec) {
		var utf8Local bool
		if err := validSpec(spec); err != nil {
			return "", err
		}
		if spec, utf8Local, err = toASCII(spec); err != nil {
			return "", err
		}
		if utf8Local {
			needs = a.Address
		}
	}
	if i := badByte(a.Name); i >= 0 {
		return "", fmt.Errorf("the name of %s holds %s", a.Address, controlName(a.Name[i]))
	}
	// Room is kept for the comma that follows, so that none ever begins a line.
	comma := 1
	if last {
		comma = 0
	}
	if a.Name == "" {
		f.gap(" ", f.width(spec)+comma)
		f.stick(spec)
	} else {
		f.phrase(a.Name)
		f.gap(" ", f.width(spec)+2+comma)
		f.stick("<")
		f.stick(spec)
		f.stick(">")
	}
	if !last {
		f.stick(",")
	}
	return needs, nil
}

// structured appends a value that must not be encoded: it is folded at its white space alone.
// Runs of white space are squeezed where they are long, as they mean nothing more than a space (RFC 5322,
// 3.2.2); a word that no line can hold is refused rather than cut.
func (f *folder) structured(s string) error {
	for first := true; ; first = false {
		space, word := cutText(s)
		if word == "" {
			return nil
		}
		if len(word) > maxToken {
			return fmt.Errorf("a word of %d octets cannot be folded", len(word))
		}
		if first || len(space) > 8 {
			space = " "
		}
		if first {
			f.stick(space)
		} else {
			f.gap(space, len(word))
		}
		f.stick(word)
		s = strings.TrimLeft(s, " \t")[len(word):]
	}
}
