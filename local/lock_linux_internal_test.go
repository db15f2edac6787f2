package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// Where the lock file cannot be made the lock on the mailbox keeps goroutines apart too: two
// that wrote at once would write over each other.
func TestLockBetweenGoroutines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	synctest.Test(t, func(t *testing.T) {
		first, second := open(), open()
		if err := lockFile(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := lockFile(ctx, second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("locked twice: got %v, want that it is waited for", err)
		}
		first.Close()
		if err := lockFile(t.Context(), second); err != nil {
			t.Errorf("after the first is closed: %v", err)
		}
		second.Close()
	})
}
