package sqlite_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/store/sqlite"
)

// What the index finds is what reading every message finds, whichever shards it is
// in, how rare it is, and from where a page begins.

// vocabulary has words that begin alike, are folded, or end as others do.
var vocabulary = []string{"order", "orders", "ordered", "border", "Ördnung", "hello", "HELLO", "hellos", "yes", "no", "a1b", "a1b2"}

// A kept message is what the slow way looks at.
type kept struct {
	id            string
	subject, body []string
}

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
		subject, body := begins(m.subject, t, true), begins(m.body, t, false)
		return subject && t.Field != "body" || body && t.Field != "subject"
	})
}

// drawTerms draws an expression of words, of beginnings and of phrases.
func drawTerms(t *rapid.T, depth int) inbox.Expr {
	op := rapid.SampledFrom([]inbox.Op{inbox.Is, inbox.Not, inbox.And, inbox.Or}).Draw(t, "op")
	if depth == 0 || op == inbox.Is {
		words := rapid.SliceOfN(rapid.SampledFrom(append(slices.Clone(vocabulary), "ord", "ORD", "hel", "nothing", "der", "a1")), 1, 2).Draw(t, "words")
		return inbox.Expr{Op: inbox.Is, Term: inbox.Term{Field: rapid.SampledFrom([]string{"", "subject", "body"}).Draw(t, "field"),
			Text: strings.Join(words, " "), Quotes: rapid.Bool().Draw(t, "quotes")}}
	}
	n := 1
	if op != inbox.Not {
		n = 2
	}
	e := inbox.Expr{Op: op}
	for range n {
		e.Of = append(e.Of, drawTerms(t, depth-1))
	}
	return e
}

func TestFindProperty(t *testing.T) {
	db, err := sqlite.Open(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetShardSize(12)
	store := db.Inbox()
	var all []kept
	rapid.Check(t, func(t *rapid.T) {
		// Some more come, and are indexed, before each search.
		if len(all) < 120 {
			var list []inbox.Indexed
			for range rapid.IntRange(1, 9).Draw(t, "more") {
				id, err := store.Add(context.Background(), arrival(), strings.NewReader("x"))
				if err != nil {
					t.Fatal(err)
				}
				m := kept{id, drawWords(t, "subject"), drawWords(t, "body")}
				all = append(all, m)
				list = append(list, inbox.Indexed{ID: id, Words: inbox.Words{Subject: strings.Join(m.subject, " "), Body: strings.Join(m.body, " ")}})
			}
			if err := store.Index(context.Background(), list); err != nil {
				t.Fatal(err)
			}
		}
		q := inbox.Query{Match: drawTerms(t, 2), Limit: rapid.IntRange(1, 30).Draw(t, "limit"), OldestFirst: rapid.Bool().Draw(t, "oldest")}
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
		page, err := store.List(context.Background(), q)
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
