//go:build unix

package local

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
)

// lockFile locks the mailbox as fcntl does, which works over NFS too. The lock ends when the file is closed. It is a
// process's, not a goroutine's: those of one process are kept apart by the lock file, which everybody takes first. It is
// asked for again and again, because a call that waits for it (F_SETLKW) could not be ended by ctx.
func lockFile(ctx context.Context, f *os.File) error {
	for {
		err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart})
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.EAGAIN) {
			return err
		}
		if err := wait(ctx, f.Name()); err != nil {
			return err
		}
	}
}
