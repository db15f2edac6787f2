package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/spf13/cobra"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/inbox/client"
	"github.com/postrider/postrider/local"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/mail/transfer"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/store/sqlite"
)

// export and import: an inbox's messages to where other programs read them, and
// back. Both speak the JSON interface: of a server that runs or, where none does,
// of an inbox that they open for themselves and reach through a pipe.

// archiveOptions say which inbox is meant.
type archiveOptions struct {
	data, url, query string
}

func (o *archiveOptions) command(use, short, long, example string, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Example: example, RunE: func(cmd *cobra.Command, args []string) error {
		if err := fromEnvironment(cmd.Flags()); err != nil {
			return err
		}
		return run(cmd, args)
	}}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.data, "data", "postrider-data", "`DIR` of an inbox that no server has open")
	f.StringVar(&o.url, "url", "", "`URL` of the web page of a server that runs, instead; http://USER:PASSWORD@HOST in POSTRIDER_URL for one with --web-auth")
	return cmd
}

func newExport(s streams) *cobra.Command {
	var o archiveOptions
	cmd := o.command("export TARGET", "Write messages of an inbox to files", `Writes the messages of an inbox to TARGET: eml:DIR is a file each, mbox:FILE one file,
maildir:DIR a maildir; it may be any URL that messages can be sent to. Those of an mbox
and a maildir begin with the fields Return-Path and Delivered-To, which hold the
envelope, and keep when they arrived: in the line before the message, or as the time
of the file. The oldest come first. --query exports what it finds.`,
		`  postrider export mbox:all.mbox
  postrider export --url http://127.0.0.1:8025 --query "from:shop after:7d" eml:shop`,
		func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("say where to write to: %s eml:DIR, mbox:FILE or maildir:DIR", cmd.CommandPath())
			}
			return o.export(cmd.Context(), args[0], s)
		})
	cmd.Flags().StringVar(&o.query, "query", "", "`QUERY` that finds what is exported; everything if it is not given")
	return cmd
}

func newImport(s streams) *cobra.Command {
	var o archiveOptions
	return o.command("import FILE...", "Put messages from files into an inbox", `Puts messages into an inbox: each FILE is a message, an mbox, a maildir or a directory
of .eml files; - is standard input. The envelope is taken from Return-Path and
Delivered-To, as export writes them, else from the message's own fields. When one
arrived is the time of its file in a maildir or of the line before it in an mbox, else
what its topmost Received field says, else its Date; before: and after: go by when it
came into the inbox, now. A message that the inbox does not take is told, the others are
imported, and the exit code is 65.`,
		`  postrider import --data postrider-data old.mbox Maildir message.eml`,
		func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("say what to import: %s FILE", cmd.CommandPath())
			}
			return o.imports(cmd.Context(), args, s)
		})
}

// open returns a client of the inbox, and what ends it.
func (o *archiveOptions) open(ctx context.Context, s streams) (*client.Client, func() error, error) {
	if o.url != "" {
		return &client.Client{URL: o.url}, func() error { return nil }, nil
	}
	// Warnings alone are of interest here.
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := openStore(ctx, o.data, s, log, func(string) {})
	if errors.Is(err, sqlite.ErrLocked) {
		return nil, nil, exitf(exitCode(err), "%s is open in another process: give the URL of its web page with --url", o.data)
	}
	if err != nil {
		return nil, nil, err
	}
	// The same inbox that serve has, without a port: whatever the one can do the other
	// does alike, and nobody else can reach it. What is put in are files of this
	// machine's, of any length.
	in := &inbox.Inbox{Store: db.Inbox(), MaxUpload: math.MaxInt64, Logger: log}
	running, stop := context.WithCancel(context.Background())
	indexed := make(chan error, 1)
	go func() { indexed <- in.Run(running) }()
	pipe := make(pipeListener)
	web := &http.Server{Handler: in}
	go web.Serve(pipe)
	c := &client.Client{URL: "http://localhost", HTTP: &http.Client{Transport: &http.Transport{DialContext: pipe.dial}}}
	return c, func() error {
		// In this order: what is being answered still reads, and Run still writes.
		web.Close()
		stop()
		return errors.Join(<-indexed, db.Close())
	}, nil
}

// A pipeListener accepts what dial has made: connections within this process.
type pipeListener chan net.Conn

// dial makes a connection and hands its other end to Accept.
func (l pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener; so do Close, after which nobody dials, and Addr.
func (l pipeListener) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l pipeListener) Close() error {
	close(l)
	return nil
}

func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

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

// copyOut writes one message, which keeps when it arrived where the target has a place
// for that.
func (o *archiveOptions) copyOut(ctx context.Context, c *client.Client, to smtp.Sender, m *client.Summary) error {
	raw, err := c.Raw(ctx, m.ID)
	if errors.Is(err, client.ErrNotFound) {
		return nil // deleted since it was listed
	}
	if err != nil {
		return err
	}
	defer raw.Close()
	env := smtp.NewEnvelope(m.Sender, m.Recipients...)
	if len(env.To) == 0 {
		env.To = smtp.NewEnvelope("", "nobody@localhost").To // what was injected need not have any
	}
	if box, ok := to.(local.Mbox); ok {
		box.Arrived = m.Received
		to = box
	}
	// It streams from the one to the other, however large it is. There is one recipient
	// after another in a result, but one file.
	results, err := to.Send(ctx, env, copier{raw})
	if box, ok := to.(local.Maildir); ok && err == nil {
		err = os.Chtimes(filepath.Join(box.Dir, "new", results[0].ID), time.Time{}, m.Received)
	}
	return err
}

// A copier is a message that is read once.
type copier struct{ io.Reader }

func (r copier) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, r.Reader) }

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
		// Files have this system's line ends, mail has its own (RFC 5321, 2.3.8).
		_, err := i.c.Import(ctx, copier{transfer.NewReader(counted, new(transfer.EOL))}, arrivedAt(r))
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
	files, err := filepath.Glob(filepath.Join(dir, "*.eml"))
	if err != nil {
		return err
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err == nil {
			// Without its name: its time is that of a copy.
			err = fn("/"+filepath.Base(name), bufio.NewReader(f))
			f.Close()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
	}
	// A maildir that a person also saves .eml files in has both.
	if _, err := os.Stat(filepath.Join(dir, "cur")); err != nil {
		if len(files) == 0 {
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
