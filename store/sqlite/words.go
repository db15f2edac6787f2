package sqlite

import (
	"math/bits"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/mail"
)

// What is written into the index of words beside the words themselves: characters
// that stand alone, ends of words, words of a field, marks. The head of search.go
// tells what each is for.

const (
	// Of the private use area: to unicode61 letters, to no text a beginning.
	endMark   = "\uE001" // an end of a word
	fieldMark = "\uE002" // a field's name, and between it and the word
	otherMark = "\uE003" // not from any text

	maxEnds       = 300      // of one column: lists of recipients are long
	maxEndWord    = 40       // runes of a word that has its ends listed
	maxFieldWords = 16 << 10 // octets
)

// isWord tells what words are made of, as unicode61 has it.
func isWord(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.M, unicode.Co) }

// alone tells the characters that are words.
func alone(r rune) bool {
	return r >= 0x1100 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// spaced parts the characters that are words. Octets that are no UTF-8 part words
// too.
func spaced(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return alone(r) || r == utf8.RuneError }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == utf8.RuneError:
			b.WriteByte(' ')
		case alone(r):
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// ends lists the ends of the words of text, of three characters and more.
func ends(text string) string {
	var b strings.Builder
	n := 0
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !isWord(r) || alone(r) }) {
		left := utf8.RuneCountInString(word)
		if left > maxEndWord {
			continue
		}
		for i := range word {
			if i > 0 && left >= 3 {
				if n++; n > maxEnds {
					return b.String()
				}
				b.WriteString(" " + endMark + word[i:])
			}
			left--
		}
	}
	return b.String()
}

// people lists names and addresses.
func people(list []mail.Address) string {
	var b strings.Builder
	for _, a := range list {
		b.WriteString(a.Name + " " + a.Address + " ")
	}
	text := b.String()
	return spaced(text) + ends(text)
}

// fieldWords lists the words of fields with the fields' names.
func fieldWords(h mail.Header) string {
	var b strings.Builder
	for f := range h.All() {
		name := fieldMark + fieldName(f.Name())
		b.WriteString(name)
		for word := range strings.FieldsFuncSeq(spaced(f.Text()), func(r rune) bool { return !isWord(r) }) {
			if len(word) > 100 {
				continue // a signature, a key: nobody types these
			}
			b.WriteString(" " + name + fieldMark + word)
		}
		if b.WriteByte('\n'); b.Len() > maxFieldWords {
			break
		}
	}
	return b.String()
}

// fieldName is a field's name as one word: X-Campaign is xcampaign.
func fieldName(name string) string {
	return strings.Map(func(r rune) rune {
		if isWord(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// marks lists what is true of a message.
func marks(x *inbox.Indexed) string {
	m := otherMark + "all " + sizeMarks(x.Size)
	if x.Attachments > 0 {
		m += " " + otherMark + "attachment"
	}
	return m
}

// beginnings lists what an address of a client begins with, each as one word: as a
// phrase, whose words all clients have, it would be sought in every message.
func beginnings(ip string) string {
	var b strings.Builder
	words := wordsOf(ip)
	for i := range words {
		b.WriteString(" " + beginningMark(words[:i+1]))
	}
	return b.String()
}

func beginningMark(words []string) string { return otherMark + strings.Join(words, fieldMark) }

// idMark is a whole Message-ID as one word: the words of one are not rare.
func idMark(id string) string { return otherMark + "id" + fieldName(id) }

// A size is told by marks that get finer: how many bits it has, then each time three
// more of them. So a range of sizes is a few marks, and each message in it has one
// of these.

// sizeMarks are the marks of one size.
func sizeMarks(size int64) string {
	bits := bits.Len64(uint64(size))
	m := sizeMark(bits, "")
	digits := sizeDigits(size)
	for i := range digits {
		m += " " + sizeMark(bits, digits[:i+1])
	}
	return m
}

// sizeDigits are the bits of a size below the first, three to a digit, with zeros
// behind.
func sizeDigits(size int64) string {
	n := max(bits.Len64(uint64(size))-1, 0)
	places := (n + 2) / 3
	rest := uint64(size) &^ (1 << n) << (3*places - n)
	digits := make([]byte, places)
	for i := range digits {
		digits[i] = '0' + byte(rest>>(3*(places-1-i))&7)
	}
	return string(digits)
}

func sizeMark(bits int, digits string) string {
	return otherMark + "s" + strconv.Itoa(bits) + "x" + digits
}
