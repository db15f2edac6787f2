package local

import (
	"bufio"
	"context"
	"io"
	"path/filepath"

	"github.com/postrider/postrider/internal/disk"
	"github.com/postrider/postrider/internal/wire"
	"github.com/postrider/postrider/smtp"
)

// A Maildir is a directory with a file for each message, in which programs meet without locks: a message is written to
// tmp, synced, and moved to new. It may be used by any number of goroutines and processes at once. A result's ID is the
// file's name.
type Maildir struct {
	Dir string // the maildir; made if it is not there, with its tmp, new and cur
}

// Send implements smtp.Sender.
func (m Maildir) Send(ctx context.Context, env *smtp.Envelope, msg io.WriterTo) ([]smtp.Result, error) {
	return send(ctx, env, msg, "maildir", func(ctx context.Context, msg io.WriterTo, may commit) (string, error) {
		name := uniqueName()
		if err := m.write(ctx, env, msg, may, name); err != nil {
			return "", temporary("maildir", err)
		}
		return name, nil
	})
}

func (m Maildir) write(ctx context.Context, env *smtp.Envelope, msg io.WriterTo, may commit, name string) error {
	// Readers expect all three, and a maildir without cur is none to them.
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := disk.MakeDir(filepath.Join(m.Dir, sub), 0o700); err != nil {
			return err
		}
	}
	err := writeFile(filepath.Join(m.Dir, "tmp", name), filepath.Join(m.Dir, "new", name), may, func(f io.Writer) error {
		return writeLines(ctx, f, env, msg, false)
	})
	if err != nil {
		return err
	}
	// The message is theirs, whether its name survives a loss of power or not.
	disk.SyncDir(filepath.Join(m.Dir, "new"))
	return nil
}

// Close implements io.Closer. Nothing is held open.
func (Maildir) Close() error { return nil }

// writeLines writes a message with its trace fields.
func writeLines(ctx context.Context, w io.Writer, env *smtp.Envelope, msg io.WriterTo, mbox bool) error {
	// The check for cancelling is below the buffer, so that it is made once a block.
	buffered := bufio.NewWriterSize(cancelled{ctx, w}, 64<<10)
	buffered.WriteString(trace(env)) // an error comes back from Flush
	lines := &lineWriter{w: buffered, mbox: mbox}
	if _, err := msg.WriteTo(lines); err != nil {
		return err
	}
	if err := lines.Close(); err != nil {
		return err
	}
	return buffered.Flush()
}

// EML is a directory with an .eml file for each message, as it would go over the wire: nothing is added. It may be used
// by any number of goroutines and processes at once. A result's ID is the file's name.
type EML struct {
	Dir string // made if it is not there
}

// Send implements smtp.Sender.
func (e EML) Send(ctx context.Context, env *smtp.Envelope, msg io.WriterTo) ([]smtp.Result, error) {
	return send(ctx, env, msg, "eml", func(ctx context.Context, msg io.WriterTo, may commit) (string, error) {
		name := uniqueName() + ".eml"
		if err := e.write(ctx, msg, may, name); err != nil {
			return "", temporary("directory of .eml", err)
		}
		return name, nil
	})
}

func (e EML) write(ctx context.Context, msg io.WriterTo, may commit, name string) error {
	if err := disk.MakeDir(e.Dir, 0o700); err != nil {
		return err
	}
	// Whoever looks for *.eml does not see it before it is complete.
	temp := filepath.Join(e.Dir, "."+name+".tmp")
	err := writeFile(temp, filepath.Join(e.Dir, name), may, func(f io.Writer) error {
		buffered := bufio.NewWriterSize(cancelled{ctx, f}, 64<<10)
		repair := wire.NewRepairer(buffered)
		if _, err := msg.WriteTo(repair); err != nil {
			return err
		}
		if err := repair.Close(); err != nil {
			return err
		}
		return buffered.Flush()
	})
	if err == nil {
		disk.SyncDir(e.Dir)
	}
	return err
}

// Close implements io.Closer. Nothing is held open.
func (EML) Close() error { return nil }
