package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/postrider/postrider/inbox"
)

// finds returns how many messages a query finds.
func finds(t *testing.T, d *DB, query string) int {
	t.Helper()
	e, err := inbox.ParseQuery(query, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	page, err := d.Inbox().List(t.Context(), inbox.Query{Match: e})
	if err != nil || len(page.Entries) != page.Total {
		t.Fatalf("%s: %d of %d, %v", query, len(page.Entries), page.Total, err)
	}
	return page.Total
}

// keepWords keeps and indexes a message of one word, and returns its key.
func keepWords(t *testing.T, d *DB, word string) int64 {
	t.Helper()
	id, err := d.Inbox().Add(t.Context(), &inbox.Arrival{Received: time.UnixMilli(1)}, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Inbox().Index(t.Context(), []inbox.Indexed{{ID: id, Words: inbox.Words{Body: word}}}); err != nil {
		t.Fatal(err)
	}
	key, _ := d.key(id)
	return key
}

// What a crash has left in the index of messages that are gone is taken out, and nobody
// who gets their places is found by their words.
func TestRollWithoutThoseGone(t *testing.T) {
	dir := t.TempDir()
	for _, gone := range [][]int{{1}, {0, 3, 5}, {4, 5}, {0, 1, 2, 3, 4, 5}} {
		dir := filepath.Join(dir, fmt.Sprint(gone))
		d, err := Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		d.SetShardSize(4)
		var keys []int64
		for i := range 6 {
			keys = append(keys, keepWords(t, d, fmt.Sprintf("word%d", i)))
		}
		d.Close()
		c, err := connect(t.Context(), filepath.Join(dir, fileName))
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range gone {
			change(t, c, "DELETE FROM message WHERE key=?", keys[i])
		}
		c.Close()
		if d, err = Open(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		keepWords(t, d, "another")
		keepWords(t, d, "other")
		for i := range 6 {
			want := 1
			if slices.Contains(gone, i) {
				want = 0
			}
			if got := finds(t, d, fmt.Sprintf("word%d", i)); got != want {
				t.Errorf("without %v: word%d finds %d, want %d", gone, i, got, want)
			}
		}
		left := 8 - len(gone)
		if another, unread := finds(t, d, "another"), finds(t, d, "is:unread"); another != 1 || unread != left {
			t.Errorf("without %v: another finds %d, is:unread %d; want 1 and %d", gone, another, unread, left)
		}
		if all, err := d.search.placed(); err != nil || len(all) != left {
			t.Errorf("without %v: %d have places (%v), want %d", gone, len(all), err, left)
		}
		d.Close()
	}
}

// An index whose places are nearly used up is made anew, with the first ones.
func TestPlacesUsedUp(t *testing.T) {
	for last, left := range map[int64]int{maxPlace: 0, maxPlace + 1: 1} {
		dir := t.TempDir()
		d, err := Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		key := keepWords(t, d, "word")
		d.Close()
		c, err := connect(t.Context(), filepath.Join(dir, searchName))
		if err != nil {
			t.Fatal(err)
		}
		change(t, c, "UPDATE placed SET place=? WHERE key=?", last, key)
		c.Close()
		if d, err = Open(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		if list, err := d.Inbox().Unindexed(t.Context(), 10); err != nil || len(list) != left {
			t.Errorf("up to place %d: %d are to be indexed (%v), want %d", last, len(list), err, left)
		}
		d.Close()
	}
}

// The keys of messages that are gone do not stay in memory for ever, and those that are
// left keep their places.
func TestRollForgets(t *testing.T) {
	r := &roll{}
	r.clear()
	const n = 3 * shardSize
	for key := range int64(n) {
		r.follow([]note{{key + 1, hereSet, true}})
		if key%100 != 0 {
			r.follow([]note{{key + 1, hereSet, false}})
		}
	}
	if got := len(r.keys); got > n/100+shardSize+n/100+1 {
		t.Errorf("%d keys are kept of %d messages", got, n/100+1)
	}
	for key := int64(1); key <= n; key += 100 {
		if list := r.placed([]int64{key, key + 1}); len(list) != 1 || list[0].place != place(key) || r.key(place(key)) != key {
			t.Fatalf("message %d is %v", key, list)
		}
	}
	r.follow([]note{{0, hereSet, false}})
	if _, some := r.oldest(); some || len(r.keys) > 0 || len(r.placed([]int64{1})) > 0 {
		t.Errorf("after all are gone: %d keys, %v", len(r.keys), some)
	}
}

// What is asked for again is kept, what is not makes room, and all of it is bounded.
func TestAnswers(t *testing.T) {
	var a answers
	large := strings.Repeat("x", maxAnswers/20)
	question := func(i int) string { return fmt.Sprint(i) + large }
	for i := range 100 {
		a.keep(question(i), roaring.BitmapOf(place(i)))
		if got := a.get(question(0)); got == nil || !got.Contains(0) {
			t.Fatalf("the one that is asked for each time is gone after %d", i)
		}
		if got := a.get(question(i)); got == nil || !got.Contains(place(i)) {
			t.Fatalf("answer %d is gone at once", i)
		}
	}
	if a.get(question(50)) != nil || len(a.newest)+len(a.old) > 20 {
		t.Errorf("%d answers of a twentieth of the room each are kept", len(a.newest)+len(a.old))
	}
	if a.forget(); a.get(question(0)) != nil {
		t.Error("an answer is there after all were forgotten")
	}
}

// What is common is asked for no further than the first of it, what is rare in each shard
// as a whole, which is kept of those that are full, unless it is of a small part of one.
func TestWhichAnswersAreKept(t *testing.T) {
	d, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.SetShardSize(8)
	var ids []string
	for i := range 20 {
		words := "common"
		if i%3 == 0 {
			words += " third"
		}
		ids = append(ids, d.id(keepWords(t, d, words)))
	}
	tag := func(name string, of ...string) {
		if _, err := d.Inbox().Update(t.Context(), inbox.Change{Tag: []string{name}}, of...); err != nil {
			t.Fatal(err)
		}
	}
	tag("near", ids[4], ids[5])
	tag("far", ids[4], ids[6])
	tag("old", ids[:13]...)
	tag("most", ids[:19]...)
	tag("gaps", ids[8], ids[9], ids[10], ids[12], ids[15])
	tag("half", ids[8], ids[9], ids[10], ids[15])
	for _, c := range []struct {
		query  string
		before int // the message that is not looked at any more
		n      int
		want   []int
		kept   int
	}{
		{"common", 20, 6, []int{19, 18, 17, 16, 15, 14}, 0},
		{"tag:most common", 20, 1, []int{18}, 0},
		{"tag:half common", 16, 9, []int{15, 10, 9, 8}, 1},
		{"tag:gaps common", 16, 2, []int{15, 12}, 0},
		{"third", 20, 3, []int{18, 15, 12}, 0},
		{"nothing", 20, 3, nil, 2},
		{"tag:near common", 20, 3, []int{5, 4}, 0},
		{"tag:far common", 20, 3, []int{6, 4}, 1},
		{"common (tag:far OR third)", 20, 2, []int{18, 15}, 4},
	} {
		d.search.answers.forget()
		e, err := inbox.ParseQuery(c.query, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		s := (*inboxStore)(d)
		in := span{}
		if c.before < len(ids) {
			in.to, _ = d.key(ids[c.before])
		}
		keys, err := s.keys(t.Context(), s.find(e), in, c.n)
		var got []int
		for _, key := range keys {
			got = append(got, slices.Index(ids, d.id(key)))
		}
		if kept := len(d.search.answers.newest); err != nil || !slices.Equal(got, c.want) || kept != c.kept {
			t.Errorf("%s finds %v (%v), %d answers are kept; want %v and %d", c.query, got, err, kept, c.want, c.kept)
		}
	}
}

// Tags are counted as they stand.
func TestTagsCounted(t *testing.T) {
	d, err := Open(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var ids []string
	for range 3 {
		ids = append(ids, d.id(keepWords(t, d, "x")))
	}
	no := false
	for _, c := range []struct {
		change inbox.Change
		ids    []string
		want   string
	}{
		{inbox.Change{Tag: []string{"B", "a"}}, ids, "[{a 3 3} {b 3 3}]"},
		{inbox.Change{Unread: &no}, ids[:2], "[{a 3 1} {b 3 1}]"},
		{inbox.Change{Untag: []string{"b"}}, ids[2:], "[{a 3 1} {b 2 0}]"},
		{inbox.Change{Unread: &no}, ids, "[{a 3 0} {b 2 0}]"},
		{inbox.Change{Untag: []string{"b"}}, ids, "[{a 3 0}]"},
	} {
		if _, err := d.Inbox().Update(t.Context(), c.change, c.ids...); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Inbox().Tags(t.Context()); err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("after %+v: %v (%v), want %s", c.change, got, err, c.want)
		}
	}
}
