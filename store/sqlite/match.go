package sqlite

import (
	"database/sql"
	"fmt"
	"math/bits"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/postrider/postrider/inbox"
)

// Queries made into SQL. As much as possible becomes one expression of the index
// of words, which finds rows in the order of their keys and stops when it has
// enough; the rest are conditions on the row of the message. Everything that a
// client sent goes in as an argument, or in quotes into the index's own language.

// A condition is an expression of the index, conditions of SQL and a span of keys,
// which must all hold. In sql $key stands for the key, a column of one table or of
// the other, $words for a shard of the index, and $span for the bounds of what is
// looked at, so that no more is gathered for an IN.
type condition struct {
	match string // of the index; "" is none
	sql   string // "" is none
	args  []any  // of sql
	in    span
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
			return condition{match: phrase("mark", otherMark+"all") + " NOT (" + c.match + ")"}
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
	var wanted, excluded, sql []string
	for _, e := range of {
		if e.Op == inbox.Not && inWords(e) {
			excluded = append(excluded, "("+s.compile(e.Of[0]).match+")")
			continue
		}
		c := s.compile(e)
		all.in = all.in.both(c.in)
		if c.match != "" {
			wanted = append(wanted, "("+c.match+")")
		}
		if c.sql != "" {
			sql = append(sql, "("+c.sql+")")
			all.args = append(all.args, c.args...)
		}
	}
	all.sql = strings.Join(sql, " AND ")
	// There has to be something to subtract from.
	if len(wanted) == 0 && len(excluded) > 0 {
		wanted = []string{phrase("mark", otherMark+"all")}
	}
	all.match = strings.Join(wanted, " AND ")
	if len(excluded) > 0 {
		all.match = "(" + all.match + ") NOT (" + strings.Join(excluded, " OR ") + ")"
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
	var parts []string
	for _, c := range list {
		if words {
			parts = append(parts, "("+c.match+")")
			continue
		}
		sql, args := c.where()
		parts = append(parts, "("+sql+")")
		any.args = append(any.args, args...)
	}
	if words {
		return condition{match: strings.Join(parts, " OR ")}
	}
	any.sql = strings.Join(parts, " OR ")
	return any
}

// words tells that the index alone answers it.
func (c condition) words() bool { return c.match != "" && c.sql == "" && c.in == span{} }

// where returns all of a condition as SQL.
func (c condition) where() (string, []any) {
	sql := c.in.sql("$key")
	if c.sql != "" {
		sql += " AND (" + c.sql + ")"
	}
	if c.match == "" {
		return sql, c.args
	}
	return "$key IN (SELECT rowid FROM search.$words WHERE $words MATCH ?) AND " + sql, append([]any{c.match}, c.args...)
}

// columnsOf are the columns of the index that a field is looked for in.
var columnsOf = map[string]string{
	"from": "author", "to": "addressee", "cc": "cc", "bcc": "bcc", "subject": "subject", "body": "body", "user": "user", "ip": "ip",
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
			return condition{match: phrase("id", idMark(t.Text))}
		}
		return condition{match: text("id", t)}
	case "tag":
		return s.set("tag WHERE name=?", t.Text)
	case "inbox":
		// The index knows letters and digits; the row knows the rest.
		return condition{match: phrase("mark", inboxMark(t.Text)), sql: "lower(m.inbox)=?", args: []any{t.Text}}
	case "is":
		return s.marked(t.Text)
	case "has":
		return condition{match: phrase("mark", otherMark+t.Text)}
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

// marked makes the SQL of is:. Where few messages are what is asked for, they are
// gathered from their index; where many are, a row that is looked at mostly is one.
func (s *inboxStore) marked(how string) condition {
	n := s.writer.counts()
	switch few := n.messages / 8; {
	case how == "tagged":
		return s.set("tag WHERE 1")
	case how == "unread" && n.unread < few:
		return s.set("message WHERE unread=1")
	case how == "unread":
		return condition{sql: "m.unread=1"}
	case n.messages-n.unread < few:
		return s.set("message WHERE unread=0")
	}
	return condition{sql: "m.unread=0"}
}

// set makes the condition that a key is one of some others. It says between which,
// so that a word that is in all messages is looked for only where these are.
func (s *inboxStore) set(from string, args ...any) condition {
	c := condition{sql: "$key IN (SELECT key FROM " + from + " AND $span)", args: args}
	var first, last sql.NullInt64
	query := fmt.Sprintf("SELECT (SELECT min(key) FROM %s), (SELECT max(key) FROM %[1]s)", from)
	if s.read.QueryRow(query, append(args, args...)...).Scan(&first, &last) == nil {
		c.in = span{max(first.Int64, 1), last.Int64 + 1} // of none that is there: from 1 up to 1
	}
	return c
}

// text makes an expression of what is looked for in a column, or in all.
func text(column string, t *inbox.Term) string {
	words := strings.FieldsFunc(spaced(t.Text), func(r rune) bool { return !isWord(r) })
	if len(words) == 0 {
		return phrase("mark", "none") // nothing that the index knows
	}
	// Only the last word may go on: the ones before it have been finished by a space. One
	// or two letters begin too many words for the index to gather.
	last := words[len(words)-1]
	whole := phrase(column, strings.Join(words, " "))
	if t.Quotes || len([]rune(last)) < 3 {
		return whole
	}
	whole += "*"
	// A single word may be the end of another, or its middle: of words in subjects and
	// addresses the index has all endings, and one of these begins with it.
	if len(words) > 1 {
		return whole
	}
	return whole + " OR " + phrase(column, endMark+last) + "*"
}

// fieldPhrase makes an expression of what is looked for in a field of the header.
func fieldPhrase(t *inbox.Term) string {
	name := fieldMark + fieldName(t.Name)
	words := strings.FieldsFunc(spaced(t.Text), func(r rune) bool { return !isWord(r) })
	if len(words) == 0 {
		return phrase("header", name)
	}
	long := len([]rune(words[len(words)-1])) >= 3
	// In the index each word of a field has the field's name before it, so that one column
	// serves all of them and a phrase stays within one.
	for i := range words {
		words[i] = name + fieldMark + words[i]
	}
	p := phrase("header", strings.Join(words, " "))
	if long && !t.Quotes {
		p += "*"
	}
	return p
}

// phrase is words one after the other in a column; "" is any.
func phrase(column, words string) string {
	quoted := `"` + strings.ReplaceAll(words, `"`, `""`) + `"`
	if column == "" {
		return quoted
	}
	return column + ":" + quoted
}

// maxBits is what no size of a message has.
const maxBits = 45

// sizes lists the marks of a range of sizes.
func sizes(t *inbox.Term) condition {
	larger := t.Field == "larger"
	var marks []string
	add := func(bits int, digits string) { marks = append(marks, phrase("mark", sizeMark(bits, digits))) }
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
	if len(marks) == 0 {
		return condition{match: phrase("mark", otherMark+"none")}
	}
	return condition{match: strings.Join(marks, " OR ")}
}

// spanOf returns the keys between the bounds of a page, both left out; "" is no
// bound. The message at a bound may have been deleted since the page was shown.
func spanOf(after, before string) (in span, err error) {
	bound := func(id string) int64 {
		u, parseErr := ulid.ParseStrict(id)
		if parseErr != nil || u[0] > 0x7f {
			err = fmt.Errorf("sqlite: %q is no id", id)
		}
		return keyOf(u)
	}
	if after != "" {
		in.from = bound(after) + 1
	}
	if before != "" {
		in.to = max(bound(before), 1) // no key is less
	}
	return in, err
}
