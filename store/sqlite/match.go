package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync"

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

// A finding is a query that returns keys, of messages of which any condition holds.
type finding struct {
	any    []condition
	oldest bool // the oldest first
	rare   bool // all that there is will be read
	joined bool // of rows that are there: what was just deleted may still be in the index
}

// find makes a finding of an expression.
func (s *inboxStore) find(e inbox.Expr) (f finding) {
	for _, x := range alternatives(normal(e)) {
		f.any = append(f.any, s.compile(x))
	}
	return f
}

// keys returns up to n keys within a span.
func (s *inboxStore) keys(ctx context.Context, f finding, in span, n int) ([]int64, error) {
	var all []int64
	for _, c := range f.any {
		keys, err := s.conditionKeys(ctx, f, c, in, n)
		if err != nil || len(f.any) == 1 {
			return keys, err
		}
		all = append(all, keys...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if !f.oldest {
		slices.Reverse(all)
	}
	return all[:min(n, len(all))], nil
}

// conditionKeys returns up to n keys of which a condition holds, shard by shard, as
// few of them as it takes.
func (s *inboxStore) conditionKeys(ctx context.Context, f finding, c condition, in span, n int) ([]int64, error) {
	in = in.both(c.in)
	if c.match == "" && !strings.Contains(c.sql, "$words") {
		return s.shardKeys(ctx, f, c, shard{}, in, n)
	}
	s.search.reading.RLock()
	defer s.search.reading.RUnlock()
	parts := parts(s.search.shards, in)
	if !f.oldest {
		slices.Reverse(parts)
	}
	var keys []int64
	// The first shard mostly has enough. Where it has not, what is looked for is rare
	// and all of them will be asked, so that two are asked at a time.
	width, asked := 1, 0
	for ; len(parts) > 0 && len(keys) < n; width = 2 {
		now := parts[:min(width, len(parts))]
		parts = parts[len(now):]
		ask := s.shardKeys
		// The newest may be nearly empty yet, and to ask twice is dear: rare is what is
		// far from enough.
		if c.match != "" && asked > 0 && 16*len(keys)/asked < n-len(keys) {
			ask = s.rareKeys
		}
		asked += len(now)
		found, errs := make([][]int64, len(now)), make([]error, len(now))
		var asking sync.WaitGroup
		for i, p := range now {
			asking.Go(func() { found[i], errs[i] = ask(ctx, f, c, p.shard, p.span, n-len(keys)) })
		}
		asking.Wait()
		keys = slices.Concat(append([][]int64{keys}, found...)...)
		if err := errors.Join(errs...); err != nil {
			return keys, err
		}
	}
	return keys[:min(n, len(keys))], nil
}

// A part is what a shard has of a span.
type part struct {
	shard
	span
}

// parts returns the shards that have something of a span, in their order. What has
// not been indexed yet belongs to the newest, and to the oldest what was there before
// it.
func parts(shards []shard, in span) (list []part) {
	for i := range shards {
		// Only where they begin: how many messages they have is the indexer's to change.
		x := shard{first: shards[i].first}
		own := span{from: x.first}
		if i == 0 {
			own.from = 0
		}
		if i < len(shards)-1 {
			own.to = shards[i+1].first
		}
		if own = own.both(in); own.to == 0 || own.from < own.to {
			list = append(list, part{x, own})
		}
	}
	return list
}

// rareKeys does what shardKeys does where less than n keys are expected, so that all
// of what the shard has is gone through. Then a beginning is better made into words
// and the index read in ascending order, as its lists are written: what costs is not
// the first row but each. Where there are more after all it is asked once more.
func (s *inboxStore) rareKeys(ctx context.Context, f finding, c condition, x shard, in span, n int) ([]int64, error) {
	oldest := f.oldest
	f.oldest, f.rare = true, true
	keys, err := s.shardKeys(ctx, f, c, x, in, n+1)
	if err != nil {
		return nil, err
	}
	if len(keys) > n && !oldest {
		f.oldest, f.rare = false, false
		return s.shardKeys(ctx, f, c, x, in, n)
	}
	if !oldest {
		slices.Reverse(keys)
	}
	return keys[:min(n, len(keys))], nil
}

// shardKeys returns up to n keys of one shard.
func (s *inboxStore) shardKeys(ctx context.Context, f finding, c condition, x shard, in span, n int) ([]int64, error) {
	from, where, key := "message m", "", "m.key"
	var args []any
	if c.match != "" {
		// In this order: the index decides.
		from, key = "search.$words w", "w.rowid"
		if f.joined || strings.Contains(c.sql, "m.") {
			from += " CROSS JOIN message m ON m.key=w.rowid"
		}
		where, args = "w.$words MATCH ? AND ", []any{c.match}
	}
	where += in.sql(key)
	if c.sql != "" {
		sql := c.sql
		if c.match != "" {
			// A plain column would have the index asked once for each of the keys in IN.
			sql = strings.ReplaceAll(sql, "$key IN", "+w.rowid IN")
		}
		where += " AND (" + sql + ")"
		args = append(args, c.args...)
	}
	order := "DESC"
	if f.oldest {
		order = "ASC"
	}
	query := strings.NewReplacer("$words", x.table(), "$key", key, "$span", in.sql("key")).
		Replace("SELECT " + key + " FROM " + from + " WHERE " + where + " ORDER BY " + key + " " + order + " LIMIT ?")
	ask := s.read.QueryContext
	if f.rare {
		// What the words of a shard are must not change before it is asked for them.
		tx, err := s.read.BeginTx(ctx, nil)
		if err != nil {
			return nil, err
		}
		defer tx.Rollback() // nothing was written
		if args[0], err = x.words(ctx, tx, c.match); err != nil {
			return nil, err
		}
		ask = tx.QueryContext
	}
	rows, err := ask(ctx, query, append(args, n)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var keys []int64
	for rows.Next() {
		var key int64
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}
