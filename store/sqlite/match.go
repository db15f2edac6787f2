package sqlite

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"github.com/postrider/postrider/inbox"
)

// Queries made into SQL. As much as possible becomes one expression of the index
// of words, which finds rows in the order of their keys and stops when it has
// enough; the rest are conditions on the row of the message. Everything that a
// client sent goes in as an argument, or in quotes into the index's own language.

// A condition is an expression of the index, rows that have the keys, conditions of
// SQL and a span of keys, which must all hold. In SQL $key stands for the key, a column
// of one table or of the other, $words for a shard of the index, and $span for the
// bounds of what is looked at, so that no more is gathered for an IN.
type condition struct {
	match  expression // of the index
	rows   []rows     // each has the key
	except []rows     // none has it
	sql    string     // "" is none
	args   []any      // of sql
	in     span
}

// rows are those that have a tag, or are unread: a part of an index, in the order of
// their keys, so that it is gone through beside another.
type rows struct {
	from string // a table and a condition, whose rows have a column key
	test string // the same, asked about one row of message
	args []any  // of either
}

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

// sql returns the span as a condition on a column; "1" if it has no bounds.
func (s span) sql(column string) string {
	switch {
	case s.from == 0 && s.to == 0:
		return "1"
	case s.to == 0:
		return fmt.Sprintf("%s>=%d", column, s.from)
	}
	return fmt.Sprintf("%s>=%d AND %[1]s<%[3]d", column, s.from, s.to)
}

// compile makes a condition of an expression.
func (s *inboxStore) compile(e inbox.Expr) condition {
	switch e.Op {
	case inbox.Is:
		return s.term(&e.Term)
	case inbox.Not:
		c := s.compile(e.Of[0])
		// FTS5 subtracts from something, and knows no NOT of its own: every message has a
		// mark that all have.
		if c.words() {
			return condition{match: join("NOT", everything(), c.match)}
		}
		if c.match.isNone() && len(c.rows) == 1 && len(c.except) == 0 && c.sql == "" && c.in == (span{}) {
			return condition{except: c.rows}
		}
		sql, args := c.where()
		return condition{sql: "NOT (" + sql + ")", args: args}
	case inbox.Or:
		return s.or(e.Of)
	case inbox.And:
		return s.and(e.Of)
	}
	return condition{}
}

// and puts conditions together. What is excluded is subtracted from what is
// wanted, so that the index does not go through all that there is.
func (s *inboxStore) and(of []inbox.Expr) condition {
	var all condition
	var wanted, excluded []expression
	var sql []string
	for _, e := range of {
		if e.Op == inbox.Not && inWords(e) {
			excluded = append(excluded, s.compile(e.Of[0]).match)
			continue
		}
		c := s.compile(e)
		all.in = all.in.both(c.in)
		if !c.match.isNone() {
			wanted = append(wanted, c.match)
		}
		all.rows = append(all.rows, c.rows...)
		all.except = append(all.except, c.except...)
		if c.sql != "" {
			sql = append(sql, "("+c.sql+")")
			all.args = append(all.args, c.args...)
		}
	}
	all.sql = strings.Join(sql, " AND ")
	// There has to be something to subtract from.
	if len(wanted) == 0 && len(excluded) > 0 {
		wanted = []expression{everything()}
	}
	if len(wanted) > 0 {
		all.match = join("AND", wanted...)
	}
	if len(excluded) > 0 {
		all.match = all.match.without(join("OR", excluded...))
	}
	return all
}

// or puts alternatives together: in the index if all of them are there, else in
// SQL.
func (s *inboxStore) or(of []inbox.Expr) condition {
	var list []condition
	words := true
	for _, e := range of {
		c := s.compile(e)
		list = append(list, c)
		words = words && c.words()
	}
	var any condition
	var matches []expression
	var parts []string
	for _, c := range list {
		if words {
			matches = append(matches, c.match)
			continue
		}
		sql, args := c.where()
		parts = append(parts, "("+sql+")")
		any.args = append(any.args, args...)
	}
	if words {
		return condition{match: join("OR", matches...)}
	}
	any.sql = strings.Join(parts, " OR ")
	return any
}

// words tells that the index alone answers it.
func (c condition) words() bool {
	return !c.match.isNone() && c.sql == "" && c.in == span{} && len(c.rows)+len(c.except) == 0
}

// where returns all of a condition as SQL that is asked of one row.
func (c condition) where() (string, []any) {
	var sql []string
	var args []any
	add := func(text string, its ...any) { sql, args = append(sql, text), append(args, its...) }
	if !c.match.isNone() {
		add("$key IN (SELECT rowid FROM search.$words WHERE $words MATCH ?)", c.match.String())
	}
	add(c.in.sql("$key"))
	for _, r := range c.rows {
		add(r.test, r.args...)
	}
	for _, r := range c.except {
		add("NOT "+r.test, r.args...)
	}
	if c.sql != "" {
		add("("+c.sql+")", c.args...)
	}
	return strings.Join(sql, " AND "), args
}

// columnsOf are the columns of the index that a field is looked for in.
var columnsOf = map[string]string{
	"from": "author", "to": "addressee", "cc": "cc", "bcc": "bcc", "subject": "subject", "body": "body", "user": "user",
	"": "", // what has a mark of its own cannot be taken for a word
}

// term makes a condition of one term.
func (s *inboxStore) term(t *inbox.Term) condition {
	switch t.Field {
	case "header":
		return condition{match: fieldPhrase(t)}
	case "id":
		// An id of this inbox is a key, which needs no index.
		if key, err := s.db().key(strings.ToUpper(t.Text)); err == nil {
			return condition{in: span{key, key + 1}}
		}
		if strings.Contains(t.Text, "@") {
			return condition{match: expression{column: "id", words: []string{idMark(t.Text)}}}
		}
		return condition{match: text("id", t)}
	case "ip":
		words := wordsOf(t.Text)
		return condition{match: expression{column: "ip", words: []string{beginningMark(words)}, begins: goesOn(t, words)}}
	case "tag":
		return tagged(t.Text)
	case "inbox":
		// The index knows letters and digits; the row knows the rest.
		return condition{match: mark(inboxMark(t.Text)), sql: "lower(m.inbox)=?", args: []any{t.Text}}
	case "is":
		return s.marked(t.Text)
	case "has":
		return condition{match: mark(otherMark + t.Text)}
	// Keys begin with the millisecond of arrival: a time is a bound on them, and the span
	// of a page becomes shorter by it.
	case "before":
		return condition{in: span{0, max(t.Time.UnixMilli()<<keyShift, 1)}}
	case "after":
		return condition{in: span{from: t.Time.UnixMilli() << keyShift}}
	case "larger", "smaller":
		return sizes(t)
	}
	return condition{match: text(columnsOf[t.Field], t)}
}

// marked makes the condition of is:.
func (s *inboxStore) marked(how string) condition {
	switch {
	case how == "unread":
		return condition{rows: []rows{{from: "message WHERE unread=1", test: "m.unread=1"}}}
	case how == "read":
		return condition{rows: []rows{{from: "message WHERE unread=0", test: "m.unread=0"}}}
	// Tags are not in the order of keys. A row that has none is dearer than one that is read.
	case s.atMost(s.writer.counts().messages/16, "tag"):
		return condition{sql: "$key IN (SELECT key FROM tag WHERE $span)"}
	}
	return condition{sql: "m.tags<>''"}
}

// tagged makes the condition of tag:.
func tagged(name string) condition {
	return condition{rows: []rows{{from: "tag WHERE name=?", test: "EXISTS (SELECT 1 FROM tag WHERE name=? AND key=$key)", args: []any{name}}}}
}

// atMost tells whether a table has no more than n rows, and looks at no more.
func (s *inboxStore) atMost(n int, table string) bool {
	var found int
	err := s.read.QueryRow(fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s LIMIT %d)", table, n+1)).Scan(&found)
	return err == nil && found <= n
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
func sizes(t *inbox.Term) condition {
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
	return condition{match: join("OR", marks...)}
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
