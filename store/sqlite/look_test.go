package sqlite_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/inbox"
)

// What few have, many have, and all have, in each part of an inbox, beside each other
// and beside words: whichever way it is looked for, what is found is what a reader of
// all messages would find.
func TestRowsBesideEachOther(t *testing.T) {
	const n = 2600 // in two shards, in which more have something than is gathered
	db := open(t, t.TempDir())
	db.SetShardSize(1300)
	store, ctx := db.Inbox(), context.Background()
	ids := make([]string, n)
	var clients sync.WaitGroup
	for from := range 100 {
		clients.Go(func() {
			for i := from; i < n; i += 100 {
				var err error
				if ids[i], err = store.Add(ctx, arrival(), strings.NewReader("x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
	slices.Sort(ids)
	has := map[string]func(i int) bool{
		"every": func(i int) bool { return true }, "most": func(i int) bool { return i%10 != 3 }, "even": func(i int) bool { return i%2 == 0 },
		"late": func(i int) bool { return i >= n/2 }, "few": func(i int) bool { return i%100 == 7 }, "none": func(int) bool { return false },
		"read": func(i int) bool { return i < 2 || i == n-1 }, "third": func(i int) bool { return i%3 == 0 }, "rare": func(i int) bool { return i%500 == 0 },
	}
	which := func(name string) (some []string) {
		for i, id := range ids {
			if has[name](i) {
				some = append(some, id)
			}
		}
		return some
	}
	for _, tag := range []string{"every", "most", "even", "late", "few"} {
		if _, err := store.Update(ctx, inbox.Change{Tag: []string{tag}}, which(tag)...); err != nil {
			t.Fatal(err)
		}
	}
	unread := false
	if _, err := store.Update(ctx, inbox.Change{Unread: &unread}, which("read")...); err != nil {
		t.Fatal(err)
	}
	var list []inbox.Indexed
	for i, id := range ids {
		x := inbox.Indexed{ID: id, Words: inbox.Words{Body: "one two three"}}
		for _, word := range []string{"third", "rare"} {
			if has[word](i) {
				x.Words.Body += " " + word
			}
		}
		list = append(list, x)
	}
	for batch := range slices.Chunk(list, 500) {
		if err := store.Index(ctx, batch); err != nil {
			t.Fatal(err)
		}
	}
	// Each pair of what can be asked, in each form, beside a word that many or few have.
	sets := []string{"tag:every", "tag:most", "tag:even", "tag:late", "tag:few", "tag:none", "is:read"}
	words := [][2]string{{"", "every"}, {"third", "third"}, {"rare", "rare"}, {`"one two"`, "every"}}
	forms := map[string]func(x, y bool) bool{
		"%s %s %s": func(x, y bool) bool { return x && y }, "%s -%s %s": func(x, y bool) bool { return x && !y }, "-%s -%s %s": func(x, y bool) bool { return !x && !y },
		"(%s OR %s) %s": func(x, y bool) bool { return x || y }, "-(%s %s) %s": func(x, y bool) bool { return !(x && y) }, "(%s OR -%s) %s": func(x, y bool) bool { return x || !y },
	}
	asked := 0
	for i, a := range sets {
		for _, b := range sets[i:] {
			for form, holds := range forms {
				word := words[asked%len(words)]
				asked++
				var want []string
				for i, id := range ids {
					if has[word[1]](i) && holds(has[a[strings.Index(a, ":")+1:]](i), has[b[strings.Index(b, ":")+1:]](i)) {
						want = append(want, id)
					}
				}
				looksFor(t, store, fmt.Sprintf(form, a, b, word[0]), want)
			}
		}
	}
}

// looksFor wants a query to find these messages, from either end and in the middle.
func looksFor(t *testing.T, store inbox.Store, query string, want []string) {
	t.Helper()
	e, err := inbox.ParseQuery(query, time.Now())
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	ask := func(q inbox.Query) *inbox.Page {
		t.Helper()
		q.Match, q.Limit = e, 20
		page, err := store.List(context.Background(), q)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return page
	}
	is := func(where string, page *inbox.Page, want []string) {
		t.Helper()
		var got []string
		for _, x := range page.Entries {
			got = append(got, x.ID)
		}
		if want := want[:min(20, len(want))]; !slices.Equal(got, want) {
			t.Errorf("%s, %s: finds %d, want %d:\n%v\n%v", query, where, len(got), len(want), got, want)
		}
	}
	newest := slices.Clone(want)
	slices.Reverse(newest)
	page := ask(inbox.Query{})
	is("the newest", page, newest)
	if page.Total != min(len(want), inbox.MaxTotal) {
		t.Errorf("%s: %d in all, want %d", query, page.Total, min(len(want), inbox.MaxTotal))
	}
	is("the oldest", ask(inbox.Query{OldestFirst: true}), want)
	if len(want) > 2 {
		middle := len(want) / 2
		is("before one", ask(inbox.Query{Before: want[middle]}), newest[len(want)-middle:])
		is("after one", ask(inbox.Query{After: want[middle], OldestFirst: true}), want[middle+1:])
	}
}
