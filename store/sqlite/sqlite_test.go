package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/store/sqlite"
	"github.com/postrider/postrider/store/storetest"
)

func open(t testing.TB, dir string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(context.Background(), dir)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return db
}

func TestInbox(t *testing.T) {
	storetest.TestInbox(t, func(t testing.TB, place string) storetest.Inbox {
		db := open(t, place)
		return storetest.Inbox{Store: db.Inbox(), Close: db.Close}
	})
}

func arrival() *inbox.Arrival {
	return &inbox.Arrival{Received: time.UnixMilli(1), Envelope: *smtp.NewEnvelope("ann@example.com", "bob@example.net")}
}

// noise returns octets that no packing makes shorter.
func noise(size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(b)
	return b
}

func add(t testing.TB, db *sqlite.DB, size int) string {
	t.Helper()
	id, err := db.Inbox().Add(context.Background(), arrival(), bytes.NewReader(noise(size)))
	if err != nil {
		t.Fatalf("Add: %v", err)
	}
	return id
}

func content(t testing.TB, db *sqlite.DB, id string) []byte {
	t.Helper()
	b, err := db.Inbox().Open(context.Background(), id)
	if err != nil {
		t.Fatalf("Open(%s): %v", id, err)
	}
	defer b.Close()
	got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil {
		t.Fatalf("reading %s: %v", id, err)
	}
	return got
}

func bodies(t testing.TB, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "bodies"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Names with what means something in a URI.
func TestOpenOddNames(t *testing.T) {
	for _, name := range []string{"a b", "what?", "50%25", "a#b", "ü", "a/b/c"} {
		dir := filepath.Join(t.TempDir(), name)
		db := open(t, dir)
		id := add(t, db, 10)
		db.Close()
		if _, err := os.Stat(filepath.Join(dir, "postrider.db")); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := open(t, dir).Inbox().Entry(t.Context(), id); err != nil {
			t.Errorf("%q, opened again: %v", name, err)
		}
	}
}

func TestOpenPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	db := open(t, dir)
	add(t, db, 2<<20)
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v: others can read it", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenTwice(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := sqlite.Open(t.Context(), dir)
	if !errors.Is(err, sqlite.ErrLocked) {
		t.Errorf("Open of an open directory: %v, want ErrLocked", err)
	}
}

// What cannot be ours is refused, and not a byte of it is changed.
func TestOpenRefuses(t *testing.T) {
	ours := func(t *testing.T, dir string) {
		db := open(t, dir)
		for range 100 {
			add(t, db, 3000)
		}
		db.Close()
	}
	patch := func(at int64, b string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			ours(t, dir)
			f, err := os.OpenFile(filepath.Join(dir, "postrider.db"), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte(b), at); err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func(content string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "postrider.db"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string)
		want error
	}{
		// The offsets are those of the file format's header.
		{"newer", patch(60, "\x00\x00\x00\x63"), sqlite.ErrNewer},
		{"another application", patch(68, "\x00\x00\x00\x63"), sqlite.ErrForeign},
		{"no application", patch(68, "\x00\x00\x00\x00"), sqlite.ErrForeign},
		{"unreleased", patch(60, "\x00\x00\x00\x00"), sqlite.ErrCorrupt},
		{"first page torn", patch(100, strings.Repeat("\xff", 3000)), sqlite.ErrCorrupt},
		{"text", write("Dear Bob,\n" + strings.Repeat("this is no database\n", 100)), sqlite.ErrForeign},
		{"short", write("SQLite format 3\x00"), sqlite.ErrForeign},
		{"emptied", func(t *testing.T, dir string) {
			db := open(t, dir)
			add(t, db, 2<<20)
			db.Close()
			write("")(t, dir)
		}, sqlite.ErrCorrupt},
		{"gone", func(t *testing.T, dir string) {
			db := open(t, dir)
			add(t, db, 2<<20)
			db.Close()
			os.Remove(filepath.Join(dir, "postrider.db"))
		}, sqlite.ErrCorrupt},
		{"emptied of small ones", func(t *testing.T, dir string) { ours(t, dir); write("")(t, dir) }, sqlite.ErrCorrupt},
		{"gone with small ones", func(t *testing.T, dir string) { ours(t, dir); os.Remove(filepath.Join(dir, "postrider.db")) }, sqlite.ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			c.make(t, dir)
			before, _ := os.ReadFile(filepath.Join(dir, "postrider.db"))
			files := 0
			if c.name == "emptied" || c.name == "gone" {
				files = 1
			}
			_, err := sqlite.Open(t.Context(), dir)
			if !errors.Is(err, c.want) {
				t.Fatalf("Open: %v, want %v", err, c.want)
			}
			if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, dir) {
				t.Errorf("the error is not one line with the directory: %q", text)
			}
			t.Log(strings.ReplaceAll(err.Error(), dir, "DIR"))
			after, _ := os.ReadFile(filepath.Join(dir, "postrider.db"))
			if !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
			if n := bodies(t, dir); n != files {
				t.Errorf("%d files in bodies, want %d", n, files)
			}
			// It is let go of: the lock does not stay.
			if _, err := sqlite.Open(t.Context(), dir); errors.Is(err, sqlite.ErrLocked) {
				t.Error("the directory stays locked")
			}
		})
	}
}

func TestOpenUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), filepath.Join(file, "data")); err == nil {
		t.Error("Open below a file: no error")
	}
}

// Files whose message was never acknowledged go when the database is opened.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	id := add(t, db, 2<<20)
	db.Close()
	for _, name := range []string{"leftover", "another"} {
		if err := os.WriteFile(filepath.Join(dir, "bodies", name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db = open(t, dir)
	if n := bodies(t, dir); n != 1 {
		t.Errorf("%d files are left, want 1", n)
	}
	b, err := db.Inbox().Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if _, err := db.Inbox().DeleteAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := bodies(t, dir); n != 0 {
		t.Errorf("%d files are left of nothing", n)
	}
}

func TestCloseTwice(t *testing.T) {
	db := open(t, t.TempDir())
	for range 2 {
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := db.Inbox().Add(t.Context(), arrival(), strings.NewReader("x")); !errors.Is(err, sqlite.ErrClosed) {
		t.Errorf("Add: %v, want ErrClosed", err)
	}
	if _, err := db.Inbox().Delete(t.Context(), "x"); !errors.Is(err, sqlite.ErrClosed) {
		t.Errorf("Delete: %v, want ErrClosed", err)
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		for _, callers := range []int{1, 20, 128} {
			b.Run(fmt.Sprintf("%dKB/%d", size>>10, callers), func(b *testing.B) { benchmarkAdd(b, size, callers) })
		}
	}
}

func benchmarkAdd(b *testing.B, size, callers int) {
	db := open(b, b.TempDir())
	store := db.Inbox()
	data := bytes.Repeat([]byte("It is a truth universally acknowledged,\r\n"), size/41+1)[:size]
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	work := make(chan struct{}, callers)
	failed := make(chan error, callers)
	for range callers {
		go func() {
			a := arrival()
			a.Envelope.Options.Size = int64(size)
			r := bytes.NewReader(nil)
			for range work {
				r.Reset(data)
				if _, err := store.Add(context.Background(), a, r); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	for range callers {
		if err := <-failed; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
