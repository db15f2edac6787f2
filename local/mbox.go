package local

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/postrider/postrider/internal/archive"
	"github.com/postrider/postrider/internal/disk"
	"github.com/postrider/postrider/smtp"
)

// An Mbox is one file with all messages (RFC 4155), quoted as mboxrd. It is locked as the system's mail programs lock
// it, by a file NAME.lock and by fcntl where there is one, so that it may be used by any number of goroutines and
// processes at once. What could not be written completely is taken off again.
type Mbox struct {
	Path string // the file; made if it is not there
	// Arrived is when a message arrived, for the line before it, to the second; the zero time is that of writing it, as
	// it is where this is the message's last station.
	Arrived time.Time
}

// Send implements smtp.Sender. It waits for the lock as long as ctx lets it.
func (m Mbox) Send(ctx context.Context, env *smtp.Envelope, msg io.WriterTo) ([]smtp.Result, error) {
	return send(ctx, env, msg, "mbox", func(ctx context.Context, msg io.WriterTo, may commit) (string, error) {
		if err := m.write(ctx, env, msg, may); err != nil {
			return "", temporary("mbox", err)
		}
		return "", nil
	})
}

func (m Mbox) write(ctx context.Context, env *smtp.Envelope, msg io.WriterTo, may commit) error {
	return m.add(ctx, env.From, may, func(w io.Writer) error { return writeLines(ctx, w, env, msg, true) })
}

// Append adds a message as it is, which was delivered before: no field is added or left out. Its line ends become LF, and
// its last line has one. from is the sender for the line before it; "" is the null reverse-path. Like Send it waits for
// the lock, and when it returns nil the message is on the disk.
func (m Mbox) Append(ctx context.Context, from string, msg io.WriterTo) error {
	prepared, err := smtp.Prepare(msg) // what comes slowly must not hold a lock
	if err != nil {
		return err
	}
	if spool, ok := prepared.(io.Closer); ok && prepared != msg {
		defer spool.Close()
	}
	err = m.add(ctx, from, func() bool { return true }, func(w io.Writer) error {
		lines := &lineWriter{w: cancelled{ctx, w}, mbox: true, body: true}
		_, err := prepared.WriteTo(lines)
		return cmp.Or(err, lines.Close())
	})
	if err != nil {
		return temporary("mbox", err)
	}
	return nil
}

// Close implements io.Closer. Nothing is held open.
func (Mbox) Close() error { return nil }

// add has put write a message behind its separator.
func (m Mbox) add(ctx context.Context, from string, may commit, put func(io.Writer) error) (err error) {
	// First the file beside it, then the lock on it, and they go in the other order:
	// programs that know only one of the two are kept out, and nobody waits for ever.
	unlock, err := dotLock(ctx, m.Path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	f, err := os.OpenFile(m.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() // which unlocks it
	if err := lockFile(ctx, f); err != nil {
		return err
	}
	// Nobody else writes from here: this is where the message will begin.
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	defer func() {
		// Half a message would be read as one, and the next one as its end.
		if err != nil {
			f.Truncate(size)
			f.Sync()
		}
	}()
	w := bufio.NewWriterSize(f, 64<<10)
	w.WriteString(m.separator(f, size, from))
	if err := put(w); err != nil {
		return err
	}
	w.WriteByte('\n')
	if err := w.Flush(); err != nil {
		return err
	}
	// From here the message is theirs, if it gets to the disk.
	if !may() {
		return errCancelled
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if size == 0 { // and so may be new: its name is to survive too
		disk.SyncDir(filepath.Dir(m.Path))
	}
	return nil
}

// separator returns the line before a message: the sender and the time of arrival in UTC, as asctime has it (RFC 4155, A). Before it
// is an empty line, which another program may have left out.
func (m Mbox) separator(f *os.File, size int64, from string) string {
	gap := ""
	last := make([]byte, 2)
	if size >= 2 {
		if _, err := f.ReadAt(last, size-2); err == nil && string(last) != "\n\n" {
			if gap = "\n"; last[1] != '\n' {
				gap = "\n\n"
			}
		}
	}
	if from = archive.OneLine(from); from == "" {
		from = "MAILER-DAEMON"
	}
	at := m.Arrived
	if at.IsZero() {
		at = time.Now()
	}
	return fmt.Sprintf("%sFrom %s %s\n", gap, from, at.UTC().Format(time.ANSIC))
}

const (
	retryLock = 20 * time.Millisecond
	// A lock that is older belongs to a program that has died: none holds it longer than it takes to append.
	staleLock = 5 * time.Minute
)

// dotLock makes the file that says that the mailbox is in use. Where it cannot be made, as in a spool directory that
// only root may write to, the lock on the mailbox itself must do.
func dotLock(ctx context.Context, path string) (unlock func(), err error) {
	for {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		switch {
		case err == nil:
			// Who wonders about a lock that stays finds out whose it is.
			fmt.Fprintln(f, os.Getpid())
			f.Close()
			return func() { os.Remove(path) }, nil
		case errors.Is(err, fs.ErrPermission):
			return func() {}, nil
		case !errors.Is(err, fs.ErrExist):
			return nil, err
		}
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > staleLock {
			os.Remove(path)
			continue
		}
		if err := wait(ctx, path); err != nil {
			return nil, err
		}
	}
}

// wait waits a little before a lock is tried again.
func wait(ctx context.Context, path string) error {
	select {
	case <-time.After(retryLock):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s: %w", path, ctx.Err())
	}
}
