package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"

	"github.com/postrider/postrider/inbox/client"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/mail/transfer"
)

// import: files of messages, of whichever kind they are, put into an inbox. What export wrote above them the inbox takes
// off again.

// imports puts all messages of files into the inbox.
func (o *archiveOptions) imports(ctx context.Context, names []string, s streams) (err error) {
	// Looked for first: a name that is misspelt must not make an inbox.
	for _, name := range names {
		if _, err := os.Stat(name); name != "-" && err != nil {
			return exitf(exitNoInput, "%w", err)
		}
	}
	c, end, err := o.open(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	at, done := showing(s, "importing", octets(names), showFrom, progress.UnitsBytes)
	i := importing{c: c, at: at}
	for _, name := range names {
		if err = i.file(ctx, name, s.in); err != nil {
			break
		}
	}
	done(err)
	// They are told when the bar has left the terminal. The first decides the exit code.
	for _, refusal := range i.refused {
		if err == nil {
			err = refusal
			continue
		}
		complain(s.err, refusal)
	}
	fmt.Fprintf(s.out, "Imported %s.\n", count(i.n, "message"))
	return err
}

// octets is how long files are, and those below directories. What it cannot find out
// it leaves out: it is for a bar.
func octets(names []string) (n int64) {
	for _, name := range names {
		filepath.WalkDir(name, func(_ string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() {
				if info, err := entry.Info(); err == nil {
					n += info.Size()
				}
			}
			return nil
		})
	}
	return n
}

// An importing is one run of import.
type importing struct {
	c       *client.Client
	at      func(octets int64)
	n       int
	octets  int64
	refused []error // messages that the inbox does not take; the others are taken all the same
}

// file imports the messages of one file or directory.
func (i *importing) file(ctx context.Context, name string, in io.Reader) error {
	err := eachMessage(name, in, func(which string, r io.Reader) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		counted := &counter{r: r}
		id, err := i.c.Import(ctx, copier{mailLines(counted)}, arrivedAt(r))
		if err == nil && wasRead(r) {
			read := false
			err = i.c.Update(ctx, id, client.Change{Unread: &read})
		}
		i.octets += counted.n
		i.at(i.octets)
		// It is the message that is refused, and not whoever brings it.
		e, refused := errors.AsType[*client.Error](err)
		if refused && (e.Status == http.StatusBadRequest || e.Status == http.StatusRequestEntityTooLarge) {
			i.refused = append(i.refused, exitf(exitData, "%s%s: %s", name, which, e.Text))
			return nil
		}
		if err == nil {
			i.n++
		}
		return err
	})
	if err != nil {
		return exitf(archiveCode(err, exitIO), "%s, after %s: %w", name, count(i.n, "message"), err)
	}
	return nil
}

// mailLines gives a message the line ends of mail (RFC 5321, 2.3.8), where its file has this system's: that of the first
// line tells. One that has CRLF there is as it came, with whatever else there is in it.
func mailLines(r io.Reader) io.Reader {
	b := bufio.NewReaderSize(r, 64<<10)
	head, _ := b.Peek(b.Size()) // an error comes again when it is read
	if end := bytes.IndexByte(head, '\n'); end < 0 || end > 0 && head[end-1] == '\r' {
		return b
	}
	return transfer.NewReader(b, new(transfer.EOL))
}

// wasRead tells whether a message is a file of a maildir that its reader has marked as seen.
func wasRead(r io.Reader) bool {
	f, ok := r.(fs.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	_, flags, _ := strings.Cut(info.Name(), ":2,")
	return strings.Contains(flags, "S")
}

// A counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// arrivedAt returns when a message arrived: by the line before it in an mbox, by the
// time of its file in a maildir, which a delivery makes and moving it keeps. Elsewhere
// the time of a file is that of a copy, and it is zero; so is what is no past time.
func arrivedAt(r io.Reader) (at time.Time) {
	switch m := r.(type) {
	case interface{ Arrived() time.Time }:
		at = m.Arrived()
	case fs.File:
		if info, err := m.Stat(); err == nil {
			at = info.ModTime()
		}
	}
	if at.Year() < 1970 || at.After(time.Now()) {
		return time.Time{}
	}
	return at
}

// eachMessage walks over the messages of a file or directory. which tells them apart:
// the name of a file below name, or the message's number.
func eachMessage(name string, in io.Reader, fn func(which string, r io.Reader) error) error {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.IsDir() {
			return eachFile(name, fn)
		}
		in = f
	}
	// By its beginning and not its name: an mbox is called anything.
	r := bufio.NewReader(in)
	head, err := r.Peek(64)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !isMbox(head) {
		return fn("", r)
	}
	n := 0
	for m, err := range mail.Mbox(r) {
		n++
		if err == nil {
			err = fn(fmt.Sprintf(", message %d", n), m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// eachFile walks over those of a directory: a maildir, or one of .eml files.
func eachFile(dir string, fn func(which string, r io.Reader) error) error {
	// Not by Glob, to which the brackets in a directory's name mean something.
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := false
	for _, entry := range entries {
		name := entry.Name()
		if filepath.Ext(name) != ".eml" {
			continue
		}
		found = true
		f, err := os.Open(filepath.Join(dir, name))
		if err == nil {
			// Without its name: its time is that of a copy.
			err = fn("/"+name, bufio.NewReader(f))
			f.Close()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	// A maildir that a person also saves .eml files in has both.
	if _, err := os.Stat(filepath.Join(dir, "cur")); err != nil {
		if !found {
			return errors.New("it is neither a maildir nor a directory of .eml files")
		}
		return nil
	}
	for f, err := range mail.Maildir(os.DirFS(dir)) {
		which := ""
		if err == nil {
			if info, err := f.Stat(); err == nil {
				which = "/" + info.Name()
			}
			err = fn(which, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
