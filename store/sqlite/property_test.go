package sqlite_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/store/sqlite"
)

// What is found is what reading every message finds: by words, by what is known of
// messages, or by both, whichever shards they are in, how rare it is, from where a page
// begins, what has been changed or deleted since, and whether the database was opened anew.

// vocabulary has words that begin alike, are folded, or end as others do.
var vocabulary = []string{"order", "orders", "ordered", "border", "Ördnung", "hello", "HELLO", "hellos", "yes", "no", "a1b", "a1b2"}

// A kept message is what the slow way looks at.
type kept struct {
	id            string
	subject, body []string
	inbox         string
	unread        bool
	tags          []string
}

// arrived is when it came, in milliseconds since 1970.
func (m kept) arrived() int64 { return int64(ulid.MustParse(m.id).Time()) }

// drawWords draws the words of a part of a message.
func drawWords(t *rapid.T, name string) []string {
	return rapid.SliceOfN(rapid.SampledFrom(vocabulary), 0, 5).Draw(t, name)
}

// folded is how the index sees a word.
func folded(word string) string { return strings.ReplaceAll(strings.ToLower(word), "ö", "o") }

// begins tells whether words have those of a term one after the other, the last of
// which may go on; an end of a word counts where parts of words do.
func begins(words []string, t inbox.Term, parts bool) bool {
	want := strings.Fields(t.Text)
	open := !t.Quotes && len(want[len(want)-1]) >= 3
	for i := range len(words) - len(want) + 1 {
		if !slices.EqualFunc(want[:len(want)-1], words[i:i+len(want)-1], func(a, b string) bool { return folded(a) == folded(b) }) {
			continue
		}
		last, have := folded(want[len(want)-1]), folded(words[i+len(want)-1])
		if last == have || open && strings.HasPrefix(have, last) || open && parts && len(want) == 1 && strings.Contains(have, last) {
			return true
		}
	}
	return false
}

// slowly tells whether an expression holds of a message.
func slowly(e inbox.Expr, m kept) bool {
	return sqlite.Holds(e, func(t inbox.Term) bool {
		switch t.Field {
		case "tag":
			return slices.Contains(m.tags, t.Text)
		case "inbox":
			return strings.ToLower(m.inbox) == t.Text
		case "is":
			return map[string]bool{"unread": m.unread, "read": !m.unread, "tagged": len(m.tags) > 0}[t.Text]
		case "before":
			return m.arrived() < t.Time.UnixMilli()
		case "after":
			return m.arrived() >= t.Time.UnixMilli()
		case "id":
			return m.id == t.Text
		}
		subject, body := begins(m.subject, t, true), begins(m.body, t, false)
		return subject && t.Field != "body" || body && t.Field != "subject"
	})
}

// drawTerm draws a term: words, a beginning or a phrase, or what changes of messages.
func drawTerm(t *rapid.T, all []kept) inbox.Term {
	one := all[rapid.IntRange(0, len(all)-1).Draw(t, "one")]
	switch field := rapid.SampledFrom([]string{"", "", "subject", "body", "body", "tag", "is", "inbox", "before", "after", "id"}).Draw(t, "field"); field {
	case "tag":
		return inbox.Term{Field: field, Text: rapid.SampledFrom([]string{"many", "few", "none"}).Draw(t, "tag")}
	case "is":
		return inbox.Term{Field: field, Text: rapid.SampledFrom([]string{"unread", "read", "tagged"}).Draw(t, "is")}
	case "inbox":
		return inbox.Term{Field: field, Text: rapid.SampledFrom([]string{"shop", "other"}).Draw(t, "inbox")}
	case "before", "after":
		return inbox.Term{Field: field, Time: time.UnixMilli(one.arrived())}
	case "id":
		return inbox.Term{Field: field, Text: one.id}
	default:
		words := rapid.SliceOfN(rapid.SampledFrom(append(slices.Clone(vocabulary), "ord", "ORD", "hel", "nothing", "der", "a1")), 1, 2).Draw(t, "words")
		return inbox.Term{Field: field, Text: strings.Join(words, " "), Quotes: rapid.Bool().Draw(t, "quotes")}
	}
}

// drawTerms draws an expression of terms.
func drawTerms(t *rapid.T, all []kept, depth int) inbox.Expr {
	op := rapid.SampledFrom([]inbox.Op{inbox.Is, inbox.Not, inbox.And, inbox.Or}).Draw(t, "op")
	if depth == 0 || op == inbox.Is {
		return inbox.Expr{Op: inbox.Is, Term: drawTerm(t, all)}
	}
	n := 1
	if op != inbox.Not {
		n = rapid.IntRange(2, 3).Draw(t, "terms")
	}
	e := inbox.Expr{Op: op}
	for range n {
		e.Of = append(e.Of, drawTerms(t, all, depth-1))
	}
	return e
}

// A finder is a database and what is kept in it, oldest first.
type finder struct {
	dir string
	db  *sqlite.DB
	all []kept
}

// open opens the database, for the first time or once more.
func (f *finder) open(t interface{ Fatal(...any) }) {
	var err error
	if f.db != nil {
		err = f.db.Close()
	}
	if err == nil {
		f.db, err = sqlite.Open(context.Background(), f.dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.db.SetShardSize(12)
}

// add has some messages come and be indexed.
func (f *finder) add(t *rapid.T) {
	var list []inbox.Indexed
	for range rapid.IntRange(1, 9).Draw(t, "more") {
		a := arrival()
		a.Inbox = rapid.SampledFrom([]string{"", "Shop"}).Draw(t, "of")
		id, err := f.db.Inbox().Add(context.Background(), a, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		m := kept{id: id, subject: drawWords(t, "subject"), body: drawWords(t, "body"), inbox: a.Inbox, unread: true}
		f.all = append(f.all, m)
		list = append(list, inbox.Indexed{ID: id, Words: inbox.Words{Subject: strings.Join(m.subject, " "), Body: strings.Join(m.body, " ")}})
	}
	if err := f.db.Inbox().Index(context.Background(), list); err != nil {
		t.Fatal(err)
	}
}

// change has some messages be read, tagged, untagged or deleted, or the database opened.
func (f *finder) change(t *rapid.T) {
	var ids []string
	from := rapid.IntRange(0, len(f.all)-1).Draw(t, "first")
	to := min(len(f.all), from+rapid.IntRange(1, 30).Draw(t, "some"))
	for _, m := range f.all[from:to] {
		ids = append(ids, m.id)
	}
	no, yes := false, true
	var err error
	update := func(c inbox.Change, apply func(m *kept)) {
		_, err = f.db.Inbox().Update(context.Background(), c, ids...)
		for i := from; i < to; i++ {
			apply(&f.all[i])
		}
	}
	switch rapid.SampledFrom([]string{"read", "unread", "many", "few", "untag", "delete", "open"}).Draw(t, "change") {
	case "read":
		update(inbox.Change{Unread: &no}, func(m *kept) { m.unread = false })
	case "unread":
		update(inbox.Change{Unread: &yes}, func(m *kept) { m.unread = true })
	case "many":
		update(inbox.Change{Tag: []string{"Many"}}, func(m *kept) {
			if !slices.Contains(m.tags, "many") {
				m.tags = append(slices.Clip(m.tags), "many")
			}
		})
	case "few":
		ids, to = ids[:1], from+1
		update(inbox.Change{Tags: &[]string{"few"}}, func(m *kept) { m.tags = []string{"few"} })
	case "untag":
		update(inbox.Change{Untag: []string{"many"}}, func(m *kept) {
			m.tags = slices.DeleteFunc(slices.Clone(m.tags), func(name string) bool { return name == "many" })
		})
	case "delete":
		ids, to = ids[:min(3, len(ids))], min(to, from+3)
		_, err = f.db.Inbox().Delete(context.Background(), ids...)
		f.all = slices.Delete(f.all, from, to)
	case "open":
		f.open(t)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestFindProperty(t *testing.T) {
	f := &finder{dir: t.TempDir()}
	f.open(t)
	defer func() { f.db.Close() }()
	rapid.Check(t, func(t *rapid.T) {
		// Some more come, and are indexed, before each search.
		if len(f.all) < 120 {
			f.add(t)
		}
		if rapid.Bool().Draw(t, "changes") {
			f.change(t)
		}
		if len(f.all) == 0 {
			return
		}
		all := f.all
		q := inbox.Query{Match: drawTerms(t, all, 2), Limit: rapid.IntRange(1, 30).Draw(t, "limit"), OldestFirst: rapid.Bool().Draw(t, "oldest")}
		from, to := 0, len(all)
		if rapid.Bool().Draw(t, "after") {
			from = rapid.IntRange(0, len(all)-1).Draw(t, "from") + 1
			q.After = all[from-1].id
		}
		if rapid.Bool().Draw(t, "before") {
			to = rapid.IntRange(0, len(all)-1).Draw(t, "to")
			q.Before = all[to].id
		}
		total, want := 0, []string{}
		for i, m := range all {
			if slowly(q.Match, m) {
				if total++; i >= from && i < to {
					want = append(want, m.id)
				}
			}
		}
		if !q.OldestFirst {
			slices.Reverse(want)
		}
		page, err := f.db.Inbox().List(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, e := range page.Entries {
			got = append(got, e.ID)
		}
		if first := want[:min(q.Limit, len(want))]; !slices.Equal(got, first) || page.Total != total || page.More != (len(want) > q.Limit) {
			t.Fatalf("%+v finds %v of %d, more %v; read one by one: %v of %d, more %v", q, got, page.Total, page.More, first, total, len(want) > q.Limit)
		}
	})
}
