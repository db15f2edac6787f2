// Package disk has what a file system must be asked for, so that what was written is there after a loss of power.
package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// SyncDir makes the names in a directory survive a loss of power: the sync of a file does not say that the file can be
// found. Windows journals names by itself, and has no way to ask for it.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// MakeDir makes a directory, and those above it that are missing, whose names survive a loss of power: what is kept in
// it would be lost with it otherwise. One that is there already is left as it is.
func MakeDir(dir string, perm os.FileMode) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if above := filepath.Dir(dir); above != dir {
		if err := MakeDir(above, perm); err != nil {
			return err
		}
	}
	// Another process may have made it meanwhile, and has not synced it yet.
	if err := os.MkdirAll(dir, perm); err != nil {
		return err
	}
	err := SyncDir(filepath.Dir(dir))
	if errors.Is(err, fs.ErrPermission) {
		return nil // who may write there and not read has no way to ask for it
	}
	return err
}
