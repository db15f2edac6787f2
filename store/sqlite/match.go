package sqlite

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"github.com/postrider/postrider/inbox"
)

// Queries made into expressions of the index of words, which finds messages in their
// order and stops when it has enough. What it does not know, or what changes after a
// message was indexed, is the roll's to tell. Everything that a client sent stands in
// quotes in the index's own language.

// A span is keys from one up to another, which is left out; 0 is no bound.
type span struct{ from, to int64 }

// both returns what is in two spans.
func (s span) both(o span) span {
	s.from = max(s.from, o.from)
	if s.to == 0 || o.to != 0 && o.to < s.to {
		s.to = o.to
	}
	return s
}

// inWords tells whether the index of words alone answers e.
func (s *inboxStore) inWords(e inbox.Expr) bool {
	switch e.Op {
	case inbox.Is:
		switch e.Term.Field {
		case "tag", "inbox", "is":
			return false
		}
		_, ok := s.termSpan(&e.Term)
		return !ok
	case inbox.Every:
		return false
	}
	return !slices.ContainsFunc(e.Of, func(x inbox.Expr) bool { return !s.inWords(x) })
}

// asked lists the expressions that the index of words is asked for e.
func (s *inboxStore) asked(e inbox.Expr) (list []inbox.Expr) {
	if s.inWords(e) {
		return []inbox.Expr{e}
	}
	for _, x := range e.Of {
		list = append(list, s.asked(x)...)
	}
	return list
}

// termSpan returns the keys of which a term holds, if it is one on keys. They begin with
// the millisecond of arrival, so that a time is a bound on them.
func (s *inboxStore) termSpan(t *inbox.Term) (in span, ok bool) {
	switch t.Field {
	case "id":
		// An id of this inbox is a key, which needs no index.
		key, err := s.db().key(strings.ToUpper(t.Text))
		return span{key, key + 1}, err == nil
	case "before":
		return span{0, max(firstKey(t.Time), 1)}, true
	case "after":
		return span{from: firstKey(t.Time)}, true
	}
	return span{}, false
}

// firstKey returns the least key of a time. A key has room for the next 4,000 years: what
// is beyond is its end, as a bound that runs over would have nothing come before it.
func firstKey(at time.Time) int64 {
	return min(max(at.UnixMilli(), 0), math.MaxInt64>>keyShift) << keyShift
}

// compile makes an expression of the index of one that is in words.
func (s *inboxStore) compile(e inbox.Expr) expression {
	switch e.Op {
	case inbox.Is:
		return term(&e.Term)
	case inbox.Or:
		var any []expression
		for _, x := range e.Of {
			any = append(any, s.compile(x))
		}
		return join("OR", any...)
	case inbox.Not:
		e = inbox.Expr{Op: inbox.And, Of: []inbox.Expr{e}}
	}
	// What is excluded is subtracted from what is wanted, so that the index does not go
	// through all that there is.
	var wanted, excluded []expression
	for _, x := range e.Of {
		if x.Op == inbox.Not {
			excluded = append(excluded, s.compile(x.Of[0]))
		} else {
			wanted = append(wanted, s.compile(x))
		}
	}
	// There has to be something to subtract from: FTS5 knows no NOT of its own.
	if len(wanted) == 0 {
		wanted = []expression{everything()}
	}
	return join("AND", wanted...).without(excluded...)
}

// columnsOf are the columns of the index that a field is looked for in.
var columnsOf = map[string]string{
	"from": "author", "to": "addressee", "cc": "cc", "bcc": "bcc", "subject": "subject", "body": "body", "user": "user",
	"": "", // what has a mark of its own cannot be taken for a word
}

// term makes an expression of one term.
func term(t *inbox.Term) expression {
	switch t.Field {
	case "header":
		return fieldPhrase(t)
	case "id":
		if strings.Contains(t.Text, "@") {
			return expression{column: "id", words: []string{idMark(t.Text)}}
		}
		return text("id", t)
	case "ip":
		words := wordsOf(t.Text)
		return expression{column: "ip", words: []string{beginningMark(words)}, begins: goesOn(t, words)}
	case "has":
		return mark(otherMark + t.Text)
	case "larger", "smaller":
		return sizes(t)
	}
	return text(columnsOf[t.Field], t)
}

// text makes an expression of what is looked for in a column, or in all.
func text(column string, t *inbox.Term) expression {
	words := wordsOf(t.Text)
	if len(words) == 0 {
		return nothing() // that the index knows
	}
	whole := expression{column: column, words: words, begins: goesOn(t, words)}
	// A single word may be the end of another, or its middle: of words in subjects and
	// addresses the index has all endings, and one of these begins with it.
	if len(words) > 1 || !whole.begins {
		return whole
	}
	return join("OR", whole, expression{column: column, words: []string{endMark + words[0]}, begins: true})
}

// wordsOf lists the words of what is looked for.
func wordsOf(text string) []string {
	return strings.FieldsFunc(spaced(text), func(r rune) bool { return !isWord(r) })
}

// goesOn tells whether the last word of a term may be the beginning of a longer one: the
// ones before it have been finished by a space. One or two letters begin too many words
// for the index to gather.
func goesOn(t *inbox.Term, words []string) bool {
	return !t.Quotes && len(words) > 0 && utf8.RuneCountInString(words[len(words)-1]) >= 3
}

// fieldPhrase makes an expression of what is looked for in a field of the header.
func fieldPhrase(t *inbox.Term) expression {
	name := fieldMark + fieldName(t.Name)
	words := wordsOf(t.Text)
	if len(words) == 0 {
		return expression{column: "header", words: []string{name}}
	}
	p := expression{column: "header", begins: goesOn(t, words)}
	// In the index each word of a field has the field's name before it, so that one column
	// serves all of them and a phrase stays within one.
	for _, word := range words {
		p.words = append(p.words, name+fieldMark+word)
	}
	return p
}

// maxBits is what no size of a message has.
const maxBits = 45

// sizes lists the marks of a range of sizes.
func sizes(t *inbox.Term) expression {
	larger := t.Field == "larger"
	var marks []expression
	add := func(bits int, digits string) { marks = append(marks, mark(sizeMark(bits, digits))) }
	// A size is marked by how many bits it has and by its first digits: a range is then a
	// few dozen words of the index, however many sizes there are.
	n, digits := bits.Len64(uint64(t.Size)), sizeDigits(t.Size)
	for i := range maxBits {
		if larger && i > n || !larger && i < n {
			add(i, "")
		}
	}
	// Of as many bits: what is the same up to some digit, and then more, or less.
	for i := range digits {
		for d := byte('0'); d < '8'; d++ {
			if larger && d > digits[i] || !larger && d < digits[i] {
				add(n, digits[:i]+string(d))
			}
		}
	}
	return join("OR", marks...)
}

// spanOf returns the keys between the bounds of a page, both left out; "" is no
// bound. The message at a bound may have been deleted since the page was shown.
func spanOf(after, before string) (in span, err error) {
	bound := func(id string) int64 {
		u, parseErr := ulid.ParseStrict(id)
		if parseErr != nil {
			err = fmt.Errorf("sqlite: %q is no id", id)
		}
		if u[0] > 0x7f {
			return math.MaxInt64 // behind every key: an id may be as large as that
		}
		return keyOf(u)
	}
	if after != "" {
		in.from = min(bound(after), math.MaxInt64-1) + 1
	}
	if before != "" {
		in.to = max(bound(before), 1) // no key is less
	}
	return in, err
}
