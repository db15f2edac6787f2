//go:build unix

package local

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
)

// lockFile locks the mailbox as fcntl does, which works over NFS too. The lock ends when the file is closed. Where it is a
// process's and not an open file's, those of one process are kept apart by the lock file alone, which everybody takes
// first. It is asked for again and again, because a call that waits for it (F_SETLKW) could not be ended by ctx.
func lockFile(ctx context.Context, f *os.File) error {
	for how := setLock; ; {
		err := syscall.FcntlFlock(f.Fd(), how, &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart})
		switch {
		case err == nil:
			return nil
		// QUIRK: some file systems know the one and not the other.
		case errors.Is(err, syscall.EINVAL) && how != syscall.F_SETLK:
			how = syscall.F_SETLK
			continue
		case !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.EAGAIN):
			return err
		}
		if err := wait(ctx, f.Name()); err != nil {
			return err
		}
	}
}
