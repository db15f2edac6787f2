package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/oklog/ulid/v2"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/inbox/client"
	"github.com/postrider/postrider/internal/archive"
	"github.com/postrider/postrider/internal/disk"
	"github.com/postrider/postrider/local"
	"github.com/postrider/postrider/smtp"
)

// export: messages as files, from which import makes them what they were. An .eml file has their octets and nothing
// else. A maildir has fields above them (package archive), and LF for CRLF where a message has no other line ends; the ends of
// the first line tell which. An mbox can have LF alone, and ends each message with one, so that odd line ends and a
// missing last one are lost in it.

// export writes what the query finds to a target.
func (o *archiveOptions) export(ctx context.Context, target string, s streams) (err error) {
	if _, err := inbox.ParseQuery(o.query, time.Now()); err != nil {
		return flagf(exitUsage, "query", ": %w", err)
	}
	to, err := postrider.Open(target)
	if err != nil {
		return usagef("%s: %w", target, err)
	}
	defer to.Close()
	// Looked for first: to open it would make an empty inbox where a name is misspelt.
	if _, statErr := os.Stat(o.data); o.url == "" && statErr != nil {
		return exitf(exitNoInput, "%w", statErr)
	}
	c, end, err := o.open(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	if err := makeTarget(to); err != nil {
		return exitf(exitCannotWrite, "%w", err)
	}
	total, err := c.Count(ctx, o.query)
	if err != nil {
		return exitf(archiveCode(err, exitUnavailable), "%w", err)
	}
	if o.query != "" && total >= 1000 {
		total = 0 // or more, which is as far as is counted
	}
	at, done := showing(s, "exporting", int64(total), 200, progress.UnitsDefault)
	n, err := o.copyAll(ctx, c, to, at)
	done(err)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "Exported %s.\n", count(n, "message"))
	return nil
}

// copyAll writes all that the query finds and tells how many it has written. A page at
// a time, the oldest first: what arrives meanwhile comes last and is not missed, and an
// inbox of any size takes no more memory.
func (o *archiveOptions) copyAll(ctx context.Context, c *client.Client, to smtp.Sender, at func(int64)) (n int, err error) {
	for m, err := range c.All(ctx, o.query) {
		if err != nil {
			return n, exitf(archiveCode(err, exitUnavailable), "after %s: %w", count(n, "message"), err)
		}
		if err := o.copyOut(ctx, c, to, &m); err != nil {
			return n, exitf(archiveCode(err, exitIO), "%s, after %s: %w", m.ID, count(n, "message"), err)
		}
		n++
		at(int64(n))
	}
	return n, nil
}

// archiveCode is the exit code of an error: that of the system's, or of what the server
// wants to know first, where it says more than otherwise.
func archiveCode(err error, otherwise int) int {
	if e, ok := errors.AsType[*client.Error](err); ok && e.Status == http.StatusUnauthorized {
		return exitNoPerm
	}
	if code := exitCode(err); code == exitTempFail || code == exitNoInput {
		return code
	}
	return otherwise
}

// copyOut writes one message.
func (o *archiveOptions) copyOut(ctx context.Context, c *client.Client, to smtp.Sender, m *client.Summary) error {
	err := o.write(ctx, c, to, m)
	if errors.Is(err, client.ErrNotFound) {
		return nil // deleted since it was listed
	}
	return err
}

// write writes one message to where it is to go, with what the inbox knows of it if there is a place for that. It streams
// from the one to the other, however large it is.
func (o *archiveOptions) write(ctx context.Context, c *client.Client, to smtp.Sender, m *client.Summary) error {
	raw, err := c.Raw(ctx, m.ID)
	if err != nil {
		return err
	}
	defer raw.Close()
	note := archive.Note{Sender: m.Sender, Recipients: m.Recipients, Received: m.Received, Unread: m.Unread, Tags: m.Tags}
	noted := io.MultiReader(strings.NewReader(note.Fields()), raw)
	switch to := to.(type) {
	case local.EML:
		return writeFile(to.Dir, filepath.Join(to.Dir, m.ID+".eml"), raw, m.Received)
	case local.Maildir:
		tmp, name := filepath.Join(to.Dir, "tmp"), maildirName(to.Dir, m)
		err := writeFile(tmp, name, &localLines{r: noted}, m.Received)
		if !errors.Is(err, errOddLines) {
			return err
		}
		again, err := c.Raw(ctx, m.ID)
		if err != nil {
			return err
		}
		defer again.Close()
		return writeFile(tmp, name, io.MultiReader(strings.NewReader(note.Fields()), again), m.Received)
	case local.Mbox:
		to.Arrived = m.Received
		return to.Append(ctx, m.Sender, copier{noted})
	}
	// Whatever else takes messages takes them for somebody.
	_, err = to.Send(ctx, smtp.NewEnvelope(m.Sender, m.Recipients...), copier{raw})
	return err
}

// maildirName is the path of a message in a maildir: the same each time it is exported, in the inbox's order, and where
// other programs look for what has been read or not. QUIRK: Windows has no colons in names, and nobody's flags.
func maildirName(dir string, m *client.Summary) string {
	came := m.Received
	if id, err := ulid.ParseStrict(m.ID); err == nil {
		came = id.Timestamp()
	}
	name := fmt.Sprintf("%d.M%06d_%s.postrider", came.Unix(), came.Nanosecond()/1000, m.ID)
	if m.Unread || runtime.GOOS == "windows" {
		return filepath.Join(dir, "new", name)
	}
	return filepath.Join(dir, "cur", name+":2,S")
}

// makeTarget makes the directories that a target has.
func makeTarget(to smtp.Sender) error {
	var dirs []string
	switch to := to.(type) {
	case local.EML:
		dirs = []string{to.Dir}
	case local.Maildir:
		for _, sub := range []string{"tmp", "new", "cur"} {
			dirs = append(dirs, filepath.Join(to.Dir, sub))
		}
	}
	for _, dir := range dirs {
		if err := disk.MakeDir(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes a file that has its name only when it is whole and on the disk.
func writeFile(tmp, name string, r io.Reader, at time.Time) error {
	f, err := os.CreateTemp(tmp, ".export-")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	err = cmp.Or(err, f.Close())
	if err == nil {
		err = os.Chtimes(f.Name(), time.Time{}, at)
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return disk.SyncDir(filepath.Dir(name))
}

// errOddLines says that a message has other line ends than CRLF.
var errOddLines = errors.New("other line ends than CRLF")

// localLines makes the line ends of mail (RFC 5321, 2.3.8) those of this system's files, which other programs expect in a
// maildir. Where a message has others they could not be told apart afterwards, which is an error.
type localLines struct {
	r  io.Reader
	cr bool // the last octet read was a CR, and has not been given
}

// Read implements io.Reader.
func (l *localLines) Read(p []byte) (n int, err error) {
	for n == 0 && err == nil && len(p) > 0 {
		var m int
		m, err = l.r.Read(p)
		for _, b := range p[:m] {
			if l.cr != (b == '\n') {
				return 0, errOddLines
			}
			if l.cr = b == '\r'; !l.cr {
				p[n] = b
				n++
			}
		}
	}
	if err == io.EOF && l.cr {
		err = errOddLines
	}
	return n, err
}
