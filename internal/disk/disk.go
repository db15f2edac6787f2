// Package disk has what a file system must be asked for, so that what was written is there after a loss of power.
package disk

import (
	"errors"
	"os"
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
