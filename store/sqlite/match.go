package sqlite

import (
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

// A condition is an expression of the index, conditions of SQL, or both, which
// must then both hold. $key stands for the key in sql: it is a column of one table
// or of the other.
type condition struct {
	match string // of the index; "" is none
	sql   string // "" is none
	args  []any  // of sql
}

// compile makes a condition of an expression.
func (s *inboxStore) compile(e inbox.Expr) condition {
	switch e.Op {
	case inbox.Is:
		return s.term(&e.Term)
	case inbox.Not:
		c := s.compile(e.Of[0])
		if c.sql == "" && c.match != "" {
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
		if e.Op == inbox.Not {
			if c := s.compile(e.Of[0]); c.sql == "" && c.match != "" {
				excluded = append(excluded, "("+c.match+")")
				continue
			}
		}
		c := s.compile(e)
		if c.match != "" {
			wanted = append(wanted, "("+c.match+")")
		}
		if c.sql != "" {
			sql = append(sql, "("+c.sql+")")
			all.args = append(all.args, c.args...)
		}
	}
	all.sql = strings.Join(sql, " AND ")
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
		words = words && c.sql == "" && c.match != ""
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

// where returns all of a condition as SQL.
func (c condition) where() (string, []any) {
	if c.match == "" {
		if c.sql == "" {
			return "1", nil
		}
		return c.sql, c.args
	}
	sql := "$key IN (SELECT rowid FROM search.words WHERE words MATCH ?)"
	args := []any{c.match}
	if c.sql != "" {
		sql += " AND " + c.sql
		args = append(args, c.args...)
	}
	return sql, args
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
		if key, err := s.db().key(strings.ToUpper(t.Text)); err == nil {
			return condition{sql: "$key=?", args: []any{key}}
		}
		return condition{match: text("id", t)}
	case "tag":
		return condition{sql: "$key IN (SELECT key FROM tag WHERE name=?)", args: []any{t.Text}}
	case "inbox":
		// The index knows letters and digits; the row knows the rest.
		return condition{match: phrase("mark", inboxMark(t.Text)), sql: "lower(m.inbox)=?", args: []any{t.Text}}
	case "is":
		return condition{sql: s.marked(t.Text)}
	case "has":
		return condition{match: phrase("mark", otherMark+t.Text)}
	case "before":
		return condition{sql: "$key<?", args: []any{t.Time.UnixMilli() << keyShift}}
	case "after":
		return condition{sql: "$key>=?", args: []any{t.Time.UnixMilli() << keyShift}}
	case "larger", "smaller":
		return sizes(t)
	}
	return condition{match: text(columnsOf[t.Field], t)}
}

// marked makes the SQL of is:. Where few messages are what is asked for, they are
// gathered from their index; where many are, a row that is looked at mostly is one.
func (s *inboxStore) marked(how string) string {
	n := s.writer.counts()
	switch few := n.messages / 8; {
	case how == "tagged":
		return "$key IN (SELECT key FROM tag)"
	case how == "unread" && n.unread < few:
		return "$key IN (SELECT key FROM message WHERE unread=1)"
	case how == "unread":
		return "m.unread=1"
	case n.messages-n.unread < few:
		return "$key IN (SELECT key FROM message WHERE unread=0)"
	}
	return "m.unread=0"
}

// text makes an expression of what is looked for in a column, or in all.
func text(column string, t *inbox.Term) string {
	words := strings.FieldsFunc(spaced(t.Text), func(r rune) bool { return !isWord(r) })
	if len(words) == 0 {
		return phrase("mark", "none") // nothing that the index knows
	}
	last := words[len(words)-1]
	whole := phrase(column, strings.Join(words, " "))
	if t.Quotes || len([]rune(last)) < 3 {
		return whole
	}
	whole += "*"
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

// A finding is the FROM and WHERE of a query: which rows, and what may be added.
type finding struct {
	words bool // driven by the index: w is there, m only if it is needed
	row   bool // conditions look at m
	where string
	args  []any
	key   string // the column that is the key
}

// find makes the conditions of a query, its bounds left out.
func (s *inboxStore) find(e inbox.Expr) finding {
	c := s.compile(e)
	f := finding{where: "1", key: "m.key", words: c.match != ""}
	if f.words {
		f.key, f.where, f.args = "w.rowid", "w.words MATCH ?", []any{c.match}
	}
	if c.sql != "" {
		sql := c.sql
		if f.words {
			// A plain column would have the index asked once for each of the keys in IN.
			sql = strings.ReplaceAll(sql, "$key IN", "+w.rowid IN")
		}
		f.where += " AND (" + strings.ReplaceAll(sql, "$key", f.key) + ")"
		f.args = append(f.args, c.args...)
		f.row = strings.Contains(c.sql, "m.")
	}
	return f
}

// from is the FROM of a query that looks at m if row says so.
func (f *finding) from(row bool) string {
	switch {
	case !f.words:
		return " FROM message m"
	case row || f.row:
		return " FROM search.words w CROSS JOIN message m ON m.key=w.rowid" // in this order: the index decides
	}
	return " FROM search.words w"
}

// bound adds a bound of the page.
func (f *finding) bound(id, relation string) error {
	if id == "" {
		return nil
	}
	// The message at a bound may have been deleted since the page was shown.
	u, err := ulid.ParseStrict(id)
	if err != nil || u[0] > 0x7f {
		return fmt.Errorf("sqlite: %q is no id", id)
	}
	f.where += " AND " + f.key + relation + "?"
	f.args = append(f.args, keyOf(u))
	return nil
}
