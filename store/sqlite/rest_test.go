package sqlite

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/inbox"
)

// What is damaged is never given out as a shorter message.
func TestShorterBody(t *testing.T) {
	ctx := context.Background()
	d, err := Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s := d.Inbox()
	var ids []string
	for _, size := range []int{100, 100, 5000, 2 << 20} {
		id, err := s.Add(ctx, &inbox.Arrival{Received: time.UnixMilli(1)}, strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	key := func(i int) int64 {
		key, err := d.key(ids[i])
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	c, err := connect(ctx, d.file())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	change(t, c, "DELETE FROM body WHERE key=?", key(0))
	change(t, c, "UPDATE body SET data=? WHERE key=?", d.packer.pack([]byte("short"), nil), key(1))
	change(t, c, "UPDATE body SET data=? WHERE key=?", []byte{1, 2, 3}, key(2))
	files, err := d.spool.files()
	if err != nil || len(files) != 1 {
		t.Fatalf("there are %v, %v", files, err)
	}
	for name := range files {
		if err := os.Truncate(filepath.Join(d.spool.dir, name), 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	for i, id := range ids {
		if b, err := s.Open(ctx, id); !errors.Is(err, ErrCorrupt) {
			t.Errorf("message %d: got %v, %v; want ErrCorrupt", i, b, err)
		}
	}
}

// Whoever reads while it is closed has an answer or ErrClosed, and does not hang.
func TestCloseWhileReading(t *testing.T) {
	ctx := context.Background()
	for range 5 {
		d, err := Open(ctx, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		s := d.Inbox()
		id, err := s.Add(ctx, &inbox.Arrival{Received: time.UnixMilli(1)}, strings.NewReader(strings.Repeat("text ", 100_000)))
		if err != nil {
			t.Fatal(err)
		}
		match, _ := inbox.ParseQuery("text", time.Now())
		var reading sync.WaitGroup
		begun := make(chan bool, 8)
		for range cap(begun) {
			reading.Go(func() {
				for n := 0; ; n++ {
					_, err := s.Open(ctx, id)
					if err == nil {
						_, err = s.List(ctx, inbox.Query{Match: match})
					}
					if err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Errorf("after %d readings: %v, want ErrClosed", n, err)
						}
						return
					}
					if n == 0 {
						begun <- true
					}
					runtime.Gosched() // of one processor a few would leave nothing to the others
				}
			})
		}
		for range cap(begun) {
			<-begun
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		reading.Wait()
	}
}

// That a commit waits for the disk is known from what was set, not from what was wished.
func TestSynchronousIsKnown(t *testing.T) {
	c, err := connect(context.Background(), filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w := &writer{conn: c}
	if err := c.exec("BEGIN"); err != nil {
		t.Fatal(err)
	}
	if err := w.synchronous(true); err == nil || w.lazy {
		t.Errorf("within a transaction: got %v, %v; want an error, and nothing changed", err, w.lazy)
	}
	if err := c.exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	for lazy, want := range map[bool]int64{true: 1, false: 2} {
		if err := w.synchronous(lazy); err != nil || w.lazy != lazy {
			t.Errorf("lazy %v: got %v, %v", lazy, w.lazy, err)
		}
		if got, err := c.integer("PRAGMA synchronous"); err != nil || got != want {
			t.Errorf("lazy %v: got synchronous %d, %v; want %d", lazy, got, err, want)
		}
	}
}

// What is deleted leaves no row behind, in any table.
func TestNothingLeft(t *testing.T) {
	ctx := context.Background()
	d, err := Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s := d.Inbox()
	for name, remove := range map[string]func(ids []string) (int, error){
		"Delete":    func(ids []string) (int, error) { return s.Delete(ctx, ids...) },
		"DeleteAll": func([]string) (int, error) { return s.DeleteAll(ctx) },
	} {
		var ids []string
		var list []inbox.Indexed
		for range 3 {
			id, err := s.Add(ctx, &inbox.Arrival{Received: time.UnixMilli(1), Session: "a\n<1 b"}, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			ids, list = append(ids, id), append(list, inbox.Indexed{ID: id})
		}
		if _, err := s.Update(ctx, inbox.Change{Tag: []string{"a", "b"}}, ids...); err != nil {
			t.Fatal(err)
		}
		list[2].Words.Subject = "word"
		if err := s.Index(ctx, list); err != nil {
			t.Fatal(err)
		}
		// Of the newest, while it is there, the words stay.
		if name == "Delete" {
			if n, err := s.Delete(ctx, ids[:2]...); n != 2 || err != nil {
				t.Errorf("Delete = %d, %v; want 2", n, err)
			}
			if page, err := s.List(ctx, inbox.Query{Match: inbox.Expr{Op: inbox.Is, Term: inbox.Term{Text: "word"}}}); err != nil || page.Total != 1 {
				t.Errorf("of the one that is left: %+v, %v; want it to have the word", page, err)
			}
			ids = ids[2:]
		}
		if n, err := remove(ids); n != map[string]int{"Delete": 1, "DeleteAll": 3}[name] || err != nil {
			t.Errorf("%s = %d, %v; want all", name, n, err)
		}
		for _, table := range []string{"message", "body", "summary", "search.placed"} {
			n := 0
			if err := d.read.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil || n != 0 {
				t.Errorf("after %s the table %s has %d rows (%v), want none", name, table, n, err)
			}
		}
	}
}

// The lines of a session do not count towards what a message may have to lie in the
// database.
func TestSpoolLines(t *testing.T) {
	s := newSpool(t.TempDir())
	lines := strings.Repeat("l", maxLines)
	for size, inFile := range map[int]bool{0: false, 5000: false, inline: false, inline + 1: true} {
		msg := bytes.Repeat([]byte("m"), size)
		b, err := s.receive(lines, bytes.NewReader(msg), 0)
		if err != nil {
			t.Fatal(err)
		}
		if b.size != int64(size) || b.lines != len(lines) || (b.file != "") != inFile || !strings.HasPrefix(string(b.data), lines) {
			t.Errorf("%d octets: size %d, lines %d, file %q; want a file: %v", size, b.size, b.lines, b.file, inFile)
		}
		if !inFile && !bytes.Equal(b.data[b.lines:], msg) {
			t.Errorf("%d octets: others come behind the lines", size)
		}
		s.release(b)
	}
}

// Octets that are no UTF-8 part words, and characters that are words stand alone.
func TestSpaced(t *testing.T) {
	for in, want := range map[string]string{"plain": "plain", "a\xffb": "a b", "a会議b": "a 会  議 b", "": ""} {
		if got := spaced(in); got != want {
			t.Errorf("spaced(%q) = %q, want %q", in, got, want)
		}
	}
}

// What the newest shards have not and an older one has often is taken for rare when it
// comes to that one: the page has the newest of it all the same.
func TestRareUntilOlder(t *testing.T) {
	ctx := context.Background()
	d, err := Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.SetShardSize(10)
	s := d.Inbox()
	var ids []string
	for i := range 40 {
		id, err := s.Add(ctx, &inbox.Arrival{Received: time.UnixMilli(1)}, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		words := "order"
		if i < 20 {
			words = "orders hello"
		}
		if err := s.Index(ctx, []inbox.Indexed{{ID: id, Words: inbox.Words{Body: words}}}); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string][]string{
		"hello":                     {ids[19], ids[18], ids[17]},
		"order -nothing -\"order\"": {ids[19], ids[18], ids[17]},
	} {
		match, err := inbox.ParseQuery(query, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		page, err := s.List(ctx, inbox.Query{Match: match, Limit: 3, Before: ids[39]})
		var got []string
		for _, e := range page.Entries {
			got = append(got, e.ID)
		}
		if err != nil || !slices.Equal(got, want) || !page.More {
			t.Errorf("%s finds %q, more: %v (%v); want %q and more", query, got, page.More, err, want)
		}
	}
}

// What fails half-way leaves no transaction open: the index goes on.
func TestIndexGoesOn(t *testing.T) {
	d, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.search.mu.Lock()
	defer d.search.mu.Unlock()
	failed := errors.New("half-way")
	if err := d.search.within(func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("within = %v, want %v", err, failed)
	}
	if err := d.search.within(func() error { return nil }); err != nil {
		t.Errorf("the next one: %v", err)
	}
}
