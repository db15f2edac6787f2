package sqlite_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/store/sqlite"
)

// Whatever is done in whichever order, several at a time, the database has what a
// map would have; also as a process that is killed leaves it, and opened again.

// A modelled message is what must be kept of one.
type modelled struct {
	size   int
	unread bool
	tags   []string
}

// A model is a database and what must be in it.
type model struct {
	db   *sqlite.DB
	dir  string
	mu   sync.Mutex
	want map[string]modelled
}

// step does one thing to both; several may be under way, each with messages of its
// own.
func (m *model) step(t *rapid.T, what string, size int, ids []string) {
	ctx, store := context.Background(), m.db.Inbox()
	var err error
	n := len(ids)
	change := func(c inbox.Change, apply func(*modelled)) {
		n, err = store.Update(ctx, c, ids...)
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, id := range ids {
			x := m.want[id]
			apply(&x)
			m.want[id] = x
		}
	}
	no, yes := false, true
	switch what {
	case "add":
		var id string
		id, err = store.Add(ctx, arrival(), strings.NewReader(strings.Repeat("x", size)))
		m.mu.Lock()
		m.want[id] = modelled{size: size, unread: true}
		m.mu.Unlock()
	case "read":
		change(inbox.Change{Unread: &no}, func(x *modelled) { x.unread = false })
	case "unread":
		change(inbox.Change{Unread: &yes}, func(x *modelled) { x.unread = true })
	case "tag":
		change(inbox.Change{Tags: &[]string{"a", "b"}}, func(x *modelled) { x.tags = []string{"a", "b"} })
	case "untag":
		change(inbox.Change{Untag: []string{"a"}}, func(x *modelled) {
			x.tags = slices.DeleteFunc(slices.Clone(x.tags), func(s string) bool { return s == "a" })
		})
	case "delete":
		n, err = store.Delete(ctx, ids...)
		m.mu.Lock()
		for _, id := range ids {
			delete(m.want, id)
		}
		m.mu.Unlock()
	}
	if err != nil || n != len(ids) {
		t.Errorf("%s of %d: %d, %v", what, len(ids), n, err)
	}
}

// check compares a database with the model.
func (m *model) check(t *rapid.T, db *sqlite.DB, when string) {
	ctx, store := context.Background(), db.Inbox()
	page, err := store.List(ctx, inbox.Query{Limit: inbox.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	unread, size := 0, int64(0)
	for _, e := range page.Entries {
		x, there := m.want[e.ID]
		if !there || e.Size != int64(x.size) || e.Unread != x.unread || !slices.Equal(e.Tags, x.tags) {
			t.Fatalf("%s %s has %d octets, unread %v, tags %q; want %+v (there: %v)", when, e.ID, e.Size, e.Unread, e.Tags, x, there)
		}
		if b, err := store.Open(ctx, e.ID); err != nil || b.Size() != e.Size || b.Close() != nil {
			t.Fatalf("%s %s cannot be read: %v", when, e.ID, err)
		}
		if size += e.Size; e.Unread {
			unread++
		}
	}
	s, err := store.Stats(ctx)
	if err != nil || len(page.Entries) != len(m.want) || s.Messages != len(m.want) || s.Unread != unread || s.Bytes != size {
		t.Fatalf("%s %d are listed and counted as %+v (%v); want %d, %d unread, %d octets", when, len(page.Entries), s, err, len(m.want), unread, size)
	}
}

// leave copies what a process that is killed now would leave behind. The logs come
// first: what a checkpoint moves meanwhile is in them or already in the database.
func leave(t *rapid.T, from, to string) {
	if err := os.CopyFS(to+"/bodies", os.DirFS(from+"/bodies")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"search.db-wal", "postrider.db-wal", "search.db", "postrider.db"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "model")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := &model{dir: dir, want: map[string]modelled{}}
		if m.db, err = sqlite.Open(context.Background(), dir+"/db"); err != nil {
			t.Fatal(err)
		}
		defer m.db.Close()
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			// A round's changes wait in line together, the lazy ones with the durable.
			ids := make([]string, 0, len(m.want))
			for id := range m.want {
				ids = append(ids, id)
			}
			slices.Sort(ids)
			var clients sync.WaitGroup
			for range rapid.IntRange(1, 6).Draw(t, "clients") {
				what := rapid.SampledFrom([]string{"add", "add", "add", "read", "unread", "tag", "untag", "delete"}).Draw(t, "what")
				size := rapid.SampledFrom([]int{0, 1, 3000, 1<<20 + 1}).Draw(t, "size")
				var own []string
				if what != "add" {
					n := rapid.IntRange(0, len(ids)).Draw(t, "of")
					own, ids = ids[:n], ids[n:]
				}
				clients.Go(func() { m.step(t, what, size, own) })
			}
			clients.Wait()
			m.check(t, m.db, "in use,")
		}
		leave(t, dir+"/db", dir+"/killed")
		killed, err := sqlite.Open(context.Background(), dir+"/killed")
		if err != nil {
			t.Fatal(err)
		}
		defer killed.Close()
		m.check(t, killed, "killed,")
	})
}
