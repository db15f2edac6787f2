package disk_test

import (
	"errors"
	"io/fs"
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
