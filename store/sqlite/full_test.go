//go:build linux

package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/internal/disk"
	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/store/sqlite"
)

// smallDisk returns a directory on a file system of its own that holds size
// octets.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	peers.NeedRoot(t, "it mounts a small file system")
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("a file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// A full disk refuses what does not fit and keeps what it has acknowledged, and
// when there is room again it goes on, without being opened anew.
func TestDiskFull(t *testing.T) {
	for _, size := range []int{900, 60_000, 2 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			dir := smallDisk(t, 7<<20)
			db := open(t, dir)
			store := db.Inbox()
			msg := noise(size)
			var mu sync.Mutex
			var kept []string
			var clients sync.WaitGroup
			// As many as the disk has room for at once, or all could be refused.
			for range min(8, (4<<20)/size) {
				clients.Go(func() {
					for range 20_000 {
						id, err := store.Add(context.Background(), arrival(), bytes.NewReader(msg))
						if err != nil {
							if !errors.Is(err, inbox.ErrFull) {
								t.Errorf("Add to a full disk: %v, want ErrFull", err)
							}
							return
						}
						mu.Lock()
						kept = append(kept, id)
						mu.Unlock()
					}
					t.Error("the disk never became full")
				})
			}
			clients.Wait()
			if len(kept) == 0 {
				t.Fatal("nothing fitted")
			}
			check := func(db interface{ Inbox() inbox.Store }, want int) {
				t.Helper()
				s, err := db.Inbox().Stats(t.Context())
				if err != nil || s.Messages != want {
					t.Errorf("%d messages are there (%v), want %d", s.Messages, err, want)
				}
				for _, id := range kept {
					b, err := db.Inbox().Open(t.Context(), id)
					if err != nil {
						t.Fatalf("Open: %v", err)
					}
					got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
					b.Close()
					if err != nil || !bytes.Equal(got, msg) {
						t.Fatalf("%s has %d octets (%v), want %d", id, len(got), err, size)
					}
				}
			}
			check(db, len(kept))
			inFiles := 0
			if size > 1<<20 {
				inFiles = len(kept)
			}
			if n := bodies(t, dir); n != inFiles {
				t.Errorf("%d files are left, want %d", n, inFiles)
			}
			// What frees is done all the same, and there is room for as much again.
			gone := kept[:(len(kept)+1)/2]
			kept = kept[len(gone):]
			if n, err := store.Delete(t.Context(), gone...); err != nil || n != len(gone) {
				t.Fatalf("Delete on a full disk: %d of %d, %v", n, len(gone), err)
			}
			for range max(1, len(gone)/2) {
				id, err := store.Add(t.Context(), arrival(), bytes.NewReader(msg))
				if err != nil {
					t.Fatalf("Add, when %d were deleted, %d kept: %v", len(gone), len(kept), err)
				}
				kept = append(kept, id)
			}
			check(db, len(kept))
			// More disk, as an administrator would give it.
			if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Add(t.Context(), arrival(), strings.NewReader("small")); err != nil {
				t.Errorf("Add when there is room again: %v", err)
			}
			if err := db.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			again := open(t, dir)
			check(again, len(kept)+1)
			if err := again.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

// Where somebody else has filled the disk so far that nothing can be indexed, what is no
// longer to be kept goes all the same: it is what makes room.
func TestDiskFullRetention(t *testing.T) {
	dir := smallDisk(t, 8<<20)
	db := open(t, dir)
	defer db.Close()
	in := &inbox.Inbox{Store: db.Inbox(), Keep: inbox.Retention{Messages: 1}}
	for range 20 {
		if _, err := in.Store.Add(t.Context(), arrival(), bytes.NewReader(noise(60_000))); err != nil {
			t.Fatal(err)
		}
	}
	crowd(t, dir, 400<<10)
	ctx, end := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- in.Run(ctx) }()
	peers.Until(t, "all but one are deleted", func() bool {
		s, err := in.Store.Stats(t.Context())
		return err == nil && s.Messages == 1
	})
	end()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// A disk that has no room for the copy of an older database says so, before it is tried
// or while it is, and nothing has changed.
func TestDiskFullMigrating(t *testing.T) {
	from, dir := older(t, 4), smallDisk(t, 32<<20)
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, "filler")
	for _, c := range []struct {
		what, says string
		now        func(m sqlite.Migration) bool
	}{
		{"before", "are free", nil},
		{"half-way", "full", func(m sqlite.Migration) bool { return m.Copied > 0 && m.Copied < m.Octets }},
		{"with the copy", "brought up to date", func(m sqlite.Migration) bool { return m.Copied == m.Octets }},
	} {
		if c.now == nil {
			crowd(t, dir, 4<<20)
		}
		_, err := sqlite.Config{OnMigrate: func(m sqlite.Migration) {
			if _, there := os.Stat(filler); there != nil && c.now(m) {
				crowd(t, dir, 0)
			}
		}}.Open(t.Context(), dir)
		if !errors.Is(err, inbox.ErrFull) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("full %s: got %v, want a line with %q", c.what, err, c.says)
		}
		is(t, dir, 4)
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
	}
	db := open(t, dir)
	defer db.Close()
	if s, err := db.Inbox().Stats(t.Context()); err != nil || s.Messages != 12 {
		t.Errorf("with room again: %+v, %v; want 12 messages", s, err)
	}
}

// While a full disk keeps the index from going on, whoever looks for words is told, at
// once, and so is who watches; it goes on by itself when there is room.
func TestDiskFullIndex(t *testing.T) {
	dir := smallDisk(t, 8<<20)
	db := open(t, dir)
	defer db.Close()
	in := &inbox.Inbox{Store: db.Inbox()}
	for range 20 {
		if _, err := in.Store.Add(t.Context(), arrival(), strings.NewReader("Subject: lost and found\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	crowd(t, dir, 400<<10)
	ctx, end := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- in.Run(ctx) }()
	ask := func(path string) string {
		w := httptest.NewRecorder()
		in.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "http://localhost"+path, nil))
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		return w.Body.String()
	}
	const why = "The newest 20 messages are not found by words yet: there is no room left on the disk"
	peers.Until(t, "the index is stuck", func() bool { return strings.Contains(ask("/readyz"), why) })
	for path, want := range map[string]string{
		"/readyz": "ok\n", "/metrics": "postrider_inbox_unindexed_messages 20\n", "/?query=found": why,
		"/api/v1/messages?query=found": `"unindexed":20}`, "/api/v1/messages?query=is:unread": `"next":""}`, "/api/v1/messages": `"next":""}`,
	} {
		if got := ask(path); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s in it", path, got, want)
		}
	}
	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	peers.Until(t, "all are found", func() bool {
		return strings.Contains(ask("/api/v1/messages?query=found"), `"total":20,"next":""}`)
	})
	if got := ask("/readyz"); got != "ok\n" || strings.Contains(ask("/?query=found"), "not found by words") {
		t.Errorf("with room again: %q", got)
	}
	end()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// crowd writes a file beside the database that leaves so many octets of the disk.
func crowd(t *testing.T, dir string, left int64) {
	t.Helper()
	free, _, err := disk.Free(dir)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "filler"), make([]byte, free-left), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
