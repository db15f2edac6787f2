package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/postrider/postrider/internal/disk"
)

// A directory that is there can be synced; of one that is not the error says so. That a sync is done before a message is
// acknowledged is seen in the system calls of the programs that do it.
func TestSyncDir(t *testing.T) {
	dir := t.TempDir()
	if err := disk.SyncDir(dir); err != nil {
		t.Errorf("SyncDir(%q): got %v", dir, err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := disk.SyncDir(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: got %v, want %v", err, fs.ErrNotExist)
	}
}

// A directory is made with those above it, again is no error, and a file in its place is.
func TestMakeDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for range 2 {
		if err := disk.MakeDir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v, want a directory of its owner's", info, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{file, filepath.Join(file, "c")} {
		if err := disk.MakeDir(bad, 0o700); err == nil {
			t.Errorf("%s: got no error", bad)
		}
	}
}
