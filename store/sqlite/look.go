package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"strings"
)

// One shard looked at: the query that finds its keys. All that is looked through has
// the order of keys: what the index of words finds, rows that have a tag, the unread,
// the messages themselves. What must hold of few rows is gathered and drives the rest;
// what holds of many is gone through beside it, as lists are merged, or asked of what
// the words have found. How many there are is another thing in each shard: what is read
// is mostly old, and what is unread is new.

// fewRows are gathered. It takes as long as finding some hundred messages by words.
const fewRows = 1024

// A look is a condition within a span of one shard.
type look struct {
	condition
	shard
	within span
	few    []bool // for each of rows
}

// at looks how many of each rows there are, and between which keys: where there are
// none, nothing else is asked.
func (l *look) at(ctx context.Context, tx *sql.Tx) error {
	for _, r := range l.rows {
		rows := r.from + " AND " + l.within.sql("key")
		var n int
		var first, last sql.NullInt64
		err := tx.QueryRowContext(ctx, "SELECT count(*), min(key), (SELECT max(key) FROM "+rows+") FROM (SELECT key FROM "+rows+" ORDER BY key LIMIT ?)",
			slices.Concat(r.args, r.args, []any{fewRows + 1})...).Scan(&n, &first, &last)
		if err != nil {
			return err
		}
		l.few = append(l.few, n <= fewRows)
		l.within = l.within.both(span{max(first.Int64, 1), last.Int64 + 1}) // of none that is there: from 1 up to 1
	}
	return nil
}

// empty tells that no key is within the span.
func (l *look) empty() bool { return l.within.to != 0 && l.within.from >= l.within.to }

// query makes the query, whose last argument is how many keys.
func (l *look) query(f finding) (query string, args []any) {
	from, key, in := "message m", "m.key", "m.key IN "
	var where, beside []string
	var besideArgs []any
	must := func(text string, its ...any) { where, args = append(where, text), append(args, its...) }
	merge := func(op string, r rows) {
		beside, besideArgs = append(beside, op+" SELECT key FROM "+r.from+" AND $span"), append(besideArgs, r.args...)
	}
	if !l.match.isNone() {
		// A plain column would have the index asked once for each of the keys in IN.
		from, key, in = "search.$words w", "w.rowid", "+w.rowid IN "
		must("w.$words MATCH ?", l.match.String())
	}
	must(l.within.sql(key))
	for i, r := range l.rows {
		switch {
		case l.few[i]:
			must(in+"(SELECT key FROM "+r.from+" AND $span)", r.args...)
		case !l.match.isNone():
			must(r.test, r.args...) // words may be rare
		default:
			merge("INTERSECT", r)
		}
	}
	for _, r := range l.except {
		merge("EXCEPT", r)
	}
	if l.sql != "" {
		must("("+strings.ReplaceAll(l.sql, "$key IN ", in)+")", l.args...)
	}
	all := strings.Join(where, " AND ")
	if !l.match.isNone() && (f.joined || strings.Contains(all, "m.")) {
		from += " CROSS JOIN message m ON m.key=w.rowid" // in this order: the index decides
	}
	query = "SELECT " + key + " FROM " + from + " WHERE " + all
	// Rows alone need no messages beside them.
	if first, ok := strings.CutPrefix(strings.Join(beside, " "), "INTERSECT "); ok && len(where) == 1 && l.match.isNone() {
		query = first
	} else if len(beside) > 0 {
		query += " " + strings.Join(beside, " ")
	}
	order := "DESC"
	if f.oldest {
		order = "ASC"
	}
	query += " ORDER BY 1 " + order + " LIMIT ?"
	return strings.NewReplacer("$words", l.table(), "$key", key, "$span", l.within.sql("key")).Replace(query), append(args, besideArgs...)
}
