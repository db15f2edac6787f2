package sqlite

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockFile keeps other processes out until f is closed, also by a crash. It locks
// one octet, which suffices if everybody asks for the same one, and does not wait.
func lockFile(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	return windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
}

// diskFull reports whether err says that there is no room; Windows has two
// codes for it.
func diskFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}
