package sqlite_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/store/sqlite"
	"github.com/postrider/postrider/store/storetest"
)

// fill keeps and indexes n messages of words that differ in how common they are.
func fill(t testing.TB, store inbox.Store, n int) []string {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	common := rand.NewZipf(r, 1.1, 8, 5000)
	words := func(n int) string {
		var b strings.Builder
		for range n {
			fmt.Fprintf(&b, "w%dx ", common.Uint64())
		}
		return b.String()
	}
	var ids []string
	for len(ids) < n {
		var list []inbox.Indexed
		batch := make([]string, min(500, n-len(ids)))
		var clients sync.WaitGroup
		for i := range batch {
			clients.Go(func() { // they share their syncs
				var err error
				if batch[i], err = store.Add(context.Background(), arrival(), strings.NewReader("x")); err != nil {
					t.Error(err)
				}
			})
		}
		clients.Wait()
		slices.Sort(batch)
		for _, id := range batch {
			ids = append(ids, id)
			list = append(list, inbox.Indexed{ID: id, Size: r.Int64N(1 << 20), Words: inbox.Words{
				From: []mail.Address{{Name: words(1), Address: "ann@example.com"}}, Subject: words(4), Body: "hello " + words(40),
			}})
		}
		if err := store.Index(context.Background(), list); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

// The contract holds however many shards there are.
func TestInboxInShards(t *testing.T) {
	storetest.TestInbox(t, func(t testing.TB, place string) storetest.Inbox {
		db, err := sqlite.Open(context.Background(), place)
		if err != nil {
			t.Fatal(err)
		}
		db.SetShardSize(2)
		return storetest.Inbox{Store: db.Inbox(), Close: db.Close}
	})
}

// Shards whose messages are gone go too, what was indexed once is indexed anew in
// its place, and all of it is there after the next start.
func TestShards(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	db.SetShardSize(10)
	ids := fill(t, db.Inbox(), 95)
	found := func(query string) int {
		t.Helper()
		e, err := inbox.ParseQuery(query, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		page, err := db.Inbox().List(t.Context(), inbox.Query{Match: e})
		if err != nil {
			t.Fatal(err)
		}
		return page.Total
	}
	if got := db.Shards(); got != 10 || found("hello") != 95 {
		t.Errorf("%d shards, in which %d are found; want 10 with 95", got, found("hello"))
	}
	// Of a shard in the middle, and one that is in no shard yet.
	if err := db.Inbox().Index(t.Context(), []inbox.Indexed{{ID: ids[35], Words: inbox.Words{Subject: "changed"}}, {ID: add(t, db, 10), Words: inbox.Words{Subject: "changed"}}}); err != nil {
		t.Fatal(err)
	}
	if found("changed") != 2 || found("hello") != 94 {
		t.Errorf("changed finds %d, hello %d; want 2 and 94", found("changed"), found("hello"))
	}
	if _, err := db.Inbox().Delete(t.Context(), ids[:25]...); err != nil {
		t.Fatal(err)
	}
	if got := db.Shards(); got != 8 || found("hello") != 69 {
		t.Errorf("after deleting the oldest 25: %d shards, in which %d are found; want 8 with 69", got, found("hello"))
	}
	// The last of a shard, and no more.
	if _, err := db.Inbox().Delete(t.Context(), ids[25:30]...); err != nil {
		t.Fatal(err)
	}
	if got := db.Shards(); got != 7 || found("hello") != 64 {
		t.Errorf("after deleting the oldest 30: %d shards, in which %d are found; want 7 with 64", got, found("hello"))
	}
	db.Close()
	db = open(t, dir)
	if got := db.Shards(); got != 7 || found("hello") != 64 {
		t.Errorf("opened again: %d shards, in which %d are found; want 7 with 64", got, found("hello"))
	}
	if _, err := db.Inbox().DeleteAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := db.Shards(); got != 1 || found("hello") != 0 {
		t.Errorf("after deleting all: %d shards, in which %d are found; want an empty one", got, found("hello"))
	}
}

// Every size is on its side of every limit.
func TestFindSizes(t *testing.T) {
	store := open(t, t.TempDir()).Inbox()
	sizes := []int64{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 100, 511, 512, 513, 1000, 4095, 4096, 123_456, 1<<20 - 1, 1 << 20, 1<<20 + 1, 1 << 40}
	var list []inbox.Indexed
	for _, size := range sizes {
		id, err := store.Add(t.Context(), arrival(), strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, inbox.Indexed{ID: id, Size: size})
	}
	if err := store.Index(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	for i, size := range sizes {
		for query, want := range map[string]int{"larger": len(sizes) - i - 1, "smaller": i} {
			e, err := inbox.ParseQuery(fmt.Sprintf("%s:%d", query, size), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if page, err := store.List(t.Context(), inbox.Query{Match: e}); err != nil || page.Total != want {
				t.Errorf("%s:%d finds %d (%v), want %d", query, size, page.Total, err, want)
			}
		}
	}
}

// What is deleted is given back to the file system while the store goes on.
func TestShorten(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	store := db.Inbox()
	var ids []string
	var mu sync.Mutex
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 20 {
				id := add(t, db, 500_000)
				mu.Lock()
				ids = append(ids, id)
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	if n, err := store.Delete(t.Context(), ids[:150]...); n != 150 || err != nil {
		t.Fatalf("Delete = %d, %v", n, err)
	}
	for i := 0; ; i++ {
		if free, pages, err := sqlite.Pages(dir); err != nil {
			t.Fatal(err)
		} else if free < 2500 {
			if pages > 6_000 {
				t.Errorf("the database has %d pages, of which %d are free; 16 MB are kept", pages, free)
			}
			break
		}
		// Mail goes on arriving meanwhile; each gives the writer a moment to be idle.
		add(t, db, 100)
		if i == 5000 {
			t.Fatal("no pages were given back")
		}
	}
	for _, id := range ids[150:] {
		if b, err := store.Open(t.Context(), id); err != nil || b.Size() != 500_000 {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// An index that is damaged, gone or of another version is made anew from the
// messages; none of them is touched.
func TestSearchMadeAnew(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"gone":    os.Remove,
		"damaged": func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("no database", 1000)), 0o600) },
		"newer": func(path string) error {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte{0, 0, 0, 99}, 60) // user_version, in the file's header
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			db := open(t, dir)
			ids := fill(t, db.Inbox(), 10)
			db.Close()
			if err := spoil(filepath.Join(dir, "search.db")); err != nil {
				t.Fatal(err)
			}
			db = open(t, dir)
			left, err := db.Inbox().Unindexed(t.Context(), 100)
			if err != nil || len(left) != len(ids) || left[0].ID != ids[0] {
				t.Errorf("%d messages are to be indexed (%v), want %d", len(left), err, len(ids))
			}
		})
	}
}

// Whatever the language takes, the database takes too.
func FuzzFind(f *testing.F) {
	for _, s := range []string{`a "b c" OR -d`, `header:x="y`, `from:NEAR(a)`, `"a"*`, "a:b^c", "larger:1M OR tag:x -is:read", `body:"{a} : b"`, "id:x -after:2h", "\uE001x", "inbox:' header:a="} {
		f.Add(s)
	}
	db, err := sqlite.Open(context.Background(), f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	fill(f, db.Inbox(), 20)
	f.Fuzz(func(t *testing.T, query string) {
		e, err := inbox.ParseQuery(query, time.Now())
		if err != nil {
			return
		}
		found, err := db.Inbox().List(context.Background(), inbox.Query{Match: e})
		if err != nil {
			t.Fatalf("%q: %v", query, err)
		}
		// What is excluded is the rest.
		others, err := db.Inbox().List(context.Background(), inbox.Query{Match: inbox.Expr{Op: inbox.Not, Of: []inbox.Expr{e}}})
		if err != nil || e.Op != inbox.Every && found.Total+others.Total != 20 {
			t.Fatalf("%q finds %d, and what it does not is %d (%v), of 20", query, found.Total, others.Total, err)
		}
	})
}
