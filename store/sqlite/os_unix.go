//go:build unix

package sqlite

import (
	"errors"
	"os"
	"syscall"
)

// What every Unix does alike; os_windows.go has the same two for Windows.

// lockFile keeps other processes out until f is closed, also by a crash. It does
// not wait: a second program shall say so at once, not seem to hang. QUIRK: on
// some network file systems flock holds between processes of one machine only.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// diskFull reports whether err says that there is no room. A quota that is used up
// is the same to whoever sends, although the disk has room for others.
func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
