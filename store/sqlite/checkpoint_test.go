package sqlite_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/internal/peers"
)

// When nobody writes, the logs are cut to nothing: all that was kept is in the
// databases then, and what comes later is kept too.
func TestLogs(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	length := func(name string) int64 {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	const size = 100_000
	before := length("postrider.db")
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 100 {
				add(t, db, size)
			}
		})
	}
	clients.Wait()
	id := add(t, db, 100)
	if err := db.Inbox().Index(t.Context(), []inbox.Indexed{{ID: id, Words: inbox.Words{Subject: "found"}}}); err != nil {
		t.Fatal(err)
	}
	peers.Until(t, "both logs are cut", func() bool { return length("postrider.db-wal") == 0 && length("search.db-wal") == 0 })
	if after := length("postrider.db"); after < before+800*size {
		t.Errorf("the database has grown from %d to %d octets, by less than what was kept", before, after)
	}
	more := add(t, db, 1000)
	for id, n := range map[string]int{id: 100, more: 1000} {
		if got := content(t, db, id); !bytes.Equal(got, noise(n)) {
			t.Errorf("%s has %d octets, want its own %d", id, len(got), n)
		}
	}
}
